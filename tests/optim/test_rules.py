"""A rule, the update as a formula, says what the update does."""

from dataclasses import dataclass

import pytest
import torch

from graphdl.optim import SGD, Adam, AdamW, Optimizer

OPTIMIZERS = [
    SGD(lr=0.1),
    SGD(lr=0.1, weight_decay=0.05),
    SGD(lr=0.1, momentum=0.9, weight_decay=0.05),
    SGD(lr=0.1, momentum=0.8, nesterov=True),
    Adam(lr=0.01),
    Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    AdamW(lr=0.05, weight_decay=0.3),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)], ids=str)
def test_says_what_the_update_does(optimizer, dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(9, generator=generator, dtype=dtype)
    other, state, kept = w.clone(), optimizer.state(w), optimizer.state(w)
    for t in range(1, 30):
        g, count = torch.randn(9, generator=generator, dtype=dtype), torch.tensor(float(t))
        given = w.clone(), g.clone(), *(vector.clone() for vector in state)
        new, following = optimizer.formula(w, g, state, count)
        assert all(map(torch.equal, (w, g, *state), given)), "it changes what it is given"
        w, state = new, following
        optimizer.update(other, g, kept, count)
        for found, expected in zip((w, *state), (other, *kept), strict=True):
            torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@dataclass(frozen=True)
class Changed(SGD):
    def update(self, w, g, state, t):
        w.sub_(g)


@dataclass(frozen=True)
class Renamed(Adam):
    """Changes nothing."""


@dataclass(frozen=True)
class Plain(Optimizer):
    def state(self, w):
        return ()

    def update(self, w, g, state, t):
        w.sub_(g)


def test_belongs_to_the_update_that_is_used():
    assert Changed().formula is None
    assert Plain().formula is None
    assert Renamed().formula is not None
    with pytest.raises(TypeError, match="Plain has no formula"):
        Plain().rule(*[torch.zeros(1)] * 2, (), torch.ones(()))
