from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from graphdl import CosineEmbeddingLoss, HingeEmbeddingLoss, Linear, MarginRankingLoss, Network, TripletMarginLoss
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, compare
from tests.operators.checks import every_check
from tests.operators.losses import REDUCTIONS, assert_arguments_of_torch, indices, reduced, signs

FUNCTIONS = {
    HingeEmbeddingLoss: F.hinge_embedding_loss,
    MarginRankingLoss: F.margin_ranking_loss,
    CosineEmbeddingLoss: F.cosine_embedding_loss,
    TripletMarginLoss: F.triplet_margin_loss,
}
MODULES = [(kind, getattr(nn, kind.__name__)) for kind in FUNCTIONS]
TRIPLET = [(5, 3)] * 3


def triplet(name, *, reduction="mean", inputs=TRIPLET, **settings):
    return Case(
        f"triplet-{name}-{reduction}",
        TripletMarginLoss(reduction=reduction, **settings),
        inputs,
        lambda p, *xs: F.triplet_margin_loss(*xs, reduction=reduction, **settings),
    )


CASES = [
    *reduced(HingeEmbeddingLoss, F.hinge_embedding_loss, [(4, 3), signs(4, 3)], margin=0.4),
    *reduced(MarginRankingLoss, F.margin_ranking_loss, [(4, 3), (4, 3), signs(4, 3)], margin=0.3),
    *reduced(MarginRankingLoss, F.margin_ranking_loss, [(4,), (4,), (4,)], "floats")[:1],
    *reduced(CosineEmbeddingLoss, F.cosine_embedding_loss, [(5, 3), (5, 3), signs(5)], margin=-0.2),
    *reduced(CosineEmbeddingLoss, F.cosine_embedding_loss, [(3,), (3,), signs()], "one", batched=False)[:1],
    *(triplet("plain", reduction=r) for r in REDUCTIONS),
    *(triplet("swapped", reduction=r, swap=True, margin=2.0) for r in REDUCTIONS),
    triplet("absolute", p=1, swap=True),
    triplet("cubic", p=3.5, eps=1e-3),
    triplet("largest", p=math.inf, reduction="none"),
    triplet("halves", p=0.5, swap=True, reduction="sum"),
    triplet("images", inputs=[(2, 2, 3)] * 3, reduction="none"),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(("operator", "module"), MODULES)
def test_arguments_are_torch_s(operator, module):
    assert_arguments_of_torch(operator, module)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_at_kinks(reduction):
    x = torch.tensor([0.5, 0.5, 2.0, -1.0, math.inf, -math.inf, math.nan], dtype=torch.float64)
    t = torch.tensor([1, -1, -1, -1, 1, 1, 1])
    for kind, inputs in ((HingeEmbeddingLoss, [x, t]), (MarginRankingLoss, [x, torch.zeros_like(x), t])):
        settings = {"margin": 0.5, "reduction": reduction}
        case = Case("kinks", kind(**settings), [], lambda p, *xs, f=FUNCTIONS[kind], s=settings: f(*xs, **s))
        compare(case, {}, inputs)


def test_vectors_of_length_0():
    zero = torch.zeros(2, 3, dtype=torch.float64)
    case = Case("zero", CosineEmbeddingLoss(margin=0.0), [], lambda p, *xs: F.cosine_embedding_loss(*xs))
    compare(case, {}, [zero, torch.ones(2, 3, dtype=torch.float64), torch.tensor([1, -1])])
    for p in (1, 2.0, 3.0, math.inf):
        case = triplet("zero", p=p, eps=0.0, swap=True)
        dy = torch.ones((), dtype=torch.float64)
        y, saved = case.operator.forward({}, zero, zero, zero, training=True)
        found, _ = case.operator.backward({}, saved, dy)
        assert y == 1
        assert all(torch.equal(each, zero) for each in found)


@pytest.mark.parametrize("p", [1, 2.0, 3.0, math.inf])
def test_ties_are_halved(p):
    a = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    compare(triplet("tie", p=p, swap=True, margin=9.0, eps=0.0), {}, [a, a.neg(), torch.zeros_like(a)])


def test_a_siamese_network_trains_by_slots():
    from graphdl import Feed, Shared

    operators = {"a": Linear(4, 2), "b": Shared("a"), "loss": CosineEmbeddingLoss()}
    net = Network(operators, {"x1": ["a"], "x2": ["b"], "a": [Feed("loss", slot="input1")],
                              "b": [Feed("loss", slot="input2")], "t": ["loss"]}, seed=0)  # fmt: skip
    found = net.predict({"x1": torch.ones(3, 4), "x2": torch.zeros(3, 4)})
    assert {key: tuple(value.shape) for key, value in found.items()} == {"a": (3, 2), "b": (3, 2)}


def fed(operator, *inputs):
    names = [f"x{k}" for k in range(len(inputs))]
    return Network({"loss": operator}, {name: ["loss"] for name in names}), dict(zip(names, inputs, strict=True))


@pytest.mark.parametrize(
    ("operator", "shapes", "text"),
    [
        (HingeEmbeddingLoss(), [(5, 3), (5, 1)], "differ in shape.*whose elements are 1 or -1"),
        (
            MarginRankingLoss(),
            [(5,), (5,), (1,)],
            "the inputs differ in shape.*two inputs and a target of the same shape",
        ),
        (MarginRankingLoss(), [(5,), (1,), (5,)], "differ in shape"),
        (
            CosineEmbeddingLoss(),
            [(5, 3), (5, 3), (5, 1)],
            r"do not fit together.*two inputs \(n, i\) and a target \(n\)",
        ),
        (CosineEmbeddingLoss(), [(5, 3), (1, 3), (5,)], "do not fit together"),
        (CosineEmbeddingLoss(), [(5, 3, 2), (5, 3, 2), (5, 3)], "do not fit together"),
        (TripletMarginLoss(), [(5, 3), (5, 3), (1, 3)], "differ in shape.*an anchor, a positive and a negative of the"),
        (TripletMarginLoss(), [(), (), ()], "no axis of features"),
    ],
)
def test_shapes_never_broadcast(operator, shapes, text):
    net, given = fed(operator, *map(torch.ones, shapes))
    with pytest.raises(ShapeError, match=rf"loss \({type(operator).__name__}\) cannot take its inputs: .*{text}"):
        net.forward(given)


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (TripletMarginLoss, {"margin": 0}, "margin must be a finite number above 0, not 0"),
        (TripletMarginLoss, {"p": 0}, "p must be a number above 0, or math.inf, not 0"),
        (TripletMarginLoss, {"p": "2"}, "p must be a number above 0, or math.inf, not '2'"),
        (TripletMarginLoss, {"swap": 1}, "swap must be True or False, not 1"),
        (MarginRankingLoss, {"margin": None}, "margin must be a finite number, not None"),
        (HingeEmbeddingLoss, {"margin": math.inf}, "margin must be a finite number, not inf"),
        (CosineEmbeddingLoss, {"reduction": "batchmean"}, "reduction must be 'mean' or 'sum' or 'none'"),
    ],
)
def test_settings_are_checked(kind, settings, text):
    with pytest.raises(SettingError, match=f"^{kind.__name__}: {text}"):
        kind(**settings)


def test_integer_targets_have_no_gradient_that_matters():
    case = CASES[3]
    p, xs = case.draw()
    assert indices(3)(torch.Generator()).dtype is torch.int64
    _, saved = case.forward(p, xs)
    dxs, _ = case.operator.backward(p, saved, torch.ones((), dtype=torch.float64), {"input2": None})
    assert [dx is None for dx in dxs] == [True, False, True]
