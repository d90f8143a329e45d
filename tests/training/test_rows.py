"""Which rows train, with which weights, and which are held out: in every way a step is made."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import (
    BCEWithLogitsLoss,
    Callback,
    CrossEntropyLoss,
    Feed,
    GraphDLError,
    Linear,
    Loss,
    MSELoss,
    MultiLabelSoftMarginLoss,
    Network,
    Shared,
    Tanh,
    Weighted,
    errors,
    evaluate,
    fit,
)
from graphdl.data import class_weights
from graphdl.errors import GraphDLWarning
from graphdl.optim import SGD, Adam
from graphdl.training.epochs import CompiledEpoch
from graphdl.training.recording import Recording
from graphdl.training.rows import hold_out
from graphdl.training.weighting import row_weights, weighted
from tests.twins import needs_compiler

G = torch.Generator().manual_seed(0)
X, LABELS, W = (
    torch.randn(60, 3, generator=G).double(),
    torch.randint(3, (60,), generator=G),
    torch.rand(60, generator=G).double(),
)
ROWS, EPOCHS = 10, 12
WAYS = ["operators", "replayed", "recomputed", pytest.param("compiled", marks=needs_compiler)]


def network(loss=None, outputs=3, **settings):
    operators = {"fc1": Linear(3, 8), "tanh": Tanh(), "fc2": Linear(8, outputs), "loss": loss or CrossEntropyLoss()}
    edges = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, edges, seed=0, dtype=settings.pop("dtype", torch.float64))


@pytest.fixture
def way(request, monkeypatch):
    """Arguments of fit, and a check at the end that steps were made in this way."""
    made = set()
    replay, compiled = Recording._replay, CompiledEpoch._steps_on

    def noted(recording, between):
        made.add("replayed")
        return replay(recording, between)

    def run(epoch, bundle, means):
        done = yield from compiled(epoch, bundle, means)
        if epoch.compiled:
            made.add("compiled")
        return done

    monkeypatch.setattr(Recording, "_replay", noted)
    monkeypatch.setattr(CompiledEpoch, "_steps_on", run)
    if request.param == "operators":
        monkeypatch.setattr("graphdl.training.recording.SIGHTS", 10**9)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GraphDLWarning)
        yield {"compiled": {"compile": True}, "recomputed": {"recompute": ["tanh"]}}.get(request.param, {})
    assert made == {"operators": set(), "recomputed": {"replayed"}}.get(request.param, {request.param})


def by_torch(net, each, target, weights, class_weight=None):
    """Parameters and losses of the same steps by torch's autograd and torch.optim, without shuffling."""
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, net.parameters["fc2.bias"].numel())).double()
    names = dict(zip(["0.weight", "0.bias", "2.weight", "2.bias"], net.parameters, strict=True))
    model.load_state_dict({theirs: net.parameters[ours].clone() for theirs, ours in names.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = []
    for _ in range(EPOCHS):
        total = 0.0
        for k in range(0, len(X), ROWS):
            part = slice(k, k + ROWS)
            losses = each(model(X[part]), target[part])
            scale = ROWS if class_weight is None else class_weight[target[part]].sum()
            loss = (losses * weights[part].view(-1, *[1] * (losses.dim() - 1))).sum() / scale / (losses[0].numel())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * ROWS
        history.append(total / len(X))
    return {ours: dict(model.named_parameters())[theirs].detach() for theirs, ours in names.items()}, history


PER_CLASS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
LOSSES = {
    "cross entropy": (
        CrossEntropyLoss(),
        3,
        LABELS,
        lambda x, t: functional.cross_entropy(x, t, reduction="none"),
        None,
    ),
    "class weights": (
        CrossEntropyLoss(class_weight=(0.5, 1.0, 3.0)),
        3,
        LABELS,
        lambda x, t: functional.cross_entropy(x, t, PER_CLASS, reduction="none"),
        PER_CLASS,
    ),
    "squares": (MSELoss(), 2, X[:, :2], lambda x, t: (x - t) ** 2, None),
    "binary": (
        BCEWithLogitsLoss(),
        1,
        (LABELS > 0)[:, None],
        lambda x, t: functional.binary_cross_entropy_with_logits(x, t.double(), reduction="none"),
        None,
    ),
}


@pytest.mark.parametrize("way", WAYS, indirect=True)
@pytest.mark.parametrize("name", LOSSES)
def test_weighted_training_is_that_of_torch(name, way):
    loss, outputs, target, each, class_weight = LOSSES[name]
    net = network(loss, outputs)
    weights = W.double() / W.double().mean()
    parameters, losses = by_torch(net, each, target, weights, class_weight)
    history = fit(
        net, X, target, optimizer=SGD(lr=0.1, momentum=0.9), epochs=EPOCHS, batch_size=ROWS, shuffle=False,
        sample_weight=W.numpy() * 7, progress=False, **way,
    )  # fmt: skip
    torch.testing.assert_close(torch.tensor(history["loss"]).double(), torch.tensor(losses).double(), rtol=1e-6, atol=0)
    for key, expected in parameters.items():
        torch.testing.assert_close(net.parameters[key], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_declared_weight_is_that_of_fit(way):
    """Weighted(loss) in the network, with an input for the weights, computes the same as sample_weight=."""
    given, declared = network(), network(Weighted(CrossEntropyLoss()))
    edges = declared.connectivity | {"w": [Feed("loss", slot="sample_weight")]}
    declared = Network(declared.operators, edges, seed=0, dtype=torch.float64)
    how = {"optimizer": Adam(lr=1e-2), "epochs": EPOCHS, "batch_size": ROWS, "progress": False, "seed": 1}
    scaled = W.double() / W.double().mean()
    first = fit(given, X, LABELS, sample_weight=W, **how, **way)
    second = fit(declared, {"x": X, "target": LABELS, "w": scaled}, **how, **way)
    assert first["loss"] == second["loss"]
    assert all(map(torch.equal, given.parameters.values(), declared.parameters.values()))


def test_weights_of_one_are_no_weights_and_the_scale_is_free():
    found = []
    for weights in (None, torch.ones(60), [3.0] * 60, {0: 2.0, 1: 2, 2: 2.0}):
        net = network()
        how = {"class_weight": weights} if isinstance(weights, dict) else {"sample_weight": weights}
        fit(net, X, LABELS, optimizer=SGD(lr=0.1), epochs=3, batch_size=ROWS, progress=False, **how)
        found.append(net.state_dict())
    for other in found[1:]:
        for name, tensor in found[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-12, atol=1e-12)


def test_a_weight_of_two_is_a_row_twice_and_of_zero_none():
    """On the whole data set: other batches would hold other rows."""
    weights = torch.randint(3, (60,), generator=G)
    rows = torch.repeat_interleave(torch.arange(60), weights)
    once, twice = network(), network()
    fit(once, X, LABELS, optimizer=Adam(lr=0.1), epochs=5, batch_size=60, sample_weight=weights, progress=False)
    fit(twice, X[rows], LABELS[rows], optimizer=Adam(lr=0.1), epochs=5, batch_size=len(rows), progress=False)
    for name, tensor in once.parameters.items():
        torch.testing.assert_close(tensor, twice.parameters[name], rtol=1e-10, atol=1e-10)


def test_class_weights_are_sample_weights_and_balance():
    labels = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)
    balanced = class_weights(labels)
    assert balanced == pytest.approx((60 / 120, 60 / 45, 60 / 15))
    found = []
    for how in (
        {"class_weight": "balanced"},
        {"class_weight": dict(enumerate(balanced))},
        {"class_weight": balanced},
        {"sample_weight": torch.tensor(balanced)[labels]},
    ):
        net = network()
        fit(net, X, labels, optimizer=SGD(lr=0.1), epochs=3, batch_size=ROWS, progress=False, **how)
        found.append(net.state_dict())
    for other in found[1:]:
        for name, tensor in found[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("target", "outputs", "loss"),
    [
        (functional.one_hot(LABELS, 3).double(), 3, MSELoss()),
        (functional.one_hot(LABELS, 3).double(), 3, CrossEntropyLoss()),
        (LABELS.int(), 3, CrossEntropyLoss()),
    ],
)
def test_classes_are_found_in_every_form_of_targets(target, outputs, loss):
    net, same = network(loss, outputs), network(loss, outputs)
    how = {"optimizer": SGD(lr=0.1), "epochs": 2, "batch_size": ROWS, "progress": False}
    fit(net, X, target, class_weight={1: 4.0}, **how)
    fit(same, X, target, sample_weight=torch.where(LABELS == 1, 4.0, 1.0), **how)
    assert all(map(torch.equal, net.parameters.values(), same.parameters.values()))


def test_the_ignored_class_has_no_weight():
    labels = torch.where(torch.arange(60) % 5 == 0, -100, LABELS)
    net, same = network(), network()
    how = {"optimizer": SGD(lr=0.1), "epochs": 2, "batch_size": ROWS, "progress": False}
    fit(net, X, labels, class_weight="balanced", **how)
    fit(same, X, labels, class_weight=class_weights(labels[labels >= 0]), **how)
    assert all(map(torch.equal, net.parameters.values(), same.parameters.values()))


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_what_callbacks_do_to_the_network_holds_for_weighted_training(way):
    class Freeze(Callback):
        def on_epoch_end(self, net, stepper, history):
            assert set(net.inputs) == {"x", "target"}
            assert history["validation_loss"][-1] == pytest.approx(evaluate(net, X, LABELS)["loss"], rel=1e-6)
            if history.epochs == 3:
                self.kept = net.parameters["fc1.weight"].clone()
                net.freeze("fc1")

    net, callback = network(), Freeze()
    free = net.parameters["fc2.weight"].clone()
    fit(
        net, X, LABELS, optimizer=SGD(lr=0.1), epochs=8, batch_size=ROWS, sample_weight=W, validation=(X, LABELS),
        callbacks=[callback], progress=False, **way,
    )  # fmt: skip
    assert torch.equal(net.parameters["fc1.weight"], callback.kept)
    assert not torch.equal(net.parameters["fc2.weight"], free)
    assert isinstance(net.operators["loss"], CrossEntropyLoss)


def test_the_weighted_network_is_one_with_the_network():
    """What is frozen in one is frozen in the other, tensors move together, and a pass of it can be recorded."""
    net = network()
    other, inputs = weighted(net, {"x": X, "target": LABELS}, W)
    net.freeze("fc1")
    assert other.engine.frozen == net.engine.frozen == {"fc1"}
    other.unfreeze("fc1").to(dtype=torch.float32)
    assert net.engine.frozen == frozenset()
    assert (net.dtype, net.engine.version) == (other.dtype, other.engine.version) == (torch.float32, 3)
    other.to(dtype=torch.float64).forward(inputs)
    other.backward()
    net.forward({"x": X, "target": LABELS})
    net.backward()
    assert all(other.parameters[name] is net.parameters[name] for name in net.parameters)
    assert not torch.equal(other.gradients["fc2.weight"], net.gradients["fc2.weight"])


def test_weights_with_blocks_shared_operators_and_several_losses():
    operators = {"a": Linear(3, 2), "b": Shared("a"), "left": MSELoss(), "right": Shared("left")}
    edges = {"x": ["a"], "z": ["b"], "a": ["left"], "b": ["right"], "y": ["left", "right"]}
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    before = net.state_dict()
    data = {"x": X, "z": X + 1, "y": X[:, :2]}
    history = fit(net, data, optimizer=SGD(lr=0.1), epochs=1, batch_size=60, sample_weight=W, progress=False)
    assert list(history) == ["loss", "loss_of_left", "loss_of_right"]
    a, weights = nn.Linear(3, 2).double(), W.double() / W.double().mean()
    a.load_state_dict({"weight": before["a.weight"], "bias": before["a.bias"]})
    losses = [(((a(data[name]) - data["y"]) ** 2) * weights[:, None]).mean() for name in "xz"]
    sum(losses).backward()
    torch.testing.assert_close(
        net.parameters["a.weight"], before["a.weight"] - 0.1 * a.weight.grad, rtol=1e-10, atol=1e-10
    )


def test_a_custom_loss_is_weighted():
    class Cubes(Loss):
        def forward(self, p, x, target, *, training):
            return self.reduce((x - target).abs() ** 3), x - target

        def backward(self, p, d, dy):
            return (3 * d * d.abs() * self.share(dy, d.numel()), None), {}

    net = network(Cubes(), 2)
    history = fit(net, X, X[:, :2], optimizer=SGD(lr=0.01), epochs=1, batch_size=60, sample_weight=W, progress=False)
    values = (network(Cubes(), 2).predict(X) - X[:, :2]).abs() ** 3
    assert history["loss"][0] == pytest.approx(float((values.mean(1) * W).sum() / W.sum()), rel=1e-6)


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_share_is_held_out(way):
    """The same rows each time; the network is trained as on the others alone, and validated on them."""
    rows, held = hold_out(60, 0.25, 5)
    assert len(held) == 15
    assert torch.equal(torch.cat([rows, held]).sort().values, torch.arange(60))
    net, same = network(), network()
    how = {"optimizer": Adam(lr=1e-2), "epochs": EPOCHS, "batch_size": 9, "progress": False, "seed": 5, **way}
    how["metrics"] = ["accuracy"]
    first = fit(net, X, LABELS, validation=0.25, **how)
    second = fit(same, X[rows], LABELS[rows], validation=(X[held], LABELS[held]), **how)
    assert {name: first[name] for name in first} == {name: second[name] for name in second}
    assert all(map(torch.equal, net.parameters.values(), same.parameters.values()))


def test_held_out_rows_stay_the_same_when_training_goes_on():
    """Without a seed, too: rows for validation never train."""
    twice, once = network(), network()
    stepper = Adam(lr=1e-2).bind(twice)
    for _ in range(2):
        fit(twice, X, LABELS, optimizer=stepper, epochs=2, batch_size=ROWS, validation=0.2, progress=False)
    history = fit(once, X, LABELS, optimizer=Adam(lr=1e-2), epochs=4, batch_size=ROWS, validation=0.2, progress=False)
    assert all(map(torch.equal, once.parameters.values(), twice.parameters.values()))
    assert "validation_loss" in history


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_drop_last_leaves_out_the_shorter_batch(way, shuffle):
    seen = []

    class Count(Callback):
        def on_epoch_end(self, net, stepper, history):
            seen.append(stepper.steps)

    net = network()
    how = {"optimizer": SGD(lr=0.1), "epochs": 4, "progress": False, "shuffle": shuffle, "callbacks": [Count()], **way}
    fit(net, X, LABELS, batch_size=25, drop_last=True, **how)
    assert seen == [2, 4, 6, 8]
    if not shuffle:
        same = network()
        fit(same, X[:50], LABELS[:50], batch_size=25, **how)
        assert all(map(torch.equal, net.parameters.values(), same.parameters.values()))


@pytest.mark.parametrize("batch_size", [7, 60])
def test_evaluate_takes_weights_of_rows(batch_size):
    """The loss is sum w loss / sum w, as that of fit; metrics are not weighted, and the network stays as it is."""
    net = network()
    each = functional.cross_entropy(net.predict(X), LABELS, reduction="none")
    found = evaluate(net, X, LABELS, sample_weight=3 * W, batch_size=batch_size, metrics=["accuracy"])
    assert found["loss"] == pytest.approx(float((W * each).sum() / W.sum()))
    assert found["accuracy"] == evaluate(net, X, LABELS, metrics=["accuracy"])["accuracy"]
    assert net.inputs == ("x", "target")
    how = {"optimizer": SGD(lr=0.0), "epochs": 1, "batch_size": batch_size, "progress": False}
    assert fit(net, X, LABELS, sample_weight=W, **how)["loss"][0] == pytest.approx(found["loss"])
    with pytest.raises(GraphDLError, match="sample_weight belongs to rows of tensors"):
        evaluate(net, BATCHES, sample_weight=W)
    with pytest.raises(GraphDLError, match=r"sample_weight has the shape \(60,\), and the data have 50 rows"):
        evaluate(net, X[:50], LABELS[:50], sample_weight=W)


BATCHES = [{"x": X, "target": LABELS}]
REFUSED = [
    ({"sample_weight": torch.ones(59)}, r"sample_weight has the shape \(59,\), and the data have 60 rows.*\(60,\)"),
    ({"sample_weight": torch.ones(60, 1)}, r"sample_weight has the shape \(60, 1\)"),
    ({"sample_weight": -torch.ones(60)}, r"at least 0, and one is -1"),
    ({"sample_weight": torch.full((60,), torch.nan)}, r"finite numbers of at least 0, and one is nan"),
    ({"sample_weight": torch.zeros(60)}, r"All rows have the weight 0: leave such rows out"),
    ({"sample_weight": "many"}, r"sample_weight is a str; give a tensor or an array of numbers"),
    ({"class_weight": "even"}, r"class_weight is 'even': the only word that it takes is \"balanced\""),
    ({"class_weight": [1.0]}, r"class_weight has 1 numbers, and the targets 3 classes"),
    ({"class_weight": {"a": 1.0}}, r"class_weight has 'a': 1.0, which is not a class and its weight"),
    ({"class_weight": 3}, r"class_weight is 3: give \"balanced\""),
    ({"validation": 0}, r"validation is 0: Give a share between 0 and 1"),
    ({"validation": 1.0}, r"validation is 1.0: Give a share between 0 and 1"),
    ({"validation": 20}, r"validation is 20: Give a share between 0 and 1 of the rows, such as 0.2"),
    ({"validation": 1e-3}, r"validation is 0.001: 60 rows have no part of this size"),
    ({"drop_last": 1}, r"fit: drop_last must be True or False, not 1"),
    ({"drop_last": True, "batch_size": 61}, r"drop_last=True leaves no batch of 60 rows: batch_size is 61"),
]


@pytest.mark.parametrize(("given", "text"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused(given, text):
    with pytest.raises(GraphDLError, match=text):
        fit(network(), X, LABELS, optimizer=SGD(lr=0.1), epochs=1, **({"batch_size": ROWS} | given))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"validation": 0.2}, r"validation is a share of the rows, which are not known of an iterable of batches"),
        ({"drop_last": True}, r"DataLoader\(\.\.\., drop_last=True\)"),
        ({"sample_weight": torch.ones(60)}, r"write Weighted\(loss\) in the network"),
        ({"class_weight": "balanced"}, r"CrossEntropyLoss\(class_weight=graphdl.data.class_weights\(labels\)\)"),
    ],
)
def test_iterables_of_batches_have_no_known_rows(given, text):
    with pytest.raises(GraphDLError, match=text):
        fit(network(), BATCHES, optimizer=SGD(lr=0.1), epochs=1, **given)


def test_weights_twice_are_refused():
    net = network(Weighted(CrossEntropyLoss()))
    data = {"x": X, "target": LABELS, "loss": W}
    with pytest.raises(GraphDLError, match="loss is weighted already by an input of the network"):
        fit(net, data, optimizer=SGD(lr=0.1), epochs=1, batch_size=ROWS, sample_weight=W)


def test_class_weight_needs_classes():
    with pytest.raises(GraphDLError, match=r"targets hold .*, which is not the number of a class"):
        fit(network(MSELoss(), 1), X, X[:, :1], optimizer=SGD(lr=0.1), epochs=1, batch_size=9, class_weight="balanced")


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (MSELoss(), X),
        (MSELoss(), X.abs().cumsum(1).round()),
        (BCEWithLogitsLoss(), (X > 0).double()),
        (MultiLabelSoftMarginLoss(), functional.one_hot(LABELS, 3)),
        (CrossEntropyLoss(), X.abs()),
    ],
    ids=["regression", "whole numbers", "several labels", "a loss of separate labels", "not probabilities"],
)
def test_class_weight_refuses_rows_without_a_class(loss, target):
    with pytest.raises(GraphDLError, match="sample_weight"):
        fit(network(loss), X, target, optimizer=SGD(lr=0.1), epochs=1, batch_size=9, class_weight={0: 2.0})


def test_class_weight_takes_one_hot_and_soft_rows():
    nets = [network() for _ in range(2)]
    hot = functional.one_hot(LABELS, 3).double()
    for net, target in zip(nets, (hot, 0.9 * hot + 0.1 / 3), strict=True):
        fit(net, X, target, optimizer=SGD(lr=0.0), epochs=1, batch_size=60, class_weight="balanced", progress=False)
    assert class_weights(hot) == class_weights(0.9 * hot + 0.1 / 3) == class_weights(LABELS)
    with pytest.raises(GraphDLError, match=r"labels \(60, 3\) are not the probabilities of classes"):
        class_weights((X > 0).double())


def test_class_weight_refuses_sequences():
    with pytest.raises(GraphDLError, match=r"targets \(60, 2\) are not the probabilities .*sample_weight"):
        row_weights(60, None, "balanced", torch.stack([LABELS, LABELS], 1), None, None)


def test_the_weight_of_a_class_that_no_row_has_is_refused():
    operators = {"fc": Linear(2, 2), "loss": CrossEntropyLoss()}
    net = Network(operators, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    data = {"x": torch.ones(4, 2), "y": torch.tensor([0, 1, 1, 0])}
    with pytest.raises(errors.SettingError, match="the class 7, but the targets have classes 0 to 1: remove it"):
        fit(net, data, optimizer=SGD(), epochs=1, batch_size=2, class_weight={0: 1.0, 7: 2.0})
