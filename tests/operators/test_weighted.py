"""Weights of rows: the gradients, and what they mean, for every loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from graphdl import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    CTCLoss,
    Feed,
    KLDivLoss,
    L1Loss,
    Linear,
    Loss,
    MSELoss,
    Network,
    NLLLoss,
    Weighted,
)
from graphdl.errors import SettingError, ShapeError
from tests.operators import (
    test_binary_losses,
    test_classification_losses,
    test_likelihood_losses,
    test_ranking_losses,
    test_regression_losses,
    test_sequence_losses,
)
from tests.operators.case import Case, by_hand, upstream
from tests.operators.checks import every_check
from tests.operators.losses import indices, logs

LOSSES = [
    case
    for module in (
        test_binary_losses,
        test_classification_losses,
        test_likelihood_losses,
        test_ranking_losses,
        test_regression_losses,
        test_sequence_losses,
    )
    for case in module.CASES
    if replace(case.operator, reduction="none").forward(*(drawn := case.draw())[:1], *drawn[1], training=True)[0].dim()
]
"""Those with an axis of rows."""


def weights(*shape):
    return lambda generator: torch.rand(shape, generator=generator, dtype=torch.float64) * 2


def weighted_cross_entropy(p, x, target, w, **settings):
    """sum_n w_n w_target loss_n / sum_n w_target."""
    each = functional.cross_entropy(x, target, weight=p.get("weight"), reduction="none", **settings)
    scale = torch.ones(x.shape[1], dtype=x.dtype) if p.get("weight") is None else p["weight"]
    counted = target != -100
    return (each * w).sum() / (scale[target.clamp_min(0)] * counted).sum()


CASES = [
    Case(
        "mean", Weighted(MSELoss()), [(4, 3), (4, 3), weights(4)], lambda p, x, t, w: ((x - t) ** 2 * w[:, None]).mean()
    ),
    Case(
        "elements",
        Weighted(MSELoss()),
        [(4, 3), (4, 3), weights(4, 3)],
        lambda p, x, t, w: ((x - t) ** 2 * w).mean(),
    ),
    Case(
        "sum",
        Weighted(L1Loss(reduction="sum")),
        [(4, 3), (4, 3), weights(4)],
        lambda p, x, t, w: ((x - t).abs() * w[:, None]).sum(),
    ),
    Case(
        "none",
        Weighted(MSELoss(reduction="none")),
        [(4, 3), (4, 3), weights(4)],
        lambda p, x, t, w: (x - t) ** 2 * w[:, None],
    ),
    Case(
        "binary",
        Weighted(BCEWithLogitsLoss()),
        [(4, 1), lambda g: torch.randint(2, (4, 1), generator=g), weights(4)],
        lambda p, x, t, w: (
            functional.binary_cross_entropy_with_logits(x, t.to(x.dtype), reduction="none") * w[:, None]
        ).mean(),
    ),
    Case(
        "divergence",
        Weighted(KLDivLoss(reduction="batchmean")),
        [logs(4, 3), lambda g: torch.rand(4, 3, generator=g, dtype=torch.float64) + 0.1, weights(4)],
        lambda p, x, t, w: (functional.kl_div(x, t, reduction="none") * w[:, None]).sum() / len(x),
        small=(1,),
    ),
    Case(
        "classes",
        Weighted(CrossEntropyLoss()),
        [(5, 3), indices(5, ignored=-100), weights(5)],
        weighted_cross_entropy,
        small=(),
    ),
    Case(
        "class_weight",
        Weighted(NLLLoss(class_weight=(0.5, 1.0, 3.0))),
        [logs(5, 3), indices(5, ignored=-100), weights(5)],
        lambda p, x, t, w: (
            (functional.nll_loss(x, t, p["weight"], reduction="none") * w).sum()
            / (p["weight"][t.clamp_min(0)] * (t != -100)).sum()
        ),
        small=(),
    ),
    Case(
        "smoothing",
        Weighted(CrossEntropyLoss(class_weight=(0.5, 1.0, 3.0), label_smoothing=0.1)),
        [(5, 3), indices(5), weights(5)],
        lambda p, x, t, w: weighted_cross_entropy(p, x, t, w, label_smoothing=0.1),
        small=(1,),
    ),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: f"{type(case.operator).__name__} {case}")
def test_weights_of_one_change_nothing(case):
    """For every loss, every reduction and every setting: the value, and the gradients."""
    assert isinstance(case.operator, Loss)
    p, xs = case.draw()
    plain = by_hand(case, p, xs, upstream(case.forward(p, xs)[0]))
    each = replace(case.operator, reduction="none").forward(p, *xs, training=True)[0]
    ones = torch.ones(len(each), dtype=torch.float64)
    weighted = replace(case, operator=Weighted(case.operator), inputs=[*case.inputs, lambda generator: ones])
    found = by_hand(weighted, p, [*xs, ones], upstream(plain.y))
    torch.testing.assert_close(found.y, plain.y, rtol=1e-12, atol=1e-12, equal_nan=True)
    for dx, expected in zip(found.dxs, plain.dxs, strict=False):
        assert (dx is None) == (expected is None)
        if dx is not None:
            torch.testing.assert_close(dx, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("loss", [MSELoss(reduction="sum"), L1Loss(reduction="sum")])
def test_a_weight_of_two_is_a_row_twice(loss):
    x, target, w = torch.randn(3, 2), torch.randn(3, 2), torch.tensor([2.0, 0.0, 1.0])
    rows = torch.tensor([0, 0, 2])
    once, _ = Weighted(loss).forward({}, x, target, w, training=True)
    twice, _ = loss.forward({}, x[rows], target[rows], training=True)
    torch.testing.assert_close(once, twice)


def test_an_input_of_the_network(tmp_path):
    loss = Weighted(CrossEntropyLoss(class_weight=(1.0, 2.0), weight=0.5))
    edges = {"x": ["fc"], "fc": ["loss"], "target": ["loss"], "w": [Feed("loss", slot="sample_weight")]}
    net = Network({"fc": Linear(2, 2), "loss": loss}, edges, seed=0)
    assert net.inputs == ("x", "target", "w")
    assert net.predictions == ("fc",)
    same = Network.load(net.save(tmp_path / "model.json"), seed=0)
    assert same.operators["loss"] == loss
    assert same.graph.nodes["loss"]["operator"].weight == 0.5
    assert "CrossEntropyLoss: weight 0.5" in net.summary()
    batch = {"x": torch.randn(4, 2), "target": torch.tensor([0, 1, 1, 0]), "w": torch.rand(4)}
    assert torch.equal(net.forward(batch)["loss"], same.forward(batch)["loss"])
    assert set(net.backward()) == {"x", "w"}


@pytest.mark.parametrize("wrong", [Linear(2, 2), Weighted(MSELoss()), MSELoss, "MSELoss", None])
def test_only_losses_are_weighted(wrong):
    with pytest.raises(SettingError, match=r"Weighted: loss must be a loss such as MSELoss\(\)"):
        Weighted(wrong)


@pytest.mark.parametrize("shape", [(3,), (4, 1), (), (1,)])
def test_weights_of_another_shape_are_refused(shape):
    net = Network({"loss": Weighted(MSELoss())}, {})
    given = {"loss.prediction": torch.zeros(4, 3), "loss.target": torch.zeros(4, 3)}
    with pytest.raises(ShapeError, match=r"loss \(Weighted\).*sample_weight"):
        net.forward(given | {"loss.sample_weight": torch.ones(shape)})


def test_a_sequence_is_a_row():
    case = Case("", Weighted(CTCLoss()), [], None)
    x = torch.randn(6, 2, 4, dtype=torch.float64).log_softmax(-1)
    given = [x, torch.tensor([[1, 2], [3, 0]]), torch.tensor([6, 6]), torch.tensor([2, 1])]
    found = by_hand(case, {}, [*given, torch.tensor([0.0, 2.0], dtype=torch.float64)], torch.tensor(1.0).double())
    expected = functional.ctc_loss(x[:, 1:], given[1][1:], given[2][1:], given[3][1:])
    torch.testing.assert_close(found.y, expected)
    assert not found.dxs[0][:, 0].any()
