from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import BCEWithLogitsLoss, HuberLoss, Identity, L1Loss, Linear, MSELoss, Network, SmoothL1Loss, Sum, fit
from graphdl.errors import SettingError
from graphdl.optim import SGD
from tests.operators.case import Case, compare
from tests.operators.checks import every_check
from tests.operators.losses import REDUCTIONS, assert_arguments_of_torch, indices, reduced

FUNCTIONS = {
    MSELoss: functional.mse_loss,
    L1Loss: functional.l1_loss,
    SmoothL1Loss: functional.smooth_l1_loss,
    HuberLoss: functional.huber_loss,
}
MODULES = [(kind, getattr(nn, kind.__name__)) for kind in FUNCTIONS]
CASES = [
    *(case for kind, f in FUNCTIONS.items() for case in reduced(kind, f, [(4, 3), (4, 3)])),
    *(case for kind, f in FUNCTIONS.items() for case in reduced(kind, f, [(4,), (4,)], "vector")[:1]),
    *(case for kind, f in FUNCTIONS.items() for case in reduced(kind, f, [(2, 1, 2, 2), (2, 1, 2, 2)], "image")[::2]),
    *(
        case
        for kind, f in FUNCTIONS.items()
        for case in reduced(kind, f, [(4, 3), indices(4, 3, dtype=torch.uint8)], "bytes")[:1]
    ),
    *reduced(SmoothL1Loss, functional.smooth_l1_loss, [(4, 3), (4, 3)], "wide", beta=1.7),
    *reduced(SmoothL1Loss, functional.smooth_l1_loss, [(4, 3), (4, 3)], "sharp", beta=0.0)[:1],
    *reduced(HuberLoss, functional.huber_loss, [(4, 3), (4, 3)], "wide", delta=1.7),
    Case("weighted", MSELoss(weight=0.3), [(4, 3), (4, 3)], lambda p, x, t: functional.mse_loss(x, t)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(("operator", "module"), MODULES)
def test_arguments_are_torch_s(operator, module):
    assert_arguments_of_torch(operator, module)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_target_of_another_type(kind, reduction):
    """Computed in the dtype of the prediction; the gradient of a target of floats has the target's dtype."""
    x = torch.tensor([0.25, -1.5, 3.0])
    operator = kind(reduction=reduction)
    expected, _ = operator.forward({}, x, torch.tensor([0.0, 1.0, 1.0]), training=True)
    for dtype in (torch.bool, torch.int64, torch.float64, torch.float16):
        y, saved = operator.forward({}, x, torch.tensor([0, 1, 1]).to(dtype), training=True)
        torch.testing.assert_close(y, expected, rtol=0, atol=0)
        (dx, dtarget), _ = operator.backward({}, saved, torch.ones_like(y))
        assert dx.dtype is x.dtype
        if dtype.is_floating_point:
            torch.testing.assert_close(dtarget, -dx.to(dtype), rtol=0, atol=0)
        else:
            assert dtarget is None


@pytest.mark.parametrize(("kind", "bound"), [(SmoothL1Loss, "beta"), (HuberLoss, "delta")])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_at_kinks_and_beyond_numbers(kind, bound, reduction):
    x = torch.tensor([0.5, -0.5, 0.0, 2.0, -2.0, math.inf, -math.inf, math.nan], dtype=torch.float64)
    settings = {"reduction": reduction, bound: 0.5}
    case = Case("kinks", kind(**settings), [], lambda p, x, t: FUNCTIONS[kind](x, t, **settings))
    compare(case, {}, [x, torch.zeros_like(x)])


@pytest.mark.parametrize("bad", [0, -1.0, math.inf, math.nan, "1", None, True])
def test_bounds_are_checked(bad):
    with pytest.raises(SettingError, match="HuberLoss: delta must be a finite number above 0, not"):
        HuberLoss(delta=bad)
    if bad != 0:
        with pytest.raises(SettingError, match="SmoothL1Loss: beta must be a finite number of at least 0, not"):
            SmoothL1Loss(beta=bad)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [0.25, -1.0, 0, 3])
def test_the_weight_scales_the_gradient_and_not_the_value(reduction, weight):
    x, target = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    found = {}
    for share in (1.0, weight):
        operators = {"out": Identity(), "loss": MSELoss(reduction=reduction, weight=share)}
        net = Network(operators, {"x": ["out"], "out": ["loss"], "t": ["loss"]}, dtype=torch.float64)
        value = net.forward({"x": x, "t": target})["loss"]
        found[share] = value, net.backward()
    torch.testing.assert_close(found[weight][0], found[1.0][0], rtol=0, atol=0)
    for name in ("x", "t"):
        torch.testing.assert_close(found[weight][1][name], found[1.0][1][name] * weight)


def test_a_loss_that_feeds_on_still_counts():
    operators = {"a": MSELoss(weight=2.0), "b": L1Loss(), "total": Sum()}
    net = Network(operators, {"x": ["a", "b"], "t": ["a", "b"], "a": ["total"], "b": ["total"]}, dtype=torch.float64)
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    assert net.forward({"x": x, "t": torch.zeros_like(x)})["total"].item() == 7
    assert net.backward()["x"].tolist() == [[2 * 3 + 0.5, 2 * 1 + 0.5]]


def test_texts():
    assert MSELoss().describe() == ""
    assert HuberLoss(delta=0.5).describe() == "delta 0.5"
    assert MSELoss().expects() == "a prediction and a target of the same shape"
    assert MSELoss().ignored is None
    assert (MSELoss.threshold, BCEWithLogitsLoss.threshold) == (0.5, 0.0)


@pytest.mark.parametrize("loss", [SmoothL1Loss(), HuberLoss(), HuberLoss(reduction="sum")], ids=repr)
def test_replayed_steps_print_no_warnings(loss, capfd):
    """torch's kernels, given a place for a mean, would resize it and say so at every step."""
    net = Network({"fc": Linear(3, 1), "loss": loss}, {"x": ["fc"], "fc": ["loss"], "t": ["loss"]}, seed=0)
    x, t = torch.ones(16, 3), torch.ones(16, 1)
    fit(net, {"x": x, "t": t}, optimizer=SGD(lr=0.1), epochs=3, batch_size=8, progress=False)
    assert "resized" not in capfd.readouterr().err
