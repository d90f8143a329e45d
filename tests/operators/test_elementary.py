from __future__ import annotations

import math

import pytest
import torch

from graphdl import Abs, Clamp, Exp, Log, Negate, Operator, Scale, Sqrt
from graphdl.errors import SettingError
from tests.operators.case import Case, by_autograd, by_hand, normal
from tests.operators.checks import every_check


def positive(generator):
    return normal((4, 3), generator).abs() + 0.1


CASES = [
    Case("negate", Negate(), [(4, 3)], lambda p, x: -x),
    Case("scale", Scale(-1.5), [(4, 3)], lambda p, x: -1.5 * x),
    Case("scale-and-shift", Scale(0.5, 2), [(2, 3, 2)], lambda p, x: 0.5 * x + 2),
    Case("exp", Exp(), [(4, 3)], lambda p, x: torch.exp(x)),
    Case("log", Log(), [positive], lambda p, x: torch.log(x)),
    Case("sqrt", Sqrt(), [positive], lambda p, x: torch.sqrt(x)),
    Case("abs", Abs(), [(4, 3)], lambda p, x: torch.abs(x)),
    Case("clamp", Clamp(-0.52, 0.51), [(4, 3)], lambda p, x: torch.clamp(x, -0.52, 0.51)),
    Case("clamp-min", Clamp(min=0), [(2, 3, 2, 2)], lambda p, x: torch.clamp(x, min=0)),
    Case("clamp-max", Clamp(max=0.5), [(4, 3)], lambda p, x: torch.clamp(x, max=0.5)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def assert_as_torch(operator, reference, x):
    """Equal values and gradients, nan and infinities included."""
    case = Case("special", operator, [tuple(x.shape)], lambda p, x: reference(x))
    dy = torch.linspace(0.5, 2, x.numel(), dtype=x.dtype)
    found, expected = by_hand(case, {}, [x], dy), by_autograd(case, {}, [x], dy)
    torch.testing.assert_close(found.y, expected.y, equal_nan=True)
    torch.testing.assert_close(found.dxs, expected.dxs, equal_nan=True)


@pytest.mark.parametrize(
    ("operator", "reference"),
    [
        (Negate(), torch.neg),
        (Scale(2, 1), lambda x: 2 * x + 1),
        (Scale(0), lambda x: 0 * x),
        (Exp(), torch.exp),
        (Log(), torch.log),
        (Sqrt(), torch.sqrt),
        (Abs(), torch.abs),
        (Clamp(0, 1), lambda x: x.clamp(0, 1)),
        (Clamp(min=-0.0), lambda x: x.clamp(min=0)),
        (Clamp(1, 1), lambda x: x.clamp(1, 1)),
    ],
    ids=lambda given: repr(given) if isinstance(given, Operator) else "",
)
def test_kinks_infinities_and_nan(operator, reference):
    inf, nan = math.inf, math.nan
    assert_as_torch(operator, reference, torch.tensor([inf, -inf, nan, 0.0, -0.0, 1.0, -1.0, 1e-40, 700.0]))


def test_no_gradient_is_still_nan_at_the_root_of_zero():
    assert Sqrt().backward({}, torch.zeros(1), torch.zeros(1))[0][0].isnan().all()


def test_integers_are_computed_as_torch_does():
    x = torch.arange(-2, 3)
    for operator, expected in [
        (Scale(2, 1), 2 * x + 1),
        (Scale(0.5, 1), 0.5 * x + 1),
        (Negate(), -x),
        (Exp(), x.exp()),
        (Clamp(-0.5, 1), x.clamp(-0.5, 1)),
        (Abs(), x.abs()),
    ]:
        y, _ = operator.forward({}, x, training=True)
        torch.testing.assert_close(y, expected)
        out, _ = operator.forward({}, x, training=True, out=x.clone())
        torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("operator", [Negate(), Scale(2), Scale(2, 1), Exp(), Sqrt(), Log(), Abs(), Clamp(0, 1)])
def test_what_is_not_kept_may_be_written_over(operator):
    x = torch.rand(3, 2) + 0.5
    room = x.clone()
    y, kept = operator.forward({}, x, training=True)
    over, again = operator.forward({}, room, training=True, out=room)
    assert torch.equal(over, y)
    if operator.keeps == "x":
        assert torch.equal(again, kept)  # which out has not changed
    else:
        assert over is room


def test_settings_are_checked():
    with pytest.raises(SettingError, match="min and max are both missing"):
        Clamp()
    with pytest.raises(SettingError, match="min must be at most max, and 2 is above 1"):
        Clamp(2, 1)
    with pytest.raises(SettingError, match="min must be a finite number, not nan"):
        Clamp(min=math.nan)
    with pytest.raises(SettingError, match="factor must be a finite number, not 'two'"):
        Scale("two")


def test_texts():
    assert Scale(2, shift=-1).describe() == "× 2 - 1"
    assert Scale(2, shift=0.5).describe() == "× 2 + 0.5"
    assert Scale(-0.5).describe() == "× -0.5"
    assert Clamp(min=0.0).describe() == "min 0"
    assert {cls.family for cls in (Abs, Clamp, Exp, Log, Negate, Scale, Sqrt)} == {"arithmetic"}
