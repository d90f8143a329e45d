from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional

from graphdl import (
    Cast,
    Feed,
    Identity,
    Item,
    L1Loss,
    Linear,
    Network,
    OneHot,
    Operator,
    StopGradient,
    Sum,
    check_gradients,
    fit,
    reads,
)
from graphdl.errors import GradientError, GraphDLError, OperatorError, SettingError, ShapeError
from graphdl.operators.tuples import TupleGradient
from graphdl.optim import SGD
from graphdl.registry import is_registered
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

CASES = [
    Case(f"identity-{len(shape)}d", Identity(), [shape], lambda p, x: x)
    for shape in [(4,), (4, 3), (2, 3, 4), (2, 3, 2, 2)]
]


def integers(*shape, below=3, dtype=torch.int64):
    return lambda generator: torch.randint(below, shape, generator=generator).to(dtype)


CASES += [
    Case("cast-floats", Cast("float32"), [(4, 3)], lambda p, x: x.float()),
    Case("cast-same", Cast("float64"), [(4, 3)], lambda p, x: x.double()),
    Case("cast-to-integers", Cast("int64"), [(4, 3)], lambda p, x: x.long()),
    Case("cast-from-integers", Cast("float64"), [integers(4, 3)], lambda p, x: x.double()),
    Case("cast-to-booleans", Cast("bool"), [integers(4, 3)], lambda p, x: x.bool()),
    Case("one-hot", OneHot(3), [integers(5)], lambda p, x: functional.one_hot(x, 3)),
    Case(
        "one-hot-sequence", OneHot(4), [integers(2, 3, dtype=torch.int32)], lambda p, x: functional.one_hot(x.long(), 4)
    ),
    Case("stop-gradient", StopGradient(), [(4, 3)], lambda p, x: x.detach()),
]
EXCEPTIONS = {
    "stop-gradient": ("agrees_with_differences", "passes_gradcheck"),  # by intention not the derivative
    "cast-to-integers": ("agrees_with_differences", "passes_gradcheck"),  # a step has none
    "cast-floats": ("agrees_with_differences", "passes_gradcheck", "works_in_a_network"),  # few digits
}


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    if check.__name__ not in EXCEPTIONS.get(case.name, ()):
        check(case)


@dataclass(frozen=True)
class Powers(Operator):
    """x (n, c) -> (x, x², x³)."""

    slots: ClassVar = ("input",)

    def forward(self, p, x, *, training):
        return (x.clone(), x**2, x**3), x

    def backward(self, p, x, dy):
        slopes = (torch.ones_like(x), 2 * x, 3 * x**2)
        return (sum(slope * d for slope, d in zip(slopes, dy, strict=True) if d is not None),), {}


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
    assert [place is not None for place in places] == [k == index % 3 for k in range(3)]
    assert places[index] is dy


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
    with pytest.raises(ShapeError, match=rf"item \(Item\) .*Item\({index}\) selects from .* is a tuple of 3 tensors"):
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
            return super().backward(p, x, (d1, d2, None if d3 is None else d3 * 1.0005))

    x = torch.rand(3, 2, dtype=torch.float64) + 0.5
    assert check_gradients(Powers(), x) < 1e-7
    with pytest.raises(GradientError):
        check_gradients(Faulty(), x)


def test_a_backward_that_does_not_expect_none_is_told():
    class Naive(Powers):
        def backward(self, p, x, dy):
            return (dy[0] + 2 * x * dy[1] + 3 * x**2 * dy[2],), {}

    x = torch.rand(3, 2, dtype=torch.float64)
    with pytest.raises(OperatorError, match=r"dy is None for each that nothing used\. A backward returns"):
        check_gradients(Naive(), x)
    net = Network({"powers": Naive(), "item": Item(1)}, {"x": ["powers"], "powers": ["item"]}, dtype=torch.float64)
    net.forward(x)
    with pytest.raises(OperatorError, match=r"powers \(Naive\) failed in backward: .*dy is None for each that nothing"):
        net.backward({"item": x})


def test_a_backward_that_takes_none_for_something_else_is_told():
    class Odd(Powers):
        def backward(self, p, x, dy):
            return super().backward(p, x, [x if d is None else d for d in dy])

    with pytest.raises(GradientError, match="If only output 0 of 'Odd' is used, dy is None"):
        check_gradients(Odd(), torch.rand(3, 2, dtype=torch.float64))


def test_an_element_of_a_start_may_be_none():
    x = torch.randn(4, 3, dtype=torch.float64)
    net = tuple_network(item=2)
    y = net.forward(x)["item"]
    sent = net.backward({"powers": (None, x, None), "item": y})["x"]
    torch.testing.assert_close(sent, 2 * x * x + 3 * x**2 * y)


@dataclass(frozen=True)
class First(Operator):
    """Passes on the first of a tuple, and sends this back."""

    send: Any

    def forward(self, p, x, *, training):
        return x[0], x

    def backward(self, p, x, dy):
        return (self.send(x, dy),), {}


def odd_network(send):
    nodes = {"powers": Powers(), "item": Item(0), "odd": First(send)}
    return Network(nodes, {"x": ["powers"], "powers": ["item", "odd"]}, dtype=torch.float64)


def test_a_consumer_of_a_tuple_sends_a_tuple_with_none():
    x = torch.randn(4, 3, dtype=torch.float64)
    net = odd_network(lambda x, dy: (dy, None, 2 * dy))
    net.forward(x)
    sent = net.backward({"item": x, "odd": torch.ones_like(x)})["x"]
    torch.testing.assert_close(sent, x + 1 + 6 * x**2)


@pytest.mark.parametrize("send", [lambda x, dy: (dy, None), lambda x, dy: (dy[:1], None, None), lambda x, dy: dy])
def test_a_tuple_of_another_form_is_refused(send):
    x = torch.randn(4, 3, dtype=torch.float64)
    net = odd_network(send)
    net.forward(x)
    with pytest.raises(OperatorError):
        net.backward({"item": x, "odd": torch.ones_like(x)})
    with pytest.raises(OperatorError, match="returned a gradient of the shape"):
        net.backward({"odd": torch.ones_like(x)})


@dataclass(frozen=True)
class Columns(Operator):
    """The columns of x, each a tensor; counts the tensors that backward gets."""

    count: int

    def forward(self, p, x, *, training):
        return x.unbind(1), x

    def backward(self, p, x, dy):
        dx = torch.zeros_like(x)
        for k, d in enumerate(dy):
            if d is not None:
                dx[:, k] = d
        return (dx,), {}


@pytest.mark.parametrize("used", [range(16), range(3, 16, 4)])
def test_fit_trains_on_a_tuple_of_which_some_is_used(used):
    items = {f"item{k}": Item(k) for k in used}
    operators = {"fc": Linear(3, 16), "columns": Columns(16), **items, "sum": Sum(), "loss": L1Loss()}
    edges = {"x": ["fc"], "fc": ["columns"], "columns": [*items], **{item: ["sum"] for item in items}, "sum": ["loss"]}
    net, twin = (Network(operators, {**edges, "y": ["loss"]}, seed=0, dtype=torch.float64) for _ in range(2))
    data = {"x": torch.randn(8, 3, dtype=torch.float64), "y": torch.randn(8, dtype=torch.float64)}
    fit(net, data, optimizer=SGD(lr=0.1), epochs=5, batch_size=8, shuffle=False, progress=False)
    weight, bias = twin.parameters["fc.weight"], twin.parameters["fc.bias"]
    for _ in range(5):
        leaves = weight.clone().requires_grad_(), bias.clone().requires_grad_()
        y = torch.nn.functional.linear(data["x"], *leaves)[:, list(used)].sum(1)
        gradients = torch.autograd.grad((y - data["y"]).abs().mean(), leaves)
        weight, bias = (tensor.detach() - 0.1 * g for tensor, g in zip(leaves, gradients, strict=True))
    torch.testing.assert_close(net.parameters["fc.weight"], weight, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(net.parameters["fc.bias"], bias, rtol=1e-10, atol=1e-12)


def additions(count):
    """How many elements of tuples are touched while `count` items send their gradients."""
    touched = 0

    class Counting(dict):
        def __setitem__(self, key, value):
            nonlocal touched
            touched += 1
            super().__setitem__(key, value)

        def items(self):
            nonlocal touched
            touched += len(self)
            return super().items()

    total = TupleGradient(count, Counting({0: torch.zeros(1)}))
    for k in range(count):
        ((sent,), _) = Item(k).backward({}, count, torch.ones(1))
        assert len(sent.elements) == 1
        total.add(TupleGradient(sent.count, Counting(sent.elements)))
    assert all(element is not None for element in total.as_tuple())
    return touched


def test_many_items_add_up_in_linear_time():
    assert additions(512) < 2.1 * additions(256)


def test_sums_of_elements_change_no_other_tensor():
    a, b, c = (torch.full((2,), float(k)) for k in (1, 2, 4))
    total = TupleGradient.of((a, None))
    total.add((b, None))
    total.add(TupleGradient(2, {0: c}))
    total.add((None, c))
    assert [element.tolist() for element in total.as_tuple()] == [[7, 7], [4, 4]]
    assert [tensor.tolist() for tensor in (a, b, c)] == [[1, 1], [2, 2], [4, 4]]


def test_types_are_named():
    with pytest.raises(
        SettingError, match=r"^Cast: dtype must be 'float64' or .*, not 'float23'\. Did you mean 'float32'"
    ):
        Cast("float23")
    with pytest.raises(SettingError, match=r"^Cast: dtype must be .*, not torch\.float32"):
        Cast(torch.float32)


def test_a_cast_to_the_same_type_copies_nothing():
    x = torch.randn(2, 3)
    y, saved = Cast("float32").forward({}, x, training=True)
    assert y is x
    assert Cast("float32").backward({}, saved, x)[0][0] is x


def test_a_stopped_gradient_passes_the_value_and_no_gradient():
    x = torch.randn(4, 2)
    net = Network(
        {"fc": Linear(2, 2), "stop": StopGradient(), "out": Linear(2, 1)}, reads({"stop": ["fc"], "out": ["stop"]})
    )
    value = net.forward(x)["out"]
    assert torch.equal(net.values["stop"], net.values["fc"])
    assert net.backward({"out": torch.ones_like(value)}) == {}
    assert not net.gradients["fc.weight"].any()
    assert net.gradients["out.weight"].any()
    assert "fc" not in net.value_gradients


@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_out_of_range_is_told_with_the_range(wrong):
    net = Network({"hot": OneHot(3)}, {"x": ["hot"]})
    low, high = min(0, wrong), max(1, wrong)
    with pytest.raises(
        GraphDLError, match=rf"hot \(OneHot\) .*Expected indices from 0 to 2; these are from {low} to {high}"
    ):
        net.forward(torch.tensor([0, 1, wrong]))


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(3, dtype=torch.bool)])
def test_classes_are_integers(x):
    net = Network({"hot": OneHot(3)}, {"x": ["hot"]})
    with pytest.raises(
        ShapeError, match=r"hot \(OneHot\) .*the indices are (float32|bool): give integers, x\.long\(\)"
    ):
        net.forward(x)


def test_a_network_computes_with_classes():
    operators = {"hot": OneHot(3), "cast": Cast("float32"), "fc": Linear(out_features=2)}
    net = Network(operators, {"x": ["hot"], "hot": ["cast"], "cast": ["fc"]}, seed=0)
    x = torch.tensor([0, 2, 1, 2])
    expected = net.build({"x": ()}).parameters["fc.weight"].t()[x] + net.parameters["fc.bias"]
    torch.testing.assert_close(net.predict(x), expected)


def test_texts():
    assert is_registered(Item)
    assert is_registered(Identity)
    assert (Item(1), hash(Item(1))) == (Item(index=1), hash(Item(1)))
    assert Item(1) != Item(2)
    assert (Item(2).describe(), Identity().describe()) == ("index 2", "")
    assert Item.family == Identity.family == "structure"
    assert (Cast("int64").describe(), OneHot(5).describe(), StopGradient().describe()) == ("int64", "5", "")
