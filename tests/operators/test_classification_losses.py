from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import CrossEntropyLoss, Linear, MSELoss, MultiLabelMarginLoss, MultiMarginLoss, Network, NLLLoss
from graphdl.errors import OperatorError, SettingError, ShapeError
from tests.operators.case import Case, compare
from tests.operators.checks import agrees_with_autograd, every_check
from tests.operators.losses import (
    REDUCTIONS,
    assert_arguments_of_torch,
    assert_state_carries_over,
    indices,
    logs,
    probabilities,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*expects logarithms:graphdl.errors.GraphDLWarning")  # NLLLoss

FUNCTIONS = {
    NLLLoss: functional.nll_loss,
    CrossEntropyLoss: functional.cross_entropy,
    MultiMarginLoss: functional.multi_margin_loss,
    MultiLabelMarginLoss: functional.multilabel_margin_loss,
}
MODULES = [(kind, getattr(nn, kind.__name__)) for kind in FUNCTIONS]
WEIGHTS = (1.0, 2.0, 3.0)


def indexed(kind, name, inputs, *, batched=True, small=(1, 0), **settings):
    def reference(p, x, target):
        theirs = {key: value for key, value in settings.items() if key != "class_weight"}
        x = x.contiguous()  # torch's gradient of other images fails
        return FUNCTIONS[kind](x, target if target.is_floating_point() else target.long(), **theirs, **p)

    full = "-".join([kind.__name__, name, *map(str, settings.values())])
    return Case(full, kind(**settings), inputs, reference, batched, small)


def by_index(kind, scores):
    """With and without weights and ignored classes, of rows, images and a single row."""
    for r in REDUCTIONS:
        yield indexed(kind, "rows", [scores(5, 3), indices(5)], reduction=r)
        yield indexed(kind, "weighted", [scores(5, 3), indices(5, ignored=-100)], reduction=r, class_weight=WEIGHTS)
        yield indexed(kind, "image", [scores(2, 3, 2, 2), indices(2, 2, 2, ignored=1)], reduction=r, ignore_index=1)
    yield indexed(kind, "row", [(3,), indices()], batched=False, class_weight=WEIGHTS)
    yield indexed(kind, "line", [scores(2, 3, 4), indices(2, 4)], class_weight=WEIGHTS, reduction="none")
    yield indexed(kind, "solid", [scores(2, 3, 2, 1, 2), indices(2, 2, 1, 2)], class_weight=WEIGHTS)
    yield indexed(kind, "bytes", [scores(5, 3), indices(5, dtype=torch.uint8)])


def smoothed():
    for r in REDUCTIONS:
        e = {"reduction": r, "label_smoothing": 0.2}
        w = e | {"class_weight": WEIGHTS}
        yield indexed(CrossEntropyLoss, "rows", [(5, 3), indices(5, ignored=-100)], **e)
        yield indexed(CrossEntropyLoss, "weighted", [(5, 3), indices(5, ignored=1)], ignore_index=1, **w)
        yield indexed(CrossEntropyLoss, "image", [(2, 3, 2, 2), indices(2, 2, 2, ignored=-100)], **w)
        yield indexed(CrossEntropyLoss, "probabilities", [(5, 3), probabilities(5, 3)], **e)
        yield indexed(CrossEntropyLoss, "soft-image", [(2, 3, 2, 2), probabilities(2, 3, 2, 2)], **w)
    yield indexed(CrossEntropyLoss, "row", [(3,), indices()], batched=False, **w)
    yield indexed(CrossEntropyLoss, "soft-row", [(3,), probabilities(3)], batched=False, **w)
    yield indexed(CrossEntropyLoss, "soft", [(5, 3), probabilities(5, 3)], class_weight=WEIGHTS)
    yield indexed(CrossEntropyLoss, "all", [(5, 3), indices(5)], label_smoothing=1.0)


def normal_scores(*shape):
    return shape


def margins():
    for r in REDUCTIONS:
        yield indexed(MultiMarginLoss, "rows", [(5, 3), indices(5)], reduction=r)
        yield indexed(MultiMarginLoss, "squared", [(5, 3), indices(5)], reduction=r, p=2, class_weight=WEIGHTS)
        yield indexed(MultiLabelMarginLoss, "rows", [(5, 3), sets], reduction=r, small=(1,))
    yield indexed(MultiMarginLoss, "row", [(3,), indices()], batched=False, margin=0.3)
    yield indexed(MultiLabelMarginLoss, "row", [(3,), lambda _: torch.tensor([2, -1, 0])], batched=False)


def sets(generator):
    """Sets of classes, closed by -1."""
    return torch.tensor([[2, -1, 0], [-1, 1, 1], [0, 1, 2], [1, 0, -1], [0, -1, -1]])


CASES = [*by_index(NLLLoss, logs), *by_index(CrossEntropyLoss, normal_scores), *smoothed(), *margins()]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize(("operator", "module"), MODULES)
def test_arguments_are_torch_s(operator, module):
    assert_arguments_of_torch(operator, module)


def test_state_carries_over():
    x, target = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 1])
    w = torch.tensor([0.5, 2.0, 3.0])
    assert_state_carries_over(NLLLoss(class_weight=(1, 1, 1)), nn.NLLLoss(w), x, target)
    assert_state_carries_over(CrossEntropyLoss(class_weight=[1, 1, 1]), nn.CrossEntropyLoss(w), x, target)
    assert_state_carries_over(MultiMarginLoss(class_weight=(1, 1, 1)), nn.MultiMarginLoss(weight=w), x, target)


def test_smoothing_and_weights_are_normalized_as_the_formula_says():
    x, target = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, -100, 1, 1])
    w, e = torch.tensor(WEIGHTS, dtype=torch.float64), 0.3
    net = Network({"loss": CrossEntropyLoss(class_weight=WEIGHTS, label_smoothing=e)}, {"x": ["loss"], "t": ["loss"]},
                  dtype=torch.float64)  # fmt: skip
    found = net.forward({"x": x, "t": target})["loss"]
    rows = torch.tensor([0, 1, 3, 4])
    q = nn.functional.one_hot(target[rows], 3) * (1 - e) + e / 3
    expected = -(q * w * x[rows].log_softmax(1)).sum() / w[target[rows]].sum()
    torch.testing.assert_close(found, expected)
    soft = net.forward({"x": x[rows], "t": q})["loss"]  # smoothed twice, and averaged over the rows
    expected = -((q * (1 - e) + e / 3) * w * x[rows].log_softmax(1)).sum() / len(rows)
    torch.testing.assert_close(soft, expected)


def test_a_single_class_is_certain():
    case = indexed(CrossEntropyLoss, "one-class", [(5, 1), indices(5, classes=1)])
    agrees_with_autograd(case)
    compare(case, {}, [torch.ones(5, 1), torch.zeros(5, dtype=torch.int64)])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "target", [torch.tensor([1, 0]), torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64).expand(2, 3)]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_logits_stay_finite(reduction, target, smoothing):
    x = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]], dtype=torch.float64)
    case = indexed(CrossEntropyLoss, "extreme", [], reduction=reduction, label_smoothing=smoothing)
    compare(case, {}, [x, target])
    assert torch.isfinite(case.operator.forward({}, x, target, training=True)[0]).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_where_everything_is_ignored_the_mean_is_nan_and_the_gradient_0(smoothing, shape):
    operator = CrossEntropyLoss(label_smoothing=smoothing)
    target = torch.full((shape[0], *shape[2:]), -100)
    y, saved = operator.forward({}, torch.randn(shape), target, training=True)
    ((dx, _), _) = operator.backward({}, saved, torch.tensor(2.0))
    assert math.isnan(y)
    assert torch.equal(dx, torch.zeros(shape))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_what_is_ignored_does_not_spoil_the_rest(smoothing):
    x = torch.tensor([[float("nan"), 1.0], [0.5, -0.5]])
    y, _ = CrossEntropyLoss(label_smoothing=smoothing).forward({}, x, torch.tensor([-100, 0]), training=True)
    expected = functional.cross_entropy(x[1:], torch.tensor([0]), label_smoothing=smoothing)
    assert y.item() == pytest.approx(expected.item())


def classifier(loss, features=4):
    return Network({"fc": Linear(features, 3), "loss": loss}, {"fc": ["loss"], "y": ["loss"]}, seed=0)


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


@pytest.mark.parametrize("kind", [NLLLoss, MultiMarginLoss])
@pytest.mark.parametrize(
    ("target", "text"),
    [
        (torch.zeros(5), "the target has the shape of class indices but holds floats: give integers"),
        (torch.zeros(5, 3), r"the target is not one class index for each row.*Expected .*class indices \(n"),
        (torch.zeros(4).long(), "the target is not one class index for each row"),
    ],
)
def test_a_target_of_no_indices_is_refused(kind, target, text):
    with pytest.raises(ShapeError, match=rf"loss \({kind.__name__}\) cannot take its inputs: .*{text}"):
        classifier(kind()).forward({"fc": torch.zeros(5, 4), "y": target})


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss, MultiMarginLoss])
@pytest.mark.parametrize("worst", [3, 7, -1])
def test_an_index_out_of_range_is_told(kind, worst):
    target = torch.tensor([0, 1, 2, worst, 1])
    text = rf"loss \({kind.__name__}\).*class indices 0 to 2; the target's are from {target.min()} to {target.max()}"
    with pytest.raises((OperatorError, ShapeError), match=text) as caught:
        classifier(kind()).forward({"fc": torch.zeros(5, 4), "y": target})
    assert "cannot mix the types" not in str(caught.value)


def test_sets_of_classes_are_checked():
    net = Network({"loss": MultiLabelMarginLoss()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(
        (OperatorError, ShapeError), match=r"target \(n, c\) of class indices 0 to 2, with -1 after the"
    ):
        net.forward({"x": torch.zeros(1, 3), "t": torch.tensor([[3, -1, -1]])})
    with pytest.raises(ShapeError, match="the prediction and the target differ in shape"):
        net.forward({"x": torch.zeros(2, 3), "t": torch.tensor([0, 1])})
    with pytest.raises(ShapeError, match="the prediction must be"):
        net.forward({"x": torch.zeros(2, 3, 1), "t": torch.zeros(2, 3, 1).long()})
    with pytest.raises(ShapeError, match="holds floats: give integers"):
        net.forward({"x": torch.zeros(2, 3), "t": torch.zeros(2, 3)})


@pytest.mark.parametrize(("kind", "shape", "text"), [
    (CrossEntropyLoss, (), "no axis of classes"), (NLLLoss, (), "no axis of classes"),
    (MultiMarginLoss, (2, 3, 1), r"the prediction must be \(n, c\)"),
])  # fmt: skip
def test_scores_have_an_axis_of_classes(kind, shape, text):
    net = Network({"loss": kind()}, {"x": ["loss"], "t": ["loss"]})
    with pytest.raises(ShapeError, match=text):
        net.forward({"x": torch.zeros(shape), "t": torch.zeros(shape[:1]).long()})


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss, MultiMarginLoss])
def test_weights_of_another_number_of_classes_are_refused(kind):
    text = r"class_weight has the shape \(2,\) and the prediction 3 classes: give one number for each class"
    with pytest.raises(ShapeError, match=rf"loss \({kind.__name__}\).*{text}"):
        classifier(kind(class_weight=(1, 2))).forward({"fc": torch.zeros(5, 4), "y": torch.zeros(5).long()})


def test_probabilities_leave_nothing_out():
    net = classifier(CrossEntropyLoss(ignore_index=1))
    with pytest.raises(ShapeError, match="ignore_index leaves out class indices, and the target holds probabilities"):
        net.forward({"fc": torch.zeros(5, 4), "y": torch.rand(5, 3)})


@pytest.mark.parametrize("operator", [MSELoss, CrossEntropyLoss, NLLLoss, MultiMarginLoss, MultiLabelMarginLoss])
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"reduction": "maen"}, "reduction must be 'mean' or 'sum' or 'none', not 'maen'.*Did you mean 'mean'"),
        ({"weight": "2"}, "weight must be a finite number, not '2'$"),
        ({"weight": True}, "weight must be a finite number, not True$"),
        ({"weight": math.inf}, "weight must be a finite number, not inf$"),
        (
            {"weight": torch.ones(2)},
            r"weight must be .*the factor of the loss in.*What torch calls weight is class_weight=",
        ),
        (
            {"weight": (1.0, 2.0)},
            r"weight must be .*What torch calls weight is class_weight=\(1.0, 2.0\), one number for",
        ),
    ],
)
def test_settings_are_checked(operator, settings, text):
    with pytest.raises(SettingError, match=rf"(?s)^{operator.__name__}: {text}"):
        operator(**settings)


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss, MultiMarginLoss])
@pytest.mark.parametrize("wrong", [torch.ones(3), (1.0, "2"), (), 2.0, (1.0, math.nan), (True, 1.0)], ids=repr)
def test_weights_of_classes_are_numbers(kind, wrong):
    text = "class_weight must be a tuple of finite numbers, such as .1.0, 2.0., not "
    with pytest.raises(SettingError, match=f"^{kind.__name__}: {text}") as caught:
        kind(class_weight=wrong)
    assert ("A setting holds no tensor: write tuple(weights.tolist())" in str(caught.value)) == torch.is_tensor(wrong)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan, "0.1", None, True])
def test_label_smoothing_is_a_share(smoothing):
    with pytest.raises(SettingError, match=rf"label_smoothing must be a number from 0 to 1, not {smoothing!r}"):
        CrossEntropyLoss(label_smoothing=smoothing)


@pytest.mark.parametrize("p", [0, 3, 1.5, "1", True])
def test_the_power_of_margins_is_1_or_2(p):
    with pytest.raises(SettingError, match=f"MultiMarginLoss: p must be 1 or 2, not {p!r}"):
        MultiMarginLoss(p=p)


def test_weights_are_data_of_the_network():
    declared = {"fc": Linear(4, 3), "loss": CrossEntropyLoss(class_weight=[1, 2.5, 3])}
    net = Network(declared, {"fc": ["loss"], "y": ["loss"]}, seed=0)
    assert net.buffers["loss.weight"].tolist() == [1, 2.5, 3]
    again = Network.from_dict(net.to_dict())
    assert again.operators["loss"] == net.operators["loss"] == CrossEntropyLoss(class_weight=(1, 2.5, 3))
    assert hash(again.operators["loss"]) == hash(net.operators["loss"])
    assert net.to(dtype=torch.float64).buffers["loss.weight"].dtype is torch.float64
    assert list(net.parameters) == ["fc.weight", "fc.bias"]


def test_texts():
    assert CrossEntropyLoss(weight=0.5, label_smoothing=0.1).describe() == "weight 0.5, label_smoothing 0.1"
    assert "class_weight" in inspect.getdoc(CrossEntropyLoss)
    assert (CrossEntropyLoss(ignore_index=7).ignored, NLLLoss().ignored) == (7, -100)


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss])
def test_only_a_mean_needs_rows_that_count(kind):
    ignored = torch.full((4,), -100)
    assert kind(reduction="sum").check_target(ignored) == kind(reduction="none").check_target(ignored) == ""
    with pytest.raises(SettingError, match="no row counts"):
        kind().check_target(ignored)
