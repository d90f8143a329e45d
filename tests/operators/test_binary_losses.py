from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from graphdl import BCELoss, BCEWithLogitsLoss, MultiLabelSoftMarginLoss, Network, SoftMarginLoss
from graphdl.errors import OperatorError, SettingError, ShapeError
from tests.operators.case import Case, compare
from tests.operators.checks import every_check
from tests.operators.losses import (
    REDUCTIONS,
    assert_arguments_of_torch,
    assert_state_carries_over,
    indices,
    probabilities,
    reduced,
    signs,
)

MODULES = [
    (kind, getattr(nn, kind.__name__))
    for kind in (BCELoss, BCEWithLogitsLoss, MultiLabelSoftMarginLoss, SoftMarginLoss)
]


def table(shape):
    """Numbers for a setting; the tensors that a case draws take their place."""
    return torch.ones(shape).tolist()


def weighted(kind, function, inputs, reduction, weight=None, pos_weight=None):
    given = {"class_weight": weight} if weight is not None else {}
    given |= {"pos_weight": pos_weight} if pos_weight is not None else {}

    def reference(p, x, target):
        return function(x, target.to(x.dtype), reduction=reduction, **p)

    name = f"{kind.__name__}-{len(str(weight))}-{len(str(pos_weight))}-{reduction}"
    return Case(name, kind(reduction=reduction, **given), inputs, reference)


LOGITS = [(4, 3), probabilities(4, 3)]
CASES = [
    *reduced(BCELoss, F.binary_cross_entropy, [probabilities(4, 3), probabilities(4, 3)]),
    *reduced(BCELoss, F.binary_cross_entropy, [probabilities(4, 1), indices(4, 1, classes=2)], "classes")[:1],
    *(
        weighted(BCELoss, F.binary_cross_entropy, [probabilities(4, 3), probabilities(4, 3)], r, table((3,)))
        for r in REDUCTIONS
    ),
    weighted(BCELoss, F.binary_cross_entropy, [probabilities(2, 3, 2), probabilities(2, 3, 2)], "none", table((3, 1))),
    weighted(BCELoss, F.binary_cross_entropy, [probabilities(4, 3), probabilities(4, 3)], "mean", 2.0),
    *reduced(BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, LOGITS),
    *reduced(
        BCEWithLogitsLoss,
        F.binary_cross_entropy_with_logits,
        [(4, 1), indices(4, 1, classes=2, dtype=torch.bool)],
        "bool",
    )[:1],
    *reduced(
        BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, [(2, 1, 2, 3), probabilities(2, 1, 2, 3)], "image"
    )[2:],
    *(
        weighted(BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, LOGITS, r, w, v)
        for r in REDUCTIONS
        for w, v in ((table((3,)), None), (None, table((3,))), (table((3,)), 2.0))
    ),
    weighted(
        BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, [(4, 3), indices(4, 3, classes=2)], "mean", None, 0.5
    ),
    *reduced(SoftMarginLoss, F.soft_margin_loss, [(4, 3), signs(4, 3)]),
    Case("soft-margin-floats", SoftMarginLoss(), [(4, 3), (4, 3)], lambda p, x, t: F.softplus(-x * t).mean()),
    *reduced(MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, LOGITS),
    *(
        weighted(MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, LOGITS, r, table((3,)))
        for r in REDUCTIONS
    ),
    *reduced(MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, [(3,), (3,)], "row", batched=False)[1:],
    reduced(MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, [(2, 2, 3), indices(2, 2, 3, classes=2)], "3")[0],
]  # fmt: skip


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(("operator", "module"), MODULES)
def test_arguments_are_torch_s(operator, module):
    assert_arguments_of_torch(operator, module)


def test_state_carries_over():
    x, target = torch.rand(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)
    w, v = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([4.0, 0.1, 1.0])
    assert_state_carries_over(BCELoss(class_weight=(1, 1, 1)), nn.BCELoss(w), x, target)
    assert_state_carries_over(
        BCEWithLogitsLoss(class_weight=(1, 1, 1), pos_weight=(1, 1, 1)),
        nn.BCEWithLogitsLoss(w, pos_weight=v),
        x,
        target,
    )
    assert_state_carries_over(BCEWithLogitsLoss(pos_weight=1), nn.BCEWithLogitsLoss(pos_weight=v[0]), x, target)
    assert_state_carries_over(
        MultiLabelSoftMarginLoss(class_weight=(1, 1, 1)), nn.MultiLabelSoftMarginLoss(w), x, target
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("given", [{}, {"pos_weight": 3.0}])
def test_extreme_logits_stay_finite(reduction, given):
    x = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]], dtype=torch.float64)
    target = torch.tensor([[0.0, 1.0, 0.5]], dtype=torch.float64).expand(2, 3)
    p = {name: torch.tensor(value, dtype=torch.float64) for name, value in given.items()}

    def reference(p, x, target):
        return F.binary_cross_entropy_with_logits(x, target, reduction=reduction, **p)

    compare(Case("extreme", BCEWithLogitsLoss(reduction=reduction, **given), [], reference), p, [x, target])
    y, saved = SoftMarginLoss(reduction=reduction).forward({}, x, target * 2 - 1, training=True)
    dxs, _ = SoftMarginLoss(reduction=reduction).backward({}, saved, torch.ones_like(y))
    assert all(map(torch.isfinite, (y.sum(), *(dx.sum() for dx in dxs))))  # torch overflows here
    assert SoftMarginLoss().forward({}, x[:1], -x[:1].sign(), training=True)[0] == (2000 + math.log(2)) / 3


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_probabilities_of_0_and_1(reduction):
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5], dtype=torch.float64)
    target = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64)

    leaf, operator = x.clone().requires_grad_(), BCELoss(reduction=reduction)
    expected = F.binary_cross_entropy(leaf, target, reduction=reduction)
    dy = torch.rand_like(expected)
    expected.backward(dy)
    y, saved = operator.forward({}, x, target, training=True)
    (dx, dtarget), _ = operator.backward({}, saved, dy)
    torch.testing.assert_close((y, dx), (expected.detach(), leaf.grad))
    share = dy / 5 if reduction == "mean" else dy
    expected = torch.tensor([100.0, -100, 100, -100, 0], dtype=torch.float64) * share  # infinite in torch
    torch.testing.assert_close(dtarget, expected)


@pytest.mark.parametrize("worst", [-0.1, 1.5, math.nan])
def test_logits_are_not_probabilities(worst):
    net = Network({"loss": BCELoss()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(OperatorError, match=r"loss \(BCELoss\).*Expected probabilities from 0 to 1, as Sigmoid gives"):
        net.forward({"x": torch.tensor([[0.5, worst]]), "t": torch.zeros(1, 2)})


@pytest.mark.parametrize("operator", [kind for kind, _ in MODULES])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 3), (5, 3, 1)])
def test_shapes_never_broadcast(operator, shape):
    net = Network({"loss": operator()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(
        ShapeError, match=r"loss \(\w+\) cannot take its inputs: the prediction and the target differ in"
    ):
        net.forward({"x": torch.zeros(5, 3), "t": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (
            BCELoss(class_weight=(1.0, 2.0)),
            r"class_weight has the shape \(2,\), which cannot be spread over .*\(5, 3\)",
        ),
        (BCEWithLogitsLoss(class_weight=((1.0,), (2.0,))), r"class_weight has the shape \(2, 1\), which cannot be"),
        (BCEWithLogitsLoss(pos_weight=(((1.0,),),)), r"pos_weight has the shape \(1, 1, 1\), which cannot be spread"),
        (
            MultiLabelSoftMarginLoss(class_weight=(1.0,)),
            r"class_weight has the shape \(1,\) and the prediction 3 classes",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(operator, text):
    net = Network({"loss": operator}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(ShapeError, match=text):
        net.forward({"x": torch.full((5, 3), 0.5), "t": torch.zeros(5, 3)})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"pos_weight": torch.ones(2)}, r"a tuple of .*numbers.* not tensor.* write tuple\(weights.tolist\(\)\)"),
        ({"pos_weight": "2"}, "must be a finite number, or a tuple of finite numbers"),
        ({"class_weight": ((1.0, 2.0), (1.0,))}, r"such as \(1.0, 2.0\), not"),
        ({"class_weight": (1.0, math.inf)}, "must be a finite number, or a tuple"),
    ],
)
def test_settings_are_checked(settings, text):
    with pytest.raises(SettingError, match=f"BCEWithLogitsLoss: {next(iter(settings))} .*{text}"):
        BCEWithLogitsLoss(**settings)


def test_a_scalar_has_no_classes():
    net = Network({"loss": MultiLabelSoftMarginLoss()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(ShapeError, match="the prediction has no axis of classes"):
        net.forward({"x": torch.zeros(()), "t": torch.zeros(())})


def test_lists_are_stored_as_tuples():
    operator = BCEWithLogitsLoss(class_weight=[[1, 2], [3, 4]], pos_weight=[2.0])
    assert operator == BCEWithLogitsLoss(class_weight=((1, 2), (3, 4)), pos_weight=(2.0,))
    assert hash(operator)
    assert {name: buffer.shape for name, buffer in operator.buffers().items()} == {"weight": (2, 2), "pos_weight": (1,)}
