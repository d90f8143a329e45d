"""Small networks trained with each loss, and what accuracy is for each."""

from __future__ import annotations

import pytest
import torch

import graphdl
from graphdl import Feed, Linear, LogSoftmax, Network, Operator, Shared, Sigmoid, Tanh, evaluate, fit
from graphdl.errors import SettingError
from graphdl.operators import Loss
from graphdl.optim import Adam

ROWS = 24


@graphdl.register
class TimeFirst(Operator):
    """(n, t c) -> (t, n, c), with 5 steps."""

    def forward(self, p, x, *, training):
        return x.view(len(x), 5, -1).transpose(0, 1).contiguous(), None

    def backward(self, p, saved, dy):
        return (dy.transpose(0, 1).flatten(1),), {}


def generated(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(ROWS, 4, generator=generated())
SCORES = X @ torch.randn(4, 3, generator=generated(1))
CLASS, LABELS = SCORES.argmax(1), (SCORES > 0).float()
SETS = torch.stack([CLASS, torch.full((ROWS,), -1), CLASS], 1)
LENGTHS = {"input_lengths": torch.full((ROWS,), 5), "target_lengths": torch.full((ROWS,), 2)}

PREDICTED = {  # loss -> what stands before it, and the target
    "MSELoss": ([], SCORES),
    "L1Loss": ([], SCORES),
    "SmoothL1Loss": ([], SCORES),
    "HuberLoss": ([], SCORES),
    "BCELoss": ([Sigmoid()], LABELS),
    "BCEWithLogitsLoss": ([], LABELS),
    "SoftMarginLoss": ([], LABELS * 2 - 1),
    "MultiLabelSoftMarginLoss": ([], LABELS),
    "NLLLoss": ([LogSoftmax()], CLASS),
    "CrossEntropyLoss": ([], CLASS),
    "MultiMarginLoss": ([], CLASS),
    "MultiLabelMarginLoss": ([], SETS),
    "KLDivLoss": ([LogSoftmax()], SCORES.softmax(1)),
    "PoissonNLLLoss": ([], SCORES.exp().floor().clamp(max=9)),
    "HingeEmbeddingLoss": ([], LABELS * 2 - 1),
}
PAIRED = {"MarginRankingLoss": SCORES.sign(), "CosineEmbeddingLoss": SCORES[:, 0].sign(), "TripletMarginLoss": None}
WITH_WEIGHTS = (
    "BCELoss",
    "BCEWithLogitsLoss",
    "MultiLabelSoftMarginLoss",
    "NLLLoss",
    "CrossEntropyLoss",
    "MultiMarginLoss",
)


def chain(loss, before=()):
    """Two layers, the operators before the loss, and the loss."""
    nodes = {"fc1": Linear(4, 8), "tanh": Tanh(), "fc2": Linear(8, 3)}
    nodes |= {f"before{k}": operator for k, operator in enumerate(before)}
    names = [*nodes, "loss"]
    edges = {name: [after] for name, after in zip(["x", *names], names, strict=False)}
    return Network({**nodes, "loss": loss}, {**edges, "t": ["loss"]}, seed=0)


def pairs(kind):
    """A network whose two or three branches share their parameters, and its data."""
    loss = getattr(graphdl, kind)()
    branches = [name for name in loss.slots if name != "target"]
    operators = {branches[0]: Linear(4, 3)} | {name: Shared(branches[0]) for name in branches[1:]}
    edges = {f"x{k}": [name] for k, name in enumerate(branches)} | {
        name: [Feed("loss", slot=name)] for name in branches
    }
    data = {f"x{k}": X.roll(k, 0) for k in range(len(branches))}
    if PAIRED[kind] is not None:
        edges, data = edges | {"t": [Feed("loss", slot="target")]}, data | {"t": PAIRED[kind]}
    return Network(operators | {"loss": loss}, edges, seed=0), data


def gaussian():
    operators = {"fc": Linear(4, 8), "tanh": Tanh(), "mean": Linear(8, 3), "v": Linear(8, 3), "s": Sigmoid(),
                 "loss": graphdl.GaussianNLLLoss()}  # fmt: skip
    edges = {"x": ["fc"], "fc": ["tanh"], "tanh": ["mean", "v"], "v": ["s"], "s": [Feed("loss", slot="variance")]}
    edges |= {"mean": [Feed("loss", slot="prediction")], "t": [Feed("loss", slot="target")]}
    return Network(operators, edges, seed=0), {"x": X, "t": SCORES}


def sequences():
    operators = {"fc": Linear(4, 20), "time": TimeFirst(), "logs": LogSoftmax(dim=-1), "loss": graphdl.CTCLoss()}
    edges = {"x": ["fc"], "fc": ["time"], "time": ["logs"], "logs": ["loss"], "t": [Feed("loss", slot="target")]}
    edges |= {name: [Feed("loss", slot=name)] for name in LENGTHS}
    target = torch.stack([CLASS % 2 + 1, CLASS // 2 + 2], 1)
    return Network(operators, edges, seed=0), {"x": X, "t": target, **LENGTHS}


def declared(kind, **settings):
    if kind in PREDICTED:
        before, target = PREDICTED[kind]
        return chain(getattr(graphdl, kind)(**settings), before), {"x": X, "t": target}
    return {"GaussianNLLLoss": gaussian, "CTCLoss": sequences}.get(kind, lambda: pairs(kind))()


KINDS = sorted(name for name in graphdl.operators.__all__ if name.endswith("Loss") and name != "Loss")


@pytest.mark.parametrize("compiled", [False, True], ids=["recorded", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_lowers_the_loss(kind, compiled):
    net, data = declared(kind)
    settings = {"optimizer": Adam(lr=0.02), "epochs": 8, "batch_size": 8, "seed": 0, "progress": False}
    losses = fit(net, data, compile=compiled, **settings)["loss"]
    assert losses[-1] < 0.9 * losses[0] or losses[-1] < losses[0] - 0.3
    if compiled:
        again, _ = declared(kind)
        expected = fit(again, data, **settings)["loss"]
        assert losses == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", WITH_WEIGHTS)
def test_a_fit_with_weights_of_classes(kind):
    smoothing = {"label_smoothing": 0.1} if kind == "CrossEntropyLoss" else {}
    net, data = declared(kind, class_weight=(1.0, 5.0, 0.2), **smoothing)
    settings = {"optimizer": Adam(lr=0.02), "epochs": 4, "batch_size": 8, "seed": 0, "progress": False}
    losses = fit(net, data, compile=True, **settings)["loss"]
    assert losses[-1] < losses[0]
    again, _ = declared(kind, class_weight=(1.0, 5.0, 0.2), **smoothing)
    assert losses == pytest.approx(fit(again, data, **settings)["loss"], rel=1e-4)
    assert net.buffers["loss.weight"].tolist() == pytest.approx([1, 5, 0.2])


def reference(kind, prediction, target):
    """The accuracy of a prediction, said anew. LABELS are several in a row."""
    if kind in ("BCELoss", "BCEWithLogitsLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss"):
        return ((prediction > (0.5 if kind == "BCELoss" else 0)) == (target == 1)).float().mean()
    return (prediction.argmax(1) == (target.argmax(1) if target.dim() > 1 else target)).float().mean()


CLASSIFIERS = ("BCELoss", "BCEWithLogitsLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss", "NLLLoss",
               "CrossEntropyLoss", "MultiMarginLoss", "KLDivLoss")  # fmt: skip


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_accuracy_is_that_of_the_predictions(kind):
    net, data = declared(kind)
    net.parameters["fc2.bias"] = torch.tensor([0.3, -0.2, 0.1])
    expected = reference(kind, net.predict(data["x"]), data["t"])
    assert 0 < expected < 1
    assert evaluate(net, data, metrics=["accuracy"])["accuracy"] == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("kind", "x", "target", "expected"),
    [
        ("BCELoss", [0.6, 0.4, 0.7, 0.2], [1, 0, 0, 0], 0.75),
        ("BCEWithLogitsLoss", [0.2, -0.2, 0.7, 0.2], [1, 0, 0, 1], 0.75),
        ("SoftMarginLoss", [0.2, -0.2, 0.7, 0.2], [1, -1, -1, 1], 0.75),
        ("MultiLabelSoftMarginLoss", [0.2, -0.2, 0.7, 0.2], [1, 0, 0, 1], 0.75),
        ("HuberLoss", [0.6, 0.4, 0.7, 0.2], [1, 0, 0, 0], 0.75),
    ],
)
def test_accuracy_of_a_single_column(kind, x, target, expected):
    net = Network({"x": graphdl.Identity(), "loss": getattr(graphdl, kind)()}, {"x": ["loss"], "t": ["loss"]})
    found = evaluate(net, {"x": torch.tensor(x)[:, None], "t": torch.tensor(target)[:, None]}, metrics=["accuracy"])
    assert found["accuracy"] == expected


def test_ignored_classes_and_labels_of_a_row():
    data = {"x": SCORES, "t": torch.where(CLASS == 0, -1, CLASS)}
    operators = {"x": graphdl.Identity(), "loss": graphdl.NLLLoss(ignore_index=-1)}
    net = Network(operators, {"x": ["loss"], "t": ["loss"]})
    assert evaluate(net, data, metrics=["accuracy"])["accuracy"] == 1
    net = Network(operators | {"loss": graphdl.MultiLabelSoftMarginLoss()}, {"x": ["loss"], "t": ["loss"]})
    assert evaluate(net, {"x": SCORES, "t": LABELS}, metrics=["accuracy"])["accuracy"] == 1
    assert evaluate(net, {"x": SCORES, "t": 1 - LABELS}, metrics=["accuracy"])["accuracy"] == 0


WITHOUT = ("MultiLabelMarginLoss", "HingeEmbeddingLoss", "PoissonNLLLoss", "GaussianNLLLoss", "CTCLoss")


@pytest.mark.parametrize("kind", KINDS)
def test_accuracy_is_refused_where_there_is_none(kind):
    net, data = declared(kind)
    if kind in PAIRED:
        text = "no loss of the network has one slot with each role"
    elif kind in WITHOUT:
        text = f"There is no accuracy for {kind}, whose targets do not name the class of a prediction: give a function"
    else:
        assert isinstance(net.operators["loss"], Loss)
        return
    with pytest.raises(SettingError, match=text):
        evaluate(net, data, metrics=["accuracy"])


def test_a_function_measures_any_loss_and_accuracy_only_those_that_have_it():
    def distance(prediction, target):
        return (prediction - target).abs().mean()

    net, data = declared("PoissonNLLLoss")
    assert evaluate(net, data, metrics=[distance])["distance"] > 0
    operators = {"fc": Linear(4, 3), "a": graphdl.CrossEntropyLoss(), "b": graphdl.PoissonNLLLoss()}
    net = Network(operators, {"fc": ["a", "b"], "t": ["a"], "u": ["b"]}, seed=0)
    found = evaluate(net, {"fc": X, "t": CLASS, "u": LABELS}, metrics=["accuracy"])
    assert [name for name in found if "accuracy" in name] == ["accuracy_of_a"]
