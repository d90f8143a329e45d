from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import BCEWithLogitsLoss, CrossEntropyLoss, Identity, L1Loss, Linear, MSELoss, Network, Sum
from graphdl.errors import OperatorError, SettingError, ShapeError
from tests.operators.case import Case, compare
from tests.operators.checks import agrees_with_autograd, every_check

REDUCTIONS = ("mean", "sum", "none")
REGRESSION = [(MSELoss, functional.mse_loss), (L1Loss, functional.l1_loss)]


def indices(*shape, classes=3, ignored=None, dtype=torch.int64):
    def draw(generator):
        drawn = torch.randint(classes, shape, generator=generator)
        if ignored is not None:
            drawn.view(-1)[::3] = ignored
        return drawn.to(dtype)

    return draw


def probabilities(*shape):
    """Positive numbers that need not add up to 1: torch takes those too."""
    return lambda generator: torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1


def cross_entropy(**settings):
    return lambda p, x, target: functional.cross_entropy(
        x, target.long() if not target.is_floating_point() else target, **settings
    )


def entropy_case(name, shape, target, *, batched=True, **settings):
    return Case(f"cross-{name}", CrossEntropyLoss(**settings), [shape, target], cross_entropy(**settings), batched)


def entropy_cases(reduction, smoothing):
    settings, name = {"reduction": reduction, "label_smoothing": smoothing}, f"{reduction}-{smoothing}"
    return [
        entropy_case(f"indices-{name}", (5, 3), indices(5), **settings),
        entropy_case(f"ignored-{name}", (5, 3), indices(5, ignored=-100), **settings),
        entropy_case(f"ignored-class-{name}", (5, 3), indices(5, ignored=1), ignore_index=1, **settings),
        entropy_case(f"image-{name}", (2, 3, 2, 2), indices(2, 2, 2, ignored=-7), ignore_index=-7, **settings),
        entropy_case(f"probabilities-{name}", (5, 3), probabilities(5, 3), **settings),
        entropy_case(f"image-probabilities-{name}", (2, 3, 2, 2), probabilities(2, 3, 2, 2), **settings),
        entropy_case(f"row-{name}", (3,), indices(), batched=False, **settings),
        entropy_case(f"row-probabilities-{name}", (3,), probabilities(3), batched=False, **settings),
    ]


def binary(reduction):
    def reference(p, x, target):
        return functional.binary_cross_entropy_with_logits(x, target.to(x.dtype), reduction=reduction)

    operator = BCEWithLogitsLoss(reduction=reduction)
    return [
        Case(f"binary-{reduction}", operator, [(4, 3), probabilities(4, 3)], reference),
        Case(f"binary-classes-{reduction}", operator, [(4, 1), indices(4, 1, classes=2)], reference),
        Case(f"binary-bool-{reduction}", operator, [(4, 1), indices(4, 1, classes=2, dtype=torch.bool)], reference),
        Case(f"binary-image-{reduction}", operator, [(2, 1, 2, 3), probabilities(2, 1, 2, 3)], reference),
    ]


def regression(reduction, operator, function):
    def reference(p, x, target):
        return function(x, target.to(x.dtype), reduction=reduction)

    name = f"{operator.__name__}-{reduction}"
    return [
        Case(name, operator(reduction=reduction), [(4, 3), (4, 3)], reference),
        Case(f"{name}-weighted", operator(reduction=reduction, weight=0.3), [(4, 3), (4, 3)], reference),
        Case(f"{name}-vector", operator(reduction=reduction), [(4,), (4,)], reference),
        Case(f"{name}-image", operator(reduction=reduction), [(2, 1, 2, 2), (2, 1, 2, 2)], reference),
        Case(f"{name}-bytes", operator(reduction=reduction), [(4, 3), indices(4, 3, dtype=torch.uint8)], reference),
    ]


CASES = [
    *(case for r in REDUCTIONS for operator, function in REGRESSION for case in regression(r, operator, function)),
    *(case for r in REDUCTIONS for case in binary(r)),
    *(case for r in REDUCTIONS for smoothing in (0.0, 0.2) for case in entropy_cases(r, smoothing)),
    entropy_case("smooth-all", (5, 3), indices(5), label_smoothing=1.0),
    *(entropy_case(str(t), (5, 3), indices(5, dtype=t)) for t in (torch.uint8, torch.int32, torch.int16)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_a_single_class_is_certain():
    case = entropy_case("one-class", (5, 1), indices(5, classes=1))
    agrees_with_autograd(case)
    compare(case, {}, [torch.ones(5, 1), torch.zeros(5, dtype=torch.int64)])


MODULES = [(MSELoss, nn.MSELoss), (L1Loss, nn.L1Loss), (BCEWithLogitsLoss, nn.BCEWithLogitsLoss)]


@pytest.mark.parametrize(("operator", "module"), [*MODULES, (CrossEntropyLoss, nn.CrossEntropyLoss)])
def test_defaults_are_torch_s(operator, module):
    theirs = inspect.signature(module).parameters
    ours = {name: p.default for name, p in inspect.signature(operator).parameters.items() if name != "weight"}
    assert ours
    assert ours == {name: theirs[name].default for name in ours}


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


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_extreme_logits_stay_finite(reduction):
    x = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]])
    targets = [
        (CrossEntropyLoss, torch.tensor([1, 0])),
        (CrossEntropyLoss, torch.tensor([[0.2, 0.5, 0.3]]).expand(2, 3)),
    ]
    for operator, target in [*targets, (BCEWithLogitsLoss, torch.tensor([[0.0, 1.0, 0.5]]).expand(2, 3))]:
        leaf = x.clone().requires_grad_()
        module = {CrossEntropyLoss: nn.CrossEntropyLoss, BCEWithLogitsLoss: nn.BCEWithLogitsLoss}[operator]
        expected = module(reduction=reduction)(leaf, target)
        dy = torch.randn_like(expected)
        expected.backward(dy)
        y, saved = operator(reduction=reduction).forward({}, x, target, training=True)
        ((dx, _), _) = operator(reduction=reduction).backward({}, saved, dy)
        assert torch.isfinite(y).all()
        assert torch.isfinite(dx).all()
        torch.testing.assert_close(y, expected.detach())
        torch.testing.assert_close(dx, leaf.grad)


def test_where_everything_is_ignored_the_mean_is_nan_and_the_gradient_0():
    y, saved = CrossEntropyLoss().forward({}, torch.randn(3, 4), torch.full((3,), -100), training=True)
    ((dx, _), _) = CrossEntropyLoss().backward({}, saved, torch.tensor(2.0))
    assert math.isnan(y)
    assert torch.equal(dx, torch.zeros(3, 4))


def test_what_is_ignored_does_not_spoil_the_rest():
    x = torch.tensor([[float("nan"), 1.0], [0.5, -0.5]])
    y, _ = CrossEntropyLoss().forward({}, x, torch.tensor([-100, 0]), training=True)
    assert y.item() == pytest.approx(functional.cross_entropy(x[1:], torch.tensor([0])).item())


def classifier(loss, features=4):
    return Network({"fc": Linear(features, 3), "loss": loss}, {"fc": ["loss"], "y": ["loss"]}, seed=0)


@pytest.mark.parametrize("loss", [MSELoss(), L1Loss(), BCEWithLogitsLoss()])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 3), (5, 3, 1)])
def test_shapes_never_broadcast(loss, shape):
    text = (
        r"loss \(\w+\) cannot take its inputs: the prediction and the target differ in shape.*\(5, 3\) float32 from fc"
    )
    with pytest.raises(ShapeError, match=text + r".*from the input y\. Expected a prediction and a target of the same"):
        classifier(loss).forward({"fc": torch.zeros(5, 4), "y": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (torch.zeros(5), "the target has the shape of class indices but holds floats: give integers"),
        (
            torch.zeros(5, 1, dtype=torch.int64),
            r"neither class indices nor probabilities.*Expected .*class indices \(n,",
        ),
        (torch.zeros(4, dtype=torch.int64), "neither class indices nor probabilities"),
        (torch.zeros(5, 2), "neither class indices nor probabilities"),
    ],
)
def test_a_target_of_no_classes_is_refused(target, text):
    with pytest.raises(ShapeError, match=rf"loss \(CrossEntropyLoss\) cannot take its inputs: .*{text}"):
        classifier(CrossEntropyLoss()).forward({"fc": torch.zeros(5, 4), "y": target})


@pytest.mark.parametrize("worst", [3, 7, -1])
def test_an_index_out_of_range_is_told(worst):
    target = torch.tensor([0, 1, 2, worst, 1])
    text = rf"loss \(CrossEntropyLoss\).*class indices 0 to 2; the target's are from {target.min()} to {target.max()}"
    with pytest.raises((OperatorError, ShapeError), match=text) as caught:
        classifier(CrossEntropyLoss()).forward({"fc": torch.zeros(5, 4), "y": target})
    assert "cannot mix the types" not in str(caught.value)


@pytest.mark.parametrize("operator", [MSELoss, L1Loss, BCEWithLogitsLoss, CrossEntropyLoss])
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"reduction": "maen"}, "reduction must be 'mean' or 'sum' or 'none', not 'maen'.*Did you mean 'mean'"),
        ({"weight": "2"}, "weight must be a finite number, not '2'"),
        ({"weight": True}, "weight must be a finite number, not True"),
        ({"weight": math.inf}, "weight must be a finite number, not inf"),
    ],
)
def test_settings_are_checked(operator, settings, text):
    with pytest.raises(SettingError, match=f"^{operator.__name__}: {text}"):
        operator(**settings)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan, "0.1", None, True])
def test_label_smoothing_is_a_share(smoothing):
    with pytest.raises(SettingError, match=rf"label_smoothing must be a number from 0 to 1, not {smoothing!r}"):
        CrossEntropyLoss(label_smoothing=smoothing)


def test_a_loss_that_feeds_on_still_counts():
    operators = {"a": MSELoss(weight=2.0), "b": L1Loss(), "total": Sum()}
    net = Network(operators, {"x": ["a", "b"], "t": ["a", "b"], "a": ["total"], "b": ["total"]}, dtype=torch.float64)
    x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    assert net.forward({"x": x, "t": torch.zeros_like(x)})["total"].item() == 7
    assert net.backward()["x"].tolist() == [[2 * 3 + 0.5, 2 * 1 + 0.5]]


def test_texts():
    assert MSELoss().describe() == ""
    assert CrossEntropyLoss(weight=0.5, label_smoothing=0.1).describe() == "weight 0.5, label_smoothing 0.1"
    assert MSELoss().expects() == "a prediction and a target of the same shape"
    assert (CrossEntropyLoss(ignore_index=7).ignored, MSELoss().ignored) == (7, None)
    assert (MSELoss.threshold, BCEWithLogitsLoss.threshold) == (0.5, 0.0)
