import copy

import pytest
import torch

from graphdl import Linear, MSELoss, Network
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.optim import SGD, Adam, AdamW, Cosine, Gathering, Warmup
from tests.optim.common import backward, batches, network, updates

DATA = batches(10)
OPTIMIZERS = [
    SGD(lr=0.1, momentum=0.9),
    Adam(lr=0.01),
    AdamW(lr=Warmup(0.01, steps=3, then=Cosine(0.01, steps=5))),
    SGD(lr=0.1, momentum=0.9, nodes={"*.bias": {"momentum": 0.0}}),
    Adam(lr=0.01, nodes={"fc1": {"lr": Cosine(0.1, steps=9)}}),
]


def train(net, stepper, data, **settings):
    for batch in data:
        backward(net, batch)
        stepper.step(**settings)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name], name


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_five_steps_and_five_are_ten(optimizer):
    net = network()
    stepper = optimizer.bind(net)
    train(net, stepper, DATA)
    first = network()
    before = optimizer.bind(first)
    train(first, before, DATA[:5])
    second = network()
    second.load_state_dict(first.state_dict())
    after = optimizer.bind(second)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    assert after.steps == 5
    train(second, after, DATA[5:])
    assert_equal(second.state_dict(), net.state_dict())
    assert_equal(after.state_dict(), stepper.state_dict())
    assert after.steps == 10


def test_its_state_is_a_copy_of_plain_numbers_and_tensors(tmp_path):
    net = network()
    stepper = Adam(lr=0.01).bind(net)
    train(net, stepper, DATA[:3])
    state = stepper.state_dict()
    assert list(state)[:5] == ["optimizer", "step", "scale", "fc1.weight.1", "fc1.weight.2"]
    assert (state["optimizer"], state["step"], state["scale"]) == ("Adam", 3, 1.0)
    assert state["fc1.weight.1"].shape == (8, 3)
    before = copy.deepcopy(state)
    train(net, stepper, DATA[3:5])
    assert_equal(state, before)
    torch.save(state, tmp_path / "state.pt")
    stepper.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_equal(stepper.state_dict(), before)


def test_loading_reaches_the_moves_that_are_bound():
    net = network()
    stepper = SGD(lr=0.1, momentum=0.9).bind(net)
    train(net, stepper, DATA[:2])
    weights, state = net.state_dict(), stepper.state_dict()
    train(net, stepper, DATA[2:4])
    expected = net.state_dict()
    net.load_state_dict(weights)
    stepper.load_state_dict(state)
    train(net, stepper, DATA[2:4])
    assert_equal(net.state_dict(), expected)


def other_network():
    return Network(
        {"fc1": Linear(3, 9), "fc3": Linear(9, 2), "loss": MSELoss()},
        {"x": ["fc1"], "fc1": ["fc3"], "fc3": ["loss"], "target": ["loss"]},
    )


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (lambda: SGD(momentum=0.9).bind(network()).state_dict(), MissingInputError, "of Adam has no fc1.weight.2"),
        (lambda: AdamW().bind(network()).state_dict(), SettingError, "the state belongs to AdamW, not to Adam"),
        (lambda: Adam().bind(other_network()).state_dict(), MissingInputError, "has no fc2.weight.1, fc2.weight.2"),
        (
            lambda: {**valid(), "fc3.weight.1": torch.ones(1)},
            SettingError,
            "no state called 'fc3.weight.1' .* mean 'fc2",
        ),
        (lambda: {**valid(), "fc1.bias.1": torch.ones(9)}, ShapeError, r"fc1.bias.1 has the shape \(8,\)"),
        (lambda: {**valid(), "step": -1}, SettingError, "step must be a number of updates, 0 or more, not -1"),
        (lambda: {**valid(), "scale": "a"}, SettingError, "scale multiplies the learning rates"),
        (lambda: [1], SettingError, r"takes what stepper.state_dict\(\) returned"),
    ],
)
def test_another_state_is_refused_and_changes_nothing(state, error, text):
    stepper = Adam().bind(network())
    before = stepper.state_dict()
    with pytest.raises(error, match=text):
        stepper.load_state_dict(state())
    assert_equal(stepper.state_dict(), before)


def valid():
    return {**Adam().bind(network()).state_dict(), "step": 7}


@pytest.mark.parametrize("lr", [0.1, Cosine(0.1, steps=12)], ids=str)
def test_scale_multiplies_every_rate(lr):
    net, other = network(), network()
    scaled, plain = SGD(lr=lr, nodes={"fc1": {"lr": 0.4}}).bind(net), SGD(lr=0.0).bind(other)
    for step, batch in enumerate(DATA):
        scaled.scale = 0.5 if step < 5 else 0.25
        rate = lr if isinstance(lr, float) else lr.at(step)
        backward(other, batch)
        for name, gradient in other.gradients.items():
            other.parameters[name] -= scaled.scale * (0.4 if name.startswith("fc1") else rate) * gradient
        train(net, scaled, [batch])
        for name, tensor in net.parameters.items():
            torch.testing.assert_close(tensor, other.parameters[name], rtol=1e-13, atol=1e-14)
    assert plain.scale == 1.0
    for wrong in (-1.0, "a", float("nan"), True):
        with pytest.raises(SettingError, match="scale multiplies the learning rates"):
            plain.scale = wrong


def test_numbers_are_those_of_the_next_updates():
    net = network()
    stepper = SGD(lr=Cosine(0.1, steps=10), nodes={"fc1": {"momentum": 0.5, "lr": 0.2}}).bind(net)
    train(net, stepper, DATA[:2])
    stepper.scale = 0.5
    rows = stepper.numbers(3)
    assert rows.shape == (3, 7)
    assert rows[:, -1].tolist() == [3, 4, 5]
    numbers = [list(range(3)), list(range(3, 6))]
    own, other = numbers if stepper._variants[0].optimizer.momentum else numbers[::-1]
    assert rows[0, own].tolist() == [0.1, 0.5, 0.0]
    assert rows[:, other[0]].tolist() == [0.5 * Cosine(0.1, steps=10).at(step) for step in (2, 3, 4)]
    assert stepper.numbers(0).shape == (0, 7)
    assert stepper.steps == 2


@pytest.mark.parametrize("settings", [{"accumulate": 4}, {"accumulate": 3, "clip_norm": 0.1}, {"clip_value": 0.01}])
@pytest.mark.parametrize("blocks", [[10], [3, 5, 2], [1] * 10])
def test_blocks_of_batches_with_an_end(settings, blocks):
    """Two epochs of ten batches, each with an update of what is left: by calls, and by rows of numbers."""
    net, other = network(), network()
    backward(net, DATA[0])
    backward(other, DATA[0])
    gathering = Gathering(**settings)
    stepper, recorded = Adam(lr=Cosine(0.1, 9)).bind(net), Adam(lr=Cosine(0.1, 9)).bind(other)
    moves, formulas = stepper.moves(net.reached, (), gathering), recorded.moves(other.reached, (), gathering)
    for _ in range(2):
        for batch in DATA:
            backward(net, batch)
            due, before = moves.due, stepper.steps
            moves.step([net.gradients[extent.full_name] for extent in moves.extents])
            assert stepper.steps == before + due
        moves.finish()
        assert moves.pending == 0
        start = 0
        for block in blocks:
            last = start + block == len(DATA)
            for batch, row in zip(DATA[start : start + block], formulas.numbers(block, finish=last), strict=True):
                backward(other, batch)
                for (node, name), memory in formulas.groups[0].gradients.items():
                    memory.copy_(other.gradients[f"{node}.{name}"])
                formulas.formula(row)
            formulas.advance(block, finish=last)
            start += block
        assert recorded.steps == stepper.steps
        for name, tensor in net.parameters.items():
            torch.testing.assert_close(other.parameters[name], tensor, rtol=1e-11, atol=1e-12)
    assert stepper.steps == 2 * -(-10 // settings.get("accumulate", 1))


def test_what_is_left_is_averaged_over_its_own_batches():
    net, other = network(), network()
    for each in (net, other):
        backward(each, DATA[0])
    stepper = SGD(lr=1.0).bind(net)
    moves = stepper.moves(net.reached, (), Gathering(accumulate=5))
    gradients = []
    for batch in DATA[:2]:
        backward(net, batch)
        gradients.append({name: tensor.clone() for name, tensor in net.gradients.items()})
        moves.step([net.gradients[extent.full_name] for extent in moves.extents])
    assert torch.equal(net.parameters["fc1.weight"], other.parameters["fc1.weight"])
    moves.finish()
    moves.finish()
    assert stepper.steps == 1
    for name, tensor in net.parameters.items():
        mean = (gradients[0][name] + gradients[1][name]) / 2
        torch.testing.assert_close(tensor, other.parameters[name] - mean, rtol=1e-14, atol=1e-14)


def test_finish_makes_the_last_update_of_a_loop():
    net, other = network(), network()
    stepper, reference = SGD(lr=0.1).bind(net), SGD(lr=0.1).bind(other)
    stepper.finish()
    train(net, stepper, DATA[:4], accumulate=3)
    assert stepper.steps == 1
    stepper.finish()
    stepper.finish()
    train(other, reference, DATA[:3], accumulate=3)
    train(other, reference, DATA[3:4])
    assert stepper.steps == reference.steps == 2
    for name, tensor in net.parameters.items():
        torch.testing.assert_close(tensor, other.parameters[name], rtol=1e-14, atol=1e-14)


def test_what_trains_does_not_change_between_two_updates():
    net = network()
    stepper = SGD(lr=0.1).bind(net)
    train(net, stepper, DATA[:3], accumulate=2)
    net.freeze("fc1")
    with pytest.raises(SettingError, match=r"changed, and no update .* the last 1 of the batches"):
        train(net, stepper, DATA[3:4], accumulate=2)


def test_all_tensors_that_change_are_listed():
    net = network()
    backward(net, DATA[0])
    stepper = Adam().bind(net)
    moves = stepper.moves(net.reached, (), Gathering(accumulate=2))
    assert [tensor.shape for tensor in moves.changed[:3]] == [net.engine.store.flat.shape] * 3
    held = {tensor.untyped_storage().data_ptr() for tensor in moves.changed}
    (group,) = moves.groups
    assert held == {
        tensor.untyped_storage().data_ptr()
        for tensor in (net.engine.store.flat, *stepper.memory()[0], group.vector.total)
    }


def test_the_formula_wants_all_parameters_in_groups(monkeypatch):
    monkeypatch.setattr("graphdl.optim.moves.LARGE", 10)
    net = network()
    stepper = SGD().bind(net)
    with pytest.raises(SettingError, match="together=nodes"):
        stepper.moves(["fc1", "fc2"]).formula(stepper.numbers(1)[0])


def test_steps_counted_elsewhere_go_on_here():
    net, other = network(), network()
    train(net, (stepper := Adam(lr=0.01).bind(net)), DATA)
    recorded = Adam(lr=0.01).bind(other)
    updates(other, recorded, DATA[:6])
    train(other, recorded, DATA[6:])
    assert recorded.steps == stepper.steps == 10
    for name, tensor in net.parameters.items():
        torch.testing.assert_close(other.parameters[name], tensor, rtol=1e-11, atol=1e-12)


def test_a_network_that_is_not_built_has_no_state_yet():
    net = Network({"fc": Linear(out_features=2), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]})
    with pytest.raises(MissingInputError):
        Adam().bind(net).state_dict()
