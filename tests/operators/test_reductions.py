from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from graphdl import (
    CumSum,
    Network,
    Norm,
    Normalize,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceSum,
)
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, by_autograd, by_hand, normal
from tests.operators.checks import every_check

REDUCTIONS = {
    "sum": (ReduceSum, torch.sum),
    "mean": (ReduceMean, torch.mean),
    "max": (ReduceMax, torch.amax),
    "min": (ReduceMin, torch.amin),
    "logsumexp": (ReduceLogSumExp, torch.logsumexp),
    "norm": (Norm, lambda x, dim, keepdim=False: torch.linalg.vector_norm(x, 2, dim, keepdim)),
}


def reduced(function, dim, keepdim=False):
    return lambda p, x: function(x, dim, keepdim)


def normed(order, dim, keepdim=False):
    return lambda p, x: torch.linalg.vector_norm(x, order, dim, keepdim)


def normalized(**settings):
    return lambda p, x: F.normalize(x, **settings)


CASES = [
    *(Case(name, cls(), [(4, 3, 2)], reduced(f, (1, 2))) for name, (cls, f) in REDUCTIONS.items()),
    *(Case(f"{name}-last", cls(dim=-1), [(4, 3)], reduced(f, -1)) for name, (cls, f) in REDUCTIONS.items()),
    *(
        Case(f"{name}-kept", cls(dim=(3, -3), keepdim=True), [(3, 2, 1, 2)], reduced(f, (1, 3), True))
        for name, (cls, f) in REDUCTIONS.items()
    ),
    *(Case(f"{name}-batch", cls(dim=0), [(4, 3)], reduced(f, 0), small=(1,)) for name, (cls, f) in REDUCTIONS.items()),
    *(
        Case(f"{name}-all", cls(dim=(0, 1)), [(4, 3)], reduced(f, (0, 1)), small=(1,))
        for name, (cls, f) in REDUCTIONS.items()
    ),
    *(Case(f"norm-{p:g}", Norm(p, 1), [(4, 3, 2)], normed(p, 1)) for p in (0.5, 1, 1.5, 3, math.inf)),
    Case("norm-inf-kept", Norm(math.inf, keepdim=True), [(4, 3, 2)], normed(math.inf, (1, 2), True)),
    Case("normalize", Normalize(), [(4, 3)], normalized()),
    *(Case(f"normalize-{p:g}", Normalize(p), [(4, 3, 2)], normalized(p=p)) for p in (0.5, 1, 1.5, 3, math.inf)),
    Case("normalize-axes", Normalize(dim=(1, -1)), [(4, 2, 2)], normalized(dim=(1, 2))),
    Case("normalize-batch", Normalize(dim=0, eps=2), [(4, 3, 3)], normalized(dim=0, eps=2)),
    Case("normalize-mixed", Normalize(dim=-1, eps=1.4), [(8, 3)], normalized(dim=-1, eps=1.4)),
    Case("normalize-below", Normalize(3, eps=100), [(4, 3)], normalized(p=3, eps=100)),
    Case("cumsum", CumSum(1), [(4, 3, 2)], lambda p, x: x.cumsum(1)),
    Case("cumsum-batch", CumSum(0), [(4, 3)], lambda p, x: x.cumsum(0)),
    Case("cumsum-last", CumSum(-1), [(2, 5)], lambda p, x: x.cumsum(-1)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def assert_as_torch(operator, reference, x):
    """Equal values and gradients, nan and infinities included."""
    case = Case("special", operator, [tuple(x.shape)], lambda p, x: reference(x))
    dy = normal(reference(x).shape, torch.Generator().manual_seed(3))
    found, expected = by_hand(case, {}, [x], dy), by_autograd(case, {}, [x], dy)
    torch.testing.assert_close(found.y, expected.y, equal_nan=True)
    torch.testing.assert_close(found.dxs, expected.dxs, equal_nan=True)


TIES = torch.tensor([[2, 2, -2, 1], [0, 0, 0, 0], [-1, -3, -3, -3], [0, 1, 0, -1]], dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 0, (0, 1)])
@pytest.mark.parametrize("name", [*REDUCTIONS])
def test_ties_and_zeros_are_those_of_torch(name, dim):
    cls, function = REDUCTIONS[name]
    assert_as_torch(cls(dim=dim), lambda x: function(x, dim), TIES)
    assert_as_torch(cls(dim=dim), lambda x: function(x, dim), torch.zeros(3, 2, dtype=torch.float64))


def test_equal_extrema_share_the_gradient_evenly():
    dy = torch.tensor([6.0])
    for operator, x in [(ReduceMax(), [[5.0, 5, 5, 1]]), (ReduceMin(), [[1.0, 5, 1, 1]])]:
        _, saved = operator.forward({}, torch.tensor(x), training=True)
        (dx,), _ = operator.backward({}, saved, dy)
        assert sorted(dx.flatten().tolist()) == [0, 2, 2, 2]


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, math.inf])
def test_norms_of_zeros_and_ties_are_those_of_torch(p):
    assert_as_torch(Norm(p), lambda x: torch.linalg.vector_norm(x, p, 1), TIES)
    assert_as_torch(Normalize(p), lambda x: F.normalize(x, p), TIES)
    assert_as_torch(Normalize(p, eps=0.5), lambda x: F.normalize(x, p, eps=0.5), TIES / 8)


@pytest.mark.parametrize("name", [*REDUCTIONS])
def test_infinities_and_nan_are_those_of_torch(name):
    cls, function = REDUCTIONS[name]
    inf, nan = math.inf, math.nan
    rows = [[inf, 1, 2], [-inf, 1, 2], [inf, -inf, 1], [nan, 1, 2], [-inf, -inf, -inf]]
    assert_as_torch(cls(), lambda x: function(x, 1), torch.tensor(rows, dtype=torch.float64))


def test_log_sum_exp_does_not_overflow():
    y, _ = ReduceLogSumExp().forward({}, torch.tensor([[1000.0, 1000.0], [-1000.0, -1000.0]]), training=True)
    torch.testing.assert_close(y, torch.tensor([1000.0, -1000.0]) + math.log(2))


@pytest.mark.parametrize("operator", [ReduceSum(), ReduceMean(), ReduceLogSumExp(), Norm(), ReduceMax(), CumSum(1)])
def test_batches_without_rows(operator):
    y, saved = operator.forward({}, torch.zeros(0, 3), training=True)
    (dx,), _ = operator.backward({}, saved, torch.zeros_like(y))
    assert dx.shape == (0, 3)


def test_axes_without_elements():
    x = torch.zeros(3, 0)
    for operator, value in [
        (ReduceSum(), 0.0),
        (ReduceMean(), math.nan),
        (Norm(), 0.0),
        (ReduceLogSumExp(), -math.inf),
    ]:
        y, saved = operator.forward({}, x, training=True)
        torch.testing.assert_close(y, torch.full((3,), value), equal_nan=True)
        assert operator.backward({}, saved, y)[0][0].shape == (3, 0)
    for operator in (ReduceMax(), ReduceMin()):
        with pytest.raises(ShapeError, match=r"end \(Reduce\w+\) cannot take its inputs\. .*\(3, 0\) float32"):
            alone(operator).predict(x)


def alone(operator):
    return Network({"end": operator}, {"x": ["end"]})


@pytest.mark.parametrize("cls", [ReduceMax, ReduceMean, ReduceMin, ReduceSum, ReduceLogSumExp, Norm])
def test_the_batch_is_only_reduced_where_it_is_named(cls):
    assert alone(cls()).predict(torch.ones(4, 3, 2)).shape == (4,)
    assert alone(cls(keepdim=True)).predict(torch.ones(4, 3, 2)).shape == (4, 1, 1)
    assert alone(cls(dim=0)).predict(torch.ones(4, 3, 2)).shape == (3, 2)
    assert alone(cls(dim=0)).predict(torch.ones(4)).shape == ()
    assert alone(cls(dim=(0, -1), keepdim=True)).predict(torch.ones(4, 3, 2)).shape == (1, 3, 1)
    with pytest.raises(ShapeError, match=r"every axis but the batch, .* no other axis\. .*\(4,\).*write dim=0"):
        alone(cls()).predict(torch.ones(4))


@pytest.mark.parametrize("operator", [ReduceSum(2), ReduceMax((1, -1)), Norm(dim=2), Normalize(dim=2), CumSum(2)])
def test_axes_that_do_not_exist_are_refused(operator):
    with pytest.raises(
        ShapeError, match=r"end \(\w+\) cannot take .*\(4, 3\) .*Expected an input with .*ax[ei]s.* at dim"
    ):
        alone(operator).predict(torch.ones(4, 3))


def test_settings_are_checked():
    for wrong in (1.0, (), (1, 1), [1, 2], True, "1"):
        with pytest.raises(SettingError, match="ReduceSum: dim must be a whole number or a tuple of different ones"):
            ReduceSum(wrong)
    for wrong in (0, -1, math.nan, "fro", True):
        with pytest.raises(SettingError, match=r"Norm: p must be a number above 0, or math\.inf"):
            Norm(wrong)
    with pytest.raises(SettingError, match="keepdim must be True or False, not 1"):
        ReduceMean(1, 1)
    with pytest.raises(SettingError, match="Normalize: dim must be"):
        Normalize(dim=None)
    with pytest.raises(SettingError, match="eps must be a finite number of at least 0"):
        Normalize(eps=-1.0)
    with pytest.raises(SettingError, match="CumSum: dim must be a whole number, not None"):
        CumSum(None)


def test_arguments_are_those_of_torch():
    torchs = {name: each.default for name, each in inspect.signature(F.normalize).parameters.items()}
    ours = {name: each.default for name, each in inspect.signature(Normalize).parameters.items()}
    assert ours == {name: torchs[name] for name in ("p", "dim", "eps")}
    assert list(inspect.signature(Norm).parameters) == ["p", "dim", "keepdim"]
    assert list(inspect.signature(ReduceMean).parameters) == ["dim", "keepdim"]


def test_texts():
    assert ReduceMean().describe() == ""
    assert ReduceMean((1, 2), keepdim=True).describe() == "dim 1×2, keepdim"
    assert Norm(math.inf, 1).describe() == "p inf, dim 1"
