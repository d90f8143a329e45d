"""Penalties against torch.optim with the same terms written into the loss."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from graphdl import EarlyStopping, MSELoss, Network, evaluate, fit
from graphdl.errors import OperatorError, SettingError, UnknownNodeError
from graphdl.optim import L1, L2, SGD, Adam, AdamW, Gathering, Penalty
from graphdl.optim.penalties import Penalties
from tests.optim.common import CONNECTIVITY, OPERATORS, assert_same, backward, batches, network, twin, updates
from tests.twins import needs_compiler

ROWS, EPOCHS = 10, 8
G = torch.Generator().manual_seed(3)
X, Y = (torch.randn(65, size, generator=G, dtype=torch.float64) for size in (3, 2))


@dataclass(frozen=True)
class Group(Penalty):
    """Of each parameter the root of the sum of squares."""

    def value(self, w):
        return w.norm()

    def gradient(self, w):
        return w / w.norm()


PENALTIES = (L2(0.05, nodes=("*.weight",)), L1(0.02, nodes=("fc1",)), Group(0.03, nodes="fc2.*"))
OURS = {"sgd": SGD(lr=0.05, momentum=0.9), "adam": Adam(lr=0.01), "adamw": AdamW(lr=0.01)}
THEIRS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}
GATHERINGS = [{}, {"clip_norm": 0.2}, {"clip_norm": 0.2, "clip_value": 0.05, "accumulate": 3}]


def terms(model):
    """The penalties as autograd gets them."""
    l2 = 0.05 * sum((layer.weight**2).sum() for layer in (model[0], model[2]))
    l1 = 0.02 * sum(p.abs().sum() for p in model[0].parameters())
    return l2, l1, 0.03 * sum(p.norm() for p in model[2].parameters())


def descend_with(model, optimizer, x, y, gathering, part=1, last=True):
    (nn.functional.mse_loss(model(x), y) / part + sum(terms(model)) / part).backward()
    if last:
        if "clip_value" in gathering:
            nn.utils.clip_grad_value_(model.parameters(), gathering["clip_value"])
        if "clip_norm" in gathering:
            nn.utils.clip_grad_norm_(model.parameters(), gathering["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("gathering", GATHERINGS, ids=lambda gathering: ", ".join(gathering) or "plain")
@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("way", ["operators", "replayed", pytest.param("compiled", marks=needs_compiler)])
def test_as_torch_with_the_terms_in_the_loss(way, name, gathering, monkeypatch):
    if way == "operators":
        monkeypatch.setattr("graphdl.training.recording.SIGHTS", 10**9)
    monkeypatch.setattr("graphdl.optim.moves.LARGE", 10)
    net = network()
    model = twin(net)
    optimizer, every, expected = THEIRS[name](model.parameters()), gathering.get("accumulate", 1), []
    order = torch.Generator()
    order.set_state(net.generator.get_state())
    for _ in range(EPOCHS):
        rows = torch.randperm(65, generator=order).split(ROWS)
        for first in range(0, len(rows), every):
            part = rows[first : first + every]
            for each in part:
                descend_with(model, optimizer, X[each], Y[each], gathering, len(part), each is part[-1])
        expected.append([term.item() for term in terms(model)])
    history = fit(
        net, {"x": X, "target": Y}, optimizer=OURS[name], epochs=EPOCHS, batch_size=ROWS, penalties=PENALTIES,
        compile=way == "compiled", progress=False, **gathering,
    )  # fmt: skip
    assert_same(net, model, 1e-9)
    found = list(zip(history["l2"], history["l1"], history["group"], strict=True))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gathering", GATHERINGS, ids=lambda gathering: ", ".join(gathering) or "plain")
def test_steps_of_a_custom_loop_and_the_formula(gathering):
    nets, data = [network(), network()], batches(30)
    model = twin(nets[0])
    optimizer, every = THEIRS["adam"](model.parameters()), gathering.get("accumulate", 1)
    steppers = [OURS["adam"].bind(net) for net in nets]
    for count, batch in enumerate(data, 1):
        backward(nets[0], batch)
        before = {name: tensor.clone() for name, tensor in nets[0].gradients.items()}
        steppers[0].step(penalties=PENALTIES, **gathering)
        assert all(torch.equal(nets[0].gradients[name], tensor) for name, tensor in before.items())
        descend_with(model, optimizer, *batch, gathering, every, count % every == 0)
    updates(nets[1], steppers[1], data, penalties=PENALTIES, **gathering)
    for net in nets:
        assert_same(net, model, 1e-10)


def test_l2_is_a_weight_decay_of_sgd_and_not_of_adamw():
    nets = [network() for _ in range(4)]
    pairs = [(SGD(lr=0.1), (L2(0.05),)), (SGD(lr=0.1, weight_decay=0.1), ())]
    pairs += [(AdamW(lr=0.1, weight_decay=0.0), (L2(0.05),)), (AdamW(lr=0.1, weight_decay=0.1), ())]
    for net, (optimizer, penalties) in zip(nets, pairs, strict=True):
        fit(
            net, {"x": X, "target": Y}, optimizer=optimizer, epochs=2, batch_size=ROWS, penalties=penalties,
            progress=False,
        )  # fmt: skip
    weights = [net.parameters["fc1.weight"] for net in nets]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(weights[2], weights[3], atol=1e-3)


def test_l1_leaves_zeros_at_zero():
    net = network()
    net.parameters["fc1.weight"] = torch.zeros(8, 3)
    w = net.parameters["fc1.weight"]
    assert L1(1.0).gradient(w).abs().max() == 0


def test_frozen_nodes_get_no_penalty_and_count_in_the_figure():
    net = network()
    before = net.state_dict()
    net.freeze("fc1")
    history = fit(
        net, {"x": X, "target": Y}, optimizer=SGD(lr=0.1), epochs=1, batch_size=ROWS, penalties=[L2(0.5)],
        progress=False,
    )  # fmt: skip
    assert torch.equal(net.parameters["fc1.weight"], before["fc1.weight"])
    total = sum(float((tensor**2).sum()) for tensor in net.parameters.values())
    assert history["l2"] == [pytest.approx(0.5 * total)]


def test_the_history_lists_each_term_and_the_loss_without_them():
    net = network()
    penalties = (L2(0.1, nodes="fc1"), L2(0.2, nodes=["fc2"]), L1(0.3, name="sparsity"), L2(0.0))
    stopping = EarlyStopping("sparsity", patience=100)
    history = fit(
        net, {"x": X, "target": Y}, optimizer=SGD(lr=0.0), epochs=2, batch_size=65, penalties=penalties,
        validation={"x": X, "target": Y}, callbacks=[stopping], progress=False,
    )  # fmt: skip
    assert list(history) == ["loss", "l2", "l2_2", "sparsity", "l2_3", "validation_loss"]
    fc2 = sum(float((net.parameters[f"fc2.{name}"] ** 2).sum()) for name in ("weight", "bias"))
    assert history["l2_2"] == [pytest.approx(0.2 * fc2)] * 2
    assert history["l2_3"] == [0.0, 0.0]
    assert history["loss"][0] == pytest.approx(evaluate(net, {"x": X, "target": Y})["loss"], rel=1e-12)


def test_an_int_is_a_node():
    penalty = L2(0.1, nodes=1)
    assert penalty.nodes == (1,)
    net = Network({1: OPERATORS["fc1"], 2: OPERATORS["fc2"], 3: MSELoss()}, {"x": [1], 1: [2], 2: [3], "y": [3]})
    assert Penalties([penalty]).values(net.engine.store)["l2"] == pytest.approx(
        0.1 * sum(float((net.parameters[f"1.{name}"] ** 2).sum()) for name in ("weight", "bias"))
    )


def run(penalties, metrics=()):
    net = Network(OPERATORS, CONNECTIVITY, seed=0)
    data = {"x": X.float(), "target": Y.float()}
    fit(
        net, data, optimizer=SGD(), epochs=1, batch_size=ROWS, metrics=metrics, penalties=penalties, progress=False
    )  # fmt: skip


class Wide(Penalty):
    def value(self, w):
        return w.sum()

    def gradient(self, w):
        return torch.ones(())


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: L2(-1.0), SettingError, "L2: strength must be a finite number of at least 0"),
        (lambda: L2(1.0, nodes=()), SettingError, "L2: nodes must be a tuple of nodes and patterns"),
        (lambda: L2(1.0, nodes=(1.5,)), SettingError, "L2: nodes must be a tuple of nodes"),
        (lambda: L1(1.0, name=""), SettingError, "L1: name must be a name for the history"),
        (lambda: Gathering(penalties=L2(1.0)), SettingError, r"penalties must be a tuple such as \(L2\(1e-3\),\)"),
        (lambda: run([L2]), SettingError, "penalties must be a tuple"),
        (lambda: run([L2(1.0, nodes="fc3")]), UnknownNodeError, "L2: nodes: 'fc3' matches no node .* Did you mean"),
        (lambda: run([L1(1.0, nodes="tanh")]), UnknownNodeError, "L1: nodes: 'tanh' owns no parameters"),
        (lambda: run([L2(1.0, name="loss")]), SettingError, "The name 'loss' is used twice in the history"),
        (lambda: run([Wide(1.0)]), OperatorError, r"Wide: gradient returned the shape \(\) for a parameter of"),
    ],
)
def test_what_is_wrong_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
