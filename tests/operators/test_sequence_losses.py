from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from graphdl import CTCLoss, Feed, LogSoftmax, Network, check_gradients
from graphdl.errors import OperatorError, SettingError, ShapeError
from tests.operators import checks
from tests.operators.case import Case, compare
from tests.operators.losses import REDUCTIONS, assert_arguments_of_torch, logs

SLOTS = ("prediction", "target", "input_lengths", "target_lengths")
LENGTHS = [torch.tensor([6, 5, 4]), torch.tensor([3, 1, 2])]


def sequences(*shape):
    """Log-probabilities along the last axis."""
    return lambda generator: logs(math.prod(shape[:-1]), shape[-1])(generator).view(shape)


def targets(*shape):
    return lambda generator: torch.randint(1, 4, shape, generator=generator)


def lengths(least, most, *shape):
    return lambda generator: torch.randint(least, most + 1, shape, generator=generator)


def case(name, *, inputs=None, **settings):
    def reference(p, *xs):
        return F.ctc_loss(*[xs[0], *(x.long() for x in xs[1:])], **settings)

    inputs = inputs or [sequences(6, 3, 4), targets(3, 3), lengths(4, 6, 3), lengths(1, 3, 3)]
    return Case("-".join(["ctc", name, *map(str, settings.values())]), CTCLoss(**settings), inputs, reference, False)


def one(reduction):
    """A single sequence, without an axis for the batch."""

    def reference(p, x, *rest):
        found = F.ctc_loss(x.unsqueeze(1), *(each.long().unsqueeze(0) for each in rest), reduction=reduction)
        return found.reshape(())

    inputs = [sequences(6, 4), targets(2), lengths(5, 6), lengths(1, 2)]
    return Case(f"ctc-one-{reduction}", CTCLoss(reduction=reduction), inputs, reference, False)


SHORT = [sequences(3, 4, 4), lambda _: torch.tensor([[1, 1, 2]] * 4), lengths(1, 3, 4), lengths(1, 3, 4)]
CASES = [
    *(case("plain", reduction=r) for r in REDUCTIONS),
    case("blank", blank=3, inputs=[sequences(6, 2, 4), lambda g: torch.randint(3, (2, 2), generator=g),
                                   lengths(5, 6, 2), lengths(0, 2, 2)]),
    *(case("short", zero_infinity=True, reduction=r, inputs=SHORT) for r in REDUCTIONS),
    *(one(r) for r in REDUCTIONS[::2]),
]  # fmt: skip
BY_NUMBERS = (checks.agrees_with_differences, checks.passes_gradcheck)
"""Checks of the derivative by the log-probabilities: the gradient is that by the input of the LogSoftmax before."""

every_other_check = pytest.mark.parametrize(
    "check", [each for each in checks.CHECKS if each not in BY_NUMBERS], ids=lambda check: check.__name__
)


@every_other_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_arguments_are_torch_s():
    assert_arguments_of_torch(CTCLoss, nn.CTCLoss)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_behind_a_logsoftmax_the_gradient_is_the_derivative(case):
    _, (x, *rest) = case.draw()
    names = dict(zip(SLOTS[1:], rest, strict=True))
    operators = {"logs": LogSoftmax(dim=-1), "loss": case.operator}
    connectivity = {"x": ["logs"], "logs": [Feed("loss", slot="prediction")]}
    net = Network(operators, connectivity | {name: [Feed("loss", slot=name)] for name in names}, dtype=torch.float64)
    assert check_gradients(net, {"x": x * 2, **names}) < 1e-7


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_sequences_too_short_for_their_targets(reduction):
    given = [logs(6, 4)(torch.Generator().manual_seed(0)).view(3, 2, 4), torch.tensor([[1, 1, 1], [2, 3, 1]])]
    given += [torch.tensor([3, 3]), torch.tensor([3, 2])]
    y, _ = CTCLoss(reduction=reduction).forward({}, *given, training=True)
    assert math.isinf(y.sum())
    compare(case("short", zero_infinity=True, reduction=reduction), {}, given)


def test_targets_without_labels():
    x = logs(6, 4)(torch.Generator().manual_seed(0)).view(3, 2, 4)
    compare(case("empty"), {}, [x, torch.zeros(2, 0).long(), torch.tensor([3, 2]), torch.tensor([0, 0])])


def fed(operator=None, **changed):
    inputs = {"prediction": torch.zeros(6, 3, 4), "target": torch.ones(3, 2).long(),
              "input_lengths": torch.full((3,), 6), "target_lengths": torch.full((3,), 2)} | changed  # fmt: skip
    net = Network({"loss": operator or CTCLoss()}, {name: [Feed("loss", slot=name)] for name in SLOTS})
    return net.forward(inputs)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"prediction": torch.zeros(3, 6, 4)},
            "the prediction has 6 sequences, which are on its axis 1, and the others",
        ),
        ({"prediction": torch.zeros(3)}, "the axes of the prediction and of the target do not fit"),
        ({"prediction": torch.zeros(6, 4)}, "the axes of the prediction and of the target do not fit"),
        ({"target": torch.ones(2, 2).long()}, "the prediction has 3 sequences"),
        ({"target": torch.ones(3, 2)}, "the target holds floats: give class indices"),
        ({"input_lengths": torch.tensor([6, 6])}, "the prediction has 3 sequences"),
        ({"operator": CTCLoss(blank=4)}, "blank is 4, and the prediction has 4 classes"),
    ],
)
def test_shapes_are_checked(changed, text):
    with pytest.raises(
        ShapeError, match=rf"loss \(CTCLoss\) cannot take its inputs: {text}.*the first axis is the time"
    ):
        fed(**changed)


@pytest.mark.parametrize(
    "changed", [{"input_lengths": torch.tensor([6, 7, 6])}, {"target_lengths": torch.tensor([2, 3, 1])}]
)
def test_lengths_beyond_their_axes_are_told(changed):
    with pytest.raises((OperatorError, ShapeError), match=r"Expected .* lengths .* of at most t and s"):
        fed(**changed)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"blank": -1}, "blank must be a whole number of at least 0, not -1"),
        ({"zero_infinity": 1}, "zero_infinity must be"),
    ],
)
def test_settings_are_checked(settings, text):
    with pytest.raises(SettingError, match=f"^CTCLoss: {text}"):
        CTCLoss(**settings)


def test_targets_one_after_another():
    x = sequences(6, 3, 4)(torch.Generator().manual_seed(0))
    compare(case("joined"), {}, [x, torch.tensor([1, 2, 3, 1, 2, 2]), *LENGTHS])
    with pytest.raises((OperatorError, ShapeError), match="Expected log-probabilities"):
        fed(prediction=x.float(), target=torch.tensor([1, 2]), target_lengths=LENGTHS[1])


def test_what_is_kept_has_one_size_for_all_lengths():
    x, target = sequences(6, 3, 4)(torch.Generator().manual_seed(0)), torch.ones(3, 3).long()
    kept = [CTCLoss().forward({}, x, target, LENGTHS[0], torch.tensor(each), training=True)[1]
            for each in ([3, 1, 2], [1, 0, 1])]  # fmt: skip
    assert kept[0][2].shape == kept[1][2].shape == (3, 6, 7)


def test_lengths_of_floats_are_refused():
    lengths = torch.tensor([4.9, 5.0])
    with pytest.raises(ShapeError, match=r"the lengths are floats: give integers, lengths.long\(\)"):
        CTCLoss().forward({}, torch.randn(5, 2, 3), torch.ones(2, 2).long(), lengths, lengths.long(), training=True)
