from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from graphdl import Feed, GaussianNLLLoss, KLDivLoss, Linear, Network, PoissonNLLLoss
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, compare
from tests.operators.checks import every_check
from tests.operators.losses import REDUCTIONS, assert_arguments_of_torch, indices, logs, probabilities, reduced

MODULES = [(kind, getattr(nn, kind.__name__)) for kind in (KLDivLoss, PoissonNLLLoss, GaussianNLLLoss)]


def gaussian(name, variance, shape=(4, 3), **settings):
    def reference(p, *xs):
        return F.gaussian_nll_loss(*xs, **settings)

    return Case(f"gaussian-{name}", GaussianNLLLoss(**settings), [shape, shape, probabilities(*variance)], reference)


def divergence(name, target, **settings):
    def reference(p, x, target):  # of a mean over all elements torch warns
        each = settings["reduction"] == "mean"
        found = F.kl_div(x, target.to(x.dtype), **settings | ({"reduction": "none"} if each else {}))
        return found.mean() if each else found

    return Case(f"kl-{name}-{settings['reduction']}", KLDivLoss(**settings), [logs(4, 3), target], reference)


CASES = [
    *(divergence("plain", probabilities(4, 3), reduction=r) for r in (*REDUCTIONS, "batchmean")),
    *(divergence("logs", logs(4, 3), reduction=r, log_target=True) for r in (*REDUCTIONS, "batchmean")),
    divergence("one-hot", indices(4, 3, classes=2), reduction="batchmean"),
    *reduced(PoissonNLLLoss, F.poisson_nll_loss, [(4, 3), indices(4, 3, classes=5)]),
    *reduced(PoissonNLLLoss, F.poisson_nll_loss, [(4, 3), probabilities(4, 3)], "floats", full=True)[:1],
    *reduced(PoissonNLLLoss, F.poisson_nll_loss, [(4, 3), lambda g: 3 * torch.rand(4, 3, generator=g).double()],
             "full", full=True)[1:],
    *reduced(PoissonNLLLoss, F.poisson_nll_loss, [probabilities(4, 3), probabilities(4, 3)], "mean", log_input=False,
             eps=0.01),
    *(gaussian(r, (4, 3), reduction=r) for r in REDUCTIONS),
    *(gaussian(f"rows-{r}", (4, 1), reduction=r, full=True) for r in REDUCTIONS),
    gaussian("flat", (4,)),
    gaussian("column", (2, 1, 3), (2, 4, 3), reduction="none"),
]  # fmt: skip


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(("operator", "module"), MODULES)
def test_arguments_are_torch_s(operator, module):
    assert_arguments_of_torch(operator, module)


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_probabilities_of_0_count_nothing(reduction):
    x = torch.tensor([[-0.5, -1.0, -2.0]], dtype=torch.float64)
    compare(divergence("zero", (), reduction=reduction), {}, [x, torch.tensor([[1, 0, 0]])])
    case = divergence("logs-zero", (), reduction=reduction, log_target=True)
    y, _ = case.forward({}, [x, torch.tensor([[0.0, -1.0, -700.0]], dtype=torch.float64)])
    assert torch.isfinite(y).all()


def test_counts_of_0_have_no_stirling_term():
    x = torch.tensor([0.5, 1.0, -1.0, 3.0], dtype=torch.float64)
    target = torch.tensor([0.0, 1.0, 2.0, 100.0], dtype=torch.float64)
    operator = PoissonNLLLoss(full=True)
    y, saved = operator.forward({}, x, target, training=True)
    torch.testing.assert_close(y, F.poisson_nll_loss(x, target, full=True))
    (_, dtarget), _ = operator.backward({}, saved, torch.ones((), dtype=torch.float64))
    stirling = [0, 0, math.log(2) + 1 / 4, math.log(100) + 1 / 200]
    torch.testing.assert_close(dtarget, (torch.tensor(stirling, dtype=torch.float64) - x) / 4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_variances_below_eps_count_as_eps(reduction):
    x, target = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    variance = torch.tensor([[1e-9, 0.5], [0.01, 0.0], [2.0, 1e-3]], dtype=torch.float64)
    settings = {"eps": 0.01, "reduction": reduction}
    case = Case("small", GaussianNLLLoss(**settings), [], lambda p, *xs: F.gaussian_nll_loss(*xs, **settings))
    compare(case, {}, [x, target, variance])
    negative, _ = case.operator.forward({}, x, target, -variance, training=True)
    tiny, _ = case.operator.forward({}, x, target, variance * 0, training=True)
    assert torch.equal(negative, tiny)


def test_mean_and_variance_are_two_nodes():
    operators = {"mean": Linear(2, 1), "variance": Linear(2, 1), "loss": GaussianNLLLoss()}
    connectivity = {"x": ["mean", "variance"], "mean": ["loss"], "variance": [Feed("loss", slot="variance")]}
    net = Network(operators, connectivity | {"y": [Feed("loss", slot="target")]}, seed=0)
    assert tuple(net.predict(torch.zeros(3, 2)).shape) == (3, 1)
    net.forward({"x": torch.ones(3, 2), "y": torch.ones(3, 1)})
    net.backward()
    assert all(gradient.abs().sum() > 0 for gradient in net.gradients.values())


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 3), (5, 3, 1)])
@pytest.mark.parametrize("kind", [KLDivLoss, PoissonNLLLoss])
def test_shapes_never_broadcast(kind, shape):
    net = Network({"loss": kind()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(ShapeError, match=r"the prediction and the target differ in shape.*of the same shape"):
        net.forward({"x": torch.ones(5, 3), "t": torch.ones(shape)})


@pytest.mark.parametrize("shape", [(3,), (1, 1), (5, 3, 1), (4, 3), ()])
def test_variances_of_another_shape_are_refused(shape):
    net = Network({"loss": GaussianNLLLoss()}, {"x": ["loss"], "t": ["loss"], "v": ["loss"]})
    text = "neither the prediction's shape nor 1 in place of one axis.*Expected .* and variances of that shape"
    with pytest.raises(ShapeError, match=rf"loss \(GaussianNLLLoss\) cannot take its inputs: the variance has {text}"):
        net.forward({"x": torch.ones(5, 3), "t": torch.ones(5, 3), "v": torch.ones(shape)})


@pytest.mark.parametrize(
    ("kind", "settings", "text"),
    [
        (KLDivLoss, {"reduction": "batch"}, "reduction must be 'mean' or 'batchmean' or 'sum' or 'none', not 'batch'"),
        (KLDivLoss, {"log_target": 1}, "log_target must be True or False, not 1"),
        (PoissonNLLLoss, {"eps": -1}, "eps must be a finite number of at least 0, not -1"),
        (GaussianNLLLoss, {"eps": 0}, "eps must be a finite number above 0, not 0"),
        (GaussianNLLLoss, {"full": None}, "full must be True or False, not None"),
    ],
)
def test_settings_are_checked(kind, settings, text):
    with pytest.raises(SettingError, match=f"^{kind.__name__}: {text}"):
        kind(**settings)


def test_probabilities_over_any_axis_are_not_warned_of():
    target = torch.rand(4, 3, 5).softmax(-1)
    assert KLDivLoss().check_target(target) == KLDivLoss().check_target(target.movedim(-1, 1)) == ""
    assert "sum to" in KLDivLoss().check_target(2 * target)
