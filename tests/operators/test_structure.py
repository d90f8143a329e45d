from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from graphdl import Feed, Flatten, Identity, Item, Linear, Network, Operator, Sum, check_gradients
from graphdl.errors import GradientError, GraphDLError, SettingError, ShapeError
from graphdl.registry import is_registered
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

CASES = [
    Case(f"identity-{len(shape)}d", Identity(), [shape], lambda p, x: x)
    for shape in [(4,), (4, 3), (2, 3, 4), (2, 3, 2, 2)]
]
CASES += [
    Case(f"flatten-{name}", operator, [shape], lambda p, x, o=operator: torch.flatten(x, o.start_dim, o.end_dim))
    for name, operator, shape in [
        ("image", Flatten(), (2, 3, 2, 2)),
        ("matrix", Flatten(), (4, 3)),
        ("middle", Flatten(1, 2), (2, 3, 2, 2)),
        ("end", Flatten(start_dim=-2), (2, 3, 4)),
        ("all", Flatten(0), (2, 3, 2)),
    ]
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@dataclass(frozen=True)
class Powers(Operator):
    """x (n, c) -> (x, x², x³)."""

    slots: ClassVar = ("input",)

    def forward(self, p, x, *, training):
        return (x.clone(), x**2, x**3), x

    def backward(self, p, x, dy):
        d1, d2, d3 = dy
        return (d1 + 2 * x * d2 + 3 * x**2 * d3,), {}


def tuple_network(**picked):
    """Nodes that pick from the powers of x: name -> index."""
    operators = {"powers": Powers(), **{name: Item(index) for name, index in picked.items()}}
    return Network(operators, {"x": ["powers"], "powers": list(picked)}, dtype=torch.float64)


@pytest.mark.parametrize("index", [0, 1, 2, -1, -3])
def test_item_picks_and_sends_back_to_its_place_alone(index):
    x = torch.randn(4, 3, dtype=torch.float64)
    net = tuple_network(item=index)
    value = net.forward(x)["item"]
    power = index % 3 + 1
    torch.testing.assert_close(value, x**power, rtol=0, atol=0)
    dy = upstream(value)
    torch.testing.assert_close(net.backward({"item": dy})["x"], power * x ** (power - 1) * dy)
    places = net.value_gradients["powers"]
    assert [bool(place.any()) for place in places] == [k == index % 3 for k in range(3)]


def test_several_items_add_up():
    x = torch.randn(4, 3, dtype=torch.float64)
    net = tuple_network(a=0, b=2, c=2, d=-2)
    dys = {key: upstream(value, seed) for seed, (key, value) in enumerate(net.forward(x).items())}
    expected = dys["a"] + 3 * x**2 * (dys["b"] + dys["c"]) + 2 * x * dys["d"]
    torch.testing.assert_close(net.backward(dys)["x"], expected)
    assert check_gradients(net, {"x": x}) < 1e-7


def test_an_edge_scales_all_elements_of_a_tuple():
    x = torch.randn(4, 3, dtype=torch.float64)
    operators = {"powers": Powers(), "a": Item(1), "b": Item(1)}
    edges = {"x": ["powers"], "powers": [Feed("a", gradient=-0.5), Feed("b", gradient=0)]}
    net = Network(operators, edges, dtype=torch.float64)
    dys = {key: upstream(value, seed) for seed, (key, value) in enumerate(net.forward(x).items())}
    torch.testing.assert_close(net.backward(dys)["x"], -0.5 * 2 * x * dys["a"])


def test_a_tuple_may_be_a_sink_with_a_tuple_of_gradients():
    x = torch.randn(4, 3, dtype=torch.float64)
    net = Network({"powers": Powers()}, {"x": ["powers"]}, dtype=torch.float64)
    dy = tuple(upstream(value, seed) for seed, value in enumerate(net.forward(x)["powers"]))
    torch.testing.assert_close(net.backward({"powers": dy})["x"], dy[0] + 2 * x * dy[1] + 3 * x**2 * dy[2])
    with pytest.raises(ShapeError, match="the value of powers has the shape"):
        net.backward({"powers": dy[:2]})


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_beyond_the_tuple_is_refused(index):
    with pytest.raises(ShapeError, match=rf"item \(Item\) .*Item\({index}\) picks from .* is a tuple of 3 tensors"):
        tuple_network(item=index).forward(torch.zeros(4, 3))


def test_item_of_a_tensor_is_refused():
    net = Network({"fc": Linear(2, 2), "item": Item(0)}, {"x": ["fc"], "fc": ["item"]})
    with pytest.raises(ShapeError, match=r"item \(Item\) .*its input is one tensor, not a tuple"):
        net.forward(torch.zeros(4, 2))


def test_a_tuple_where_a_tensor_is_expected_is_told():
    net = Network({"powers": Powers(), "sum": Sum()}, {"x": ["powers"], "powers": ["sum"]})
    with pytest.raises(GraphDLError, match=r"sum \(Sum\) .*a tuple of \(4, 3\) float32, .* from powers"):
        net.forward(torch.zeros(4, 3))


def test_shapes_of_tuples():
    assert tuple_network(item=1).shapes({"x": (4, 3)}) == {
        "x": (4, 3),
        "powers": ((4, 3),) * 3,
        "item": (4, 3),
    }


def test_a_fault_in_one_place_of_a_tuple_is_seen():
    class Faulty(Powers):
        def backward(self, p, x, dy):
            d1, d2, d3 = dy
            return (d1 + 2 * x * d2 + 3 * x**2 * d3 * 1.0005,), {}

    x = torch.rand(3, 2, dtype=torch.float64) + 0.5
    assert check_gradients(Powers(), x) < 1e-7
    with pytest.raises(GradientError):
        check_gradients(Faulty(), x)


def test_flatten_copies_and_keeps_nothing():
    x = torch.randn(2, 3, 2, 2)
    y, saved = Flatten().forward({}, x, training=True)
    assert y.data_ptr() == x.data_ptr()
    assert saved == x.shape
    assert torch.equal(y, nn.Flatten()(x))
    assert (Flatten().start_dim, Flatten().end_dim) == (nn.Flatten().start_dim, nn.Flatten().end_dim)


@pytest.mark.parametrize(
    ("operator", "shape"), [(Flatten(), (4,)), (Flatten(3, 1), (1, 2, 3, 4)), (Flatten(0, 5), (2, 2))]
)
def test_flatten_needs_its_axes(operator, shape):
    net = Network({"flat": operator}, {"x": ["flat"]})
    with pytest.raises(ShapeError, match=rf"flat \(Flatten\) .* Expected an axis {operator.start_dim} and, no earlier"):
        net.forward(torch.zeros(shape))


def test_the_axes_of_flatten_are_whole_numbers():
    with pytest.raises(SettingError, match=r"^Flatten: end_dim is a whole number, not 1\.0"):
        Flatten(1, 1.0)


def test_texts():
    assert is_registered(Item)
    assert is_registered(Identity)
    assert (Item(1), hash(Item(1))) == (Item(index=1), hash(Item(1)))
    assert Item(1) != Item(2)
    assert (Item(2).describe(), Identity().describe()) == ("index 2", "")
    assert Item.family == Identity.family == "structure"
    assert (Flatten().describe(), Flatten(2).describe(), Flatten.family) == ("", "start_dim 2", "reshape")
