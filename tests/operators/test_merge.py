from __future__ import annotations

import functools
import operator as python

import pytest
import torch

from graphdl import Concat, Mean, MSELoss, Network, Product, Subtract, Sum
from graphdl.errors import ArityError, DuplicateSlotError, GraphDLError, ShapeError
from graphdl.graph import Feed
from tests.operators.case import Case, normal
from tests.operators.checks import every_check


def total(p, *xs):
    return functools.reduce(python.add, xs)


def mean(p, *xs):
    return total(p, *xs) / len(xs)


def product(p, *xs):
    return functools.reduce(python.mul, xs)


def holed(generator):
    """Numbers with two zeros, which no quotient y / x_k survives."""
    x = normal((4, 3), generator)
    return x.masked_fill(torch.tensor([[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.bool), 0)


ELEMENTWISE = [("sum", Sum(), total), ("mean", Mean(), mean), ("product", Product(), product)]
BROADCAST = [
    [(4, 3), (4, 1)],
    [(4, 1), (1, 3), (1, 1)],
    [(1, 3, 2), (4, 1, 2), (4, 3, 1), (4, 3, 2)],
    [(1, 3), (1, 3), (4, 3)],
]
CASES = [
    *(
        Case(f"{name}-of-{k}", operator, [(4, 3)] * k, reference)
        for name, operator, reference in ELEMENTWISE
        for k in range(1, 6)
    ),
    *(
        Case(f"{name}-broadcast-{k}", operator, shapes, reference)
        for name, operator, reference in ELEMENTWISE
        for k, shapes in enumerate(BROADCAST)
    ),
    *(Case(f"{name}-4d", operator, [(2, 3, 2, 2)] * 2, reference) for name, operator, reference in ELEMENTWISE),
    *(
        Case(f"{name}-numbers", operator, [()] * 3, reference, batched=False)
        for name, operator, reference in ELEMENTWISE
    ),
    Case("product-with-zeros", Product(), [holed, (4, 3), holed], product),
    Case("product-of-zeros", Product(), [holed, holed, (4, 3), (4, 3), (4, 3)], product),
    Case("subtract", Subtract(), [(4, 3), (4, 3)], lambda p, a, b: a - b),
    Case("subtract-column", Subtract(), [(4, 3), (4, 1)], lambda p, a, b: a - b),
    Case("subtract-from-row", Subtract(), [(1, 3), (4, 3)], lambda p, a, b: a - b),
    Case("subtract-3d", Subtract(), [(2, 3, 1), (2, 1, 4)], lambda p, a, b: a - b),
    *(
        Case(f"concat-of-{k}", Concat(), [(4, i + 1) for i in range(k)], lambda p, *xs: torch.cat(xs, 1))
        for k in range(1, 6)
    ),
    Case("concat-last", Concat(axis=-1), [(2, 3, 4), (2, 3, 1)], lambda p, *xs: torch.cat(xs, -1)),
    Case("concat-images", Concat(), [(2, 1, 2, 2), (2, 3, 2, 2)], lambda p, *xs: torch.cat(xs, 1)),
    Case("concat-batch", Concat(axis=0), [(2, 3), (4, 3)], lambda p, *xs: torch.cat(xs, 0)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def joined(operator, count=2):
    return Network({"join": operator}, {f"x{k}": ["join"] for k in range(count)})


@pytest.mark.parametrize("operator", [Sum(), Mean(), Product(), Subtract()])
def test_different_ranks_are_refused(operator):
    with pytest.raises(
        ShapeError, match=r"join \(\w+\) .*same number of axes.*\(4, 3\) float32 from the input x0, \(3,\)"
    ):
        joined(operator).forward({"x0": torch.zeros(4, 3), "x1": torch.zeros(3)})


@pytest.mark.parametrize("operator", [Sum(), Mean(), Product(), Subtract()])
def test_different_lengths_are_refused(operator):
    with pytest.raises(ShapeError, match=r"join \(\w+\) cannot take its inputs.*\(4, 2\) float32 from the input x1"):
        joined(operator).forward({"x0": torch.zeros(4, 3), "x1": torch.zeros(4, 2)})


def test_concat_says_what_must_agree():
    with pytest.raises(ShapeError, match=r"join \(Concat\) .*Expected inputs of the same shape except along axis 1\."):
        joined(Concat()).forward({"x0": torch.zeros(4, 3), "x1": torch.zeros(5, 3)})
    with pytest.raises(GraphDLError, match=r"join \(Concat\)"):
        joined(Concat(axis=2)).forward({"x0": torch.zeros(4, 3), "x1": torch.zeros(4, 3)})


def test_integers_and_floats_add_up_in_any_order():
    whole, half = torch.ones(2, 3, dtype=torch.int64), torch.full((2, 3), 0.5)
    for xs in [(whole, whole, half), (half, whole, whole), (whole, half, whole)]:
        y, _ = Sum().forward({}, *xs, training=True)
        assert torch.equal(y, torch.full((2, 3), 2.5))
    assert joined(Sum(), 3).predict({"x0": whole, "x1": whole, "x2": half}).dtype is torch.float32


def test_one_input_passes_through():
    x = torch.randn(4, 3)
    for operator in (Sum(), Mean(), Product(), Concat()):
        y, saved = operator.forward({}, x, training=True)
        assert torch.equal(y, x)
        assert torch.equal(operator.backward({}, saved, x)[0][0], x)


def test_the_same_edge_twice_counts_twice():
    x, dy = torch.tensor([[3.0]]), torch.tensor([[10.0]])
    for operator, y, dx in [(Sum(), 6, 20), (Mean(), 3, 10), (Product(), 9, 60), (Subtract(), 0, 0)]:
        net = Network({"join": operator}, {"x": ["join", "join"]})
        assert net.forward(x)["join"].item() == y
        assert net.backward({"join": dy})["x"].item() == dx


def test_order_follows_the_edges_or_the_slots():
    a, b = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    for feed, expected in [(["join"], -1.0), ([Feed("join", slot="subtrahend")], 1.0), ([Feed("join", slot=1)], 1.0)]:
        net = Network({"join": Subtract()}, {"a": feed, "b": ["join"]})
        assert net.forward({"a": a, "b": b})["join"].item() == expected
    net = Network({"join": Concat()}, {"a": [Feed("join", slot=1)], "b": ["join"]})
    assert net.forward({"a": a, "b": b})["join"].tolist() == [[2.0, 1.0]]


def test_slots_are_checked():
    with pytest.raises(ArityError, match=r"takes 2 inputs \(minuend, subtrahend\) and is fed by x0, x1 and x2"):
        joined(Subtract(), 3)
    with pytest.raises(DuplicateSlotError, match="slot 0 is fed by both a and b"):
        Network({"join": Sum()}, {"a": [Feed("join", slot=0)], "b": [Feed("join", slot=0)]})


def test_texts():
    assert Sum().describe() == Mean().describe() == Product().describe() == Concat().describe() == ""
    assert Concat(axis=2).describe() == "axis 2"
    assert Concat(axis=2).expects() == "inputs of the same shape except along axis 2"
    assert {operator.family for operator in (Sum, Mean, Product, Subtract, Concat)} == {"merge"}
    assert MSELoss.family != "merge"
