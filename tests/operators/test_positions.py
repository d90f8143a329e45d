from __future__ import annotations

import math

import pytest
import torch

from graphdl import Network, RotaryPositions, SinusoidalPositions
from graphdl.errors import GraphDLError, SettingError, ShapeError
from tests.operators.case import Case
from tests.operators.checks import every_check


def added(p, x):
    return x + p["table"][: x.shape[-2]]


def turned(p, x):
    """Pairs as complex numbers."""
    sin, cos = p["table"][: x.shape[-2], 0::2], p["table"][: x.shape[-2], 1::2]
    y = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.complex(cos, sin)
    return torch.view_as_real(y).flatten(-2)


CASES = [
    Case("added", SinusoidalPositions(max_length=6), [(2, 5, 4)], added),
    Case("turned", RotaryPositions(max_length=6), [(2, 5, 4)], turned),
    Case("turned-heads", RotaryPositions(4, max_length=5), [(2, 3, 5, 4)], turned),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_the_table_is_that_of_the_paper():
    net = Network({"place": SinusoidalPositions(6, 20)}, {"x": ["place"]})
    y = net.predict(torch.zeros(1, 20, 6))[0]
    for t in (0, 1, 19):
        for k in range(3):
            angle = t / 10_000 ** (2 * k / 6)
            assert y[t, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert y[t, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_products_of_rotated_vectors_depend_on_their_distance():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(8, generator=generator, dtype=torch.float64) for _ in range(2))
    net = Network({"turn": RotaryPositions()}, {"x": ["turn"]}, dtype=torch.float64)
    qs, ks = net.predict(q.expand(1, 30, 8))[0], net.predict(k.expand(1, 30, 8))[0]
    products = qs @ ks.T
    for distance in (0, 3, 11):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along))
    torch.testing.assert_close(qs.norm(dim=-1), q.norm().expand(30))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SinusoidalPositions(5), "SinusoidalPositions: embed_dim must be even, not 5"),
        (lambda: RotaryPositions(0), "RotaryPositions: embed_dim must be a whole number of at least 2, not 0"),
        (lambda: RotaryPositions(4, base=0.5), "RotaryPositions: base must be a finite number of at least 1, not 0.5"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=text):
        make()


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            (2, 7, 4),
            r"the sequence has 7 positions, more than max_length=6.* with at most 6 positions",
        ),
        ((2, 5, 6), "the input does not have the axes and the features of the positions"),
        ((4,), "the input does not have the axes"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_node(shape, text):
    net = Network({"turn": RotaryPositions(4, max_length=6)}, {"x": ["turn"]})
    with pytest.raises(ShapeError, match=rf"turn \(RotaryPositions\) .*{text}"):
        net.forward(torch.zeros(shape))


def test_odd_features_are_refused_when_they_are_inferred():
    with pytest.raises(GraphDLError, match=r"turn \(RotaryPositions\) .*embed_dim must be even, not 5"):
        Network({"turn": RotaryPositions()}, {"x": ["turn"]}).forward(torch.zeros(2, 3, 5))
