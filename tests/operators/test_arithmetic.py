from __future__ import annotations

import math

import pytest
import torch

from graphdl import Add, Divide, Feed, Maximum, Minimum, Multiply, Network, Power, Where
from graphdl.errors import ArityError, MissingInputError, SettingError, ShapeError
from tests.operators.case import Case, by_autograd, by_hand, normal
from tests.operators.checks import every_check


def positive(*shape):
    return lambda generator: normal(shape, generator).abs() + 0.2


def mask(*shape):
    return lambda generator: torch.rand(shape, generator=generator) < 0.5


BINARY = {
    "add": (Add, torch.add),
    "multiply": (Multiply, torch.mul),
    "divide": (Divide, torch.div),
    "power": (Power, torch.pow),
    "maximum": (Maximum, torch.maximum),
    "minimum": (Minimum, torch.minimum),
}
SHAPES = {
    "same": [(4, 3), (4, 3)],
    "row": [(4, 3), (3,)],
    "column": [(4, 1), (4, 3)],
    "ranks": [(3,), (2, 4, 1)],
    "number": [(4, 3), ()],
}


def operand(name, shape):
    return positive(*shape) if name in ("divide", "power") else shape


def referred(function):
    return lambda p, *xs: function(*xs)


CASES = [
    *(
        Case(
            f"{name}-{kind}",
            cls(),
            [operand(name, shape) for shape in shapes],
            referred(function),
            batched=kind in ("same", "column"),
        )
        for name, (cls, function) in BINARY.items()
        for kind, shapes in SHAPES.items()
    ),
    Case("add-2", Add(2.0), [(4, 3)], lambda p, x: x + 2),
    Case("multiply-2", Multiply(-2), [(4, 3)], lambda p, x: x * -2),
    Case("divide-3", Divide(3), [(4, 3)], lambda p, x: x / 3),
    *(
        Case(f"power-{e:g}", Power(e), [positive(4, 3)], lambda p, x, e=e: x**e)
        for e in (0, 1, 2.0, 3, 0.5, -1, 1.7)
        if e
    ),
    Case("power-of-negatives", Power(3), [(4, 3)], lambda p, x: x**3),
    Case("maximum-0", Maximum(0), [(4, 3)], lambda p, x: torch.maximum(x, torch.zeros_like(x))),
    Case("minimum-half", Minimum(0.503), [(4, 3)], lambda p, x: torch.minimum(x, torch.full_like(x, 0.503))),
    Case("where", Where(), [mask(4, 3), (4, 3), (4, 3)], lambda p, c, a, b: torch.where(c, a, b)),
    Case("where-rows", Where(), [mask(4, 1), (4, 3), (1, 3)], lambda p, c, a, b: torch.where(c, a, b), batched=False),
    Case("where-ranks", Where(), [mask(2, 4, 1), (), (3,)], lambda p, c, a, b: torch.where(c, a, b), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def assert_as_torch(operator, reference, *xs):
    """Equal values and gradients, nan and infinities included."""
    case = Case("special", operator, [tuple(x.shape) for x in xs], lambda p, *xs: reference(*xs))
    dy = normal(reference(*xs).shape, torch.Generator().manual_seed(3))
    found, expected = by_hand(case, {}, xs, dy), by_autograd(case, {}, xs, dy)
    torch.testing.assert_close(found.y, expected.y, equal_nan=True)
    torch.testing.assert_close(found.dxs, expected.dxs, equal_nan=True)


SPECIAL = torch.tensor([0.0, -0.0, 1, -1, 2, math.inf, -math.inf, math.nan], dtype=torch.float64)


@pytest.mark.parametrize("name", [*BINARY])
def test_ties_zeros_infinities_and_nan_are_those_of_torch(name):
    cls, function = BINARY[name]
    assert_as_torch(cls(), function, SPECIAL, SPECIAL.clone())
    assert_as_torch(cls(), function, SPECIAL[:, None], SPECIAL.clone())


@pytest.mark.parametrize("value", [0, 1, 2, 3, -1, 0.5])
@pytest.mark.parametrize("name", [*BINARY])
def test_a_number_is_an_operand_as_in_torch(name, value):
    cls, function = BINARY[name]
    like = name in ("maximum", "minimum")
    assert_as_torch(cls(value), lambda x: function(x, torch.full_like(x, value) if like else value), SPECIAL)


@pytest.mark.parametrize(("cls", "bound"), [(Maximum, "min"), (Minimum, "max")])
def test_equal_operands_share_the_gradient(cls, bound):
    x = torch.ones(2)
    for operator, xs in [(cls(), (x, x.clone())), (cls(1.0), (x,))]:
        _, saved = operator.forward({}, *xs, training=True)
        for dx in operator.backward({}, saved, torch.ones(2))[0]:
            assert dx.tolist() == [0.5, 0.5]


def test_integers_are_computed_as_torch_does():
    x = torch.arange(1, 5)
    for operator, expected in [
        (Add(2), x + 2),
        (Add(0.5), x + 0.5),
        (Multiply(2), x * 2),
        (Multiply(0.5), x * 0.5),
        (Divide(2), x / 2),
        (Power(2), x**2),
        (Maximum(2), x.clamp(min=2)),
        (Maximum(2.5), x.clamp(min=2.5)),
    ]:
        y, _ = operator.forward({}, x, training=True)
        torch.testing.assert_close(y, expected)
    y, _ = Add().forward({}, x, x / 2, training=True, out=x.clone())
    torch.testing.assert_close(y, x + x / 2)


def joined(operator, count=2):
    return Network({"join": operator}, {f"x{k}": ["join"] for k in range(count)})


def test_a_number_takes_the_place_of_the_second_input():
    for cls, name in [(Add, "other"), (Divide, "other"), (Power, "exponent"), (Maximum, "other")]:
        assert cls.slots == cls().slots == ("input", name)
        assert cls(2.0).slots == cls(**{name: 2.0}).slots == ("input",)
        assert cls(0).slots == ("input",)
        assert joined(cls(2.0), 1).inputs == ("x0",)
        with pytest.raises(ArityError, match=r"join \(\w+\) takes 1 input and is fed by x0 and x1"):
            joined(cls(2.0), 2)
        with pytest.raises(ArityError, match=r"join \(\w+\) takes 2 inputs \(input, \w+\) and is fed by x0, x1 and x2"):
            joined(cls(), 3)
    assert joined(Add(), 1).inputs == ("x0", "join")  # the slot left unfed is an input of the network
    with pytest.raises(MissingInputError, match="'join'"):
        joined(Add(), 1).forward({"x0": torch.ones(2, 3)})


def test_inputs_follow_the_edges_or_the_slots():
    a, b = torch.tensor([6.0]), torch.tensor([2.0])
    for feed, expected in [("join", 3.0), (Feed("join", slot="other"), 1 / 3), (Feed("join", slot=1), 1 / 3)]:
        net = Network({"join": Divide()}, {"a": [feed], "b": ["join"]})
        assert net.predict({"a": a, "b": b}).item() == pytest.approx(expected)
    net = Network({"join": Multiply()}, {"x": ["join", "join"]})
    assert net.forward(torch.tensor([[3.0]]))["join"].item() == 9
    assert net.backward({"join": torch.tensor([[10.0]])})["x"].item() == 60


@pytest.mark.parametrize("operator", [Add(), Multiply(), Divide(), Power(), Maximum(), Minimum()])
def test_shapes_that_do_not_broadcast_are_refused(operator):
    with pytest.raises(ShapeError, match=r"join \(\w+\) .*\(4, 2\) float32 from the input x1.*aligned at the last one"):
        joined(operator).forward({"x0": torch.ones(4, 3), "x1": torch.ones(4, 2)})


def test_a_condition_holds_booleans():
    net = Network({"pick": Where()}, {"c": ["pick"], "a": ["pick"], "b": ["pick"]})
    assert net.shapes({"c": (4, 1), "a": (4, 3), "b": (4, 3)})["pick"] == (4, 3)
    values = {"a": torch.ones(4, 3), "b": torch.zeros(4, 3)}
    assert net.predict({"c": torch.tensor([[True], [False], [True], [True]]), **values}).sum() == 9
    with pytest.raises(ShapeError, match=r"pick \(Where\) .*does not hold booleans: give condition != 0.*float32"):
        net.predict({"c": torch.ones(4, 1), **values})
    with pytest.raises(ShapeError, match=r"pick \(Where\) .*aligned at the last one"):
        net.predict({"c": torch.ones(4, 2).bool(), **values})


def test_what_nobody_reads_again_may_be_written_over():
    for operator, count in [(Add(), 2), (Add(2.0), 1)]:
        xs = [torch.rand(3, 2) for _ in range(count)]
        y, _ = operator.forward({}, *xs, training=True)
        over, _ = operator.forward({}, *xs, training=True, out=xs[-1])
        assert torch.equal(over, y)
        assert over is xs[-1]
    row, x = torch.rand(2), torch.rand(3, 2)
    assert torch.equal(Add().forward({}, row, x, training=True, out=x.clone())[0], row + x)


def test_settings_are_checked():
    with pytest.raises(SettingError, match="Add: other must be a finite number, not 'one'"):
        Add("one")
    with pytest.raises(SettingError, match="Power: exponent must be a finite number, not nan"):
        Power(math.nan)


def test_texts():
    assert Add(2.0).describe() == "other 2"
    assert Power(exponent=0.5).describe() == "exponent 0.5"
    assert Where().describe() == Add().describe() == ""
    assert {cls.family for cls, _ in BINARY.values()} | {Where.family} == {"arithmetic"}
