import pytest
import torch

from graphdl import Linear, MSELoss, Network, Shared, Tanh
from graphdl.errors import OperatorError
from graphdl.optim import SGD, Adam, Cosine, Optimizer
from graphdl.optim import moves as moves_module
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep

OPERATORS = {"a": Linear(3, 8), "tanh": Tanh(), "b": Linear(8, 8), "c": Shared("b"), "loss": MSELoss()}
CONNECTIVITY = {"x": ["a"], "a": ["tanh"], "tanh": ["b"], "b": ["c"], "c": ["loss"], "target": ["loss"]}
BATCH = {"x": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), "target": torch.ones(5, 8)}


def network():
    return Network(OPERATORS, CONNECTIVITY, seed=0)


def moves(net, *nodes, together=()):
    return SGD(lr=1.0).bind(net).moves(nodes, together)


def gathered(found):
    return [list(group.gradients) for group in found.groups]


def test_small_parameters_are_gathered_side_by_side():
    found = moves(network(), "a", "b")
    assert gathered(found) == [[("a", "weight"), ("a", "bias"), ("b", "weight"), ("b", "bias")]]
    assert not found.single
    (group,) = found.groups
    assert len(group.pieces) == 1
    assert group.nodes == {"a", "b"}
    assert group.gradients["a", "weight"].shape == (8, 3)
    assert len({tensor.untyped_storage().data_ptr() for tensor in group.gradients.values()}) == 1


def test_a_group_has_the_order_of_its_parameters_whatever_that_of_the_nodes():
    assert gathered(moves(network(), "b", "a")) == gathered(moves(network(), "a", "b"))


def test_groups_are_no_larger_than_a_large_parameter_and_share_memory(monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", 100)
    found = moves(network(), "b", "a")
    assert gathered(found) == [[("b", "weight"), ("b", "bias")], [("a", "weight"), ("a", "bias")]]
    first, second = ({t.untyped_storage().data_ptr() for t in group.gradients.values()} for group in found.groups)
    assert first == second


def test_each_large_parameter_moves_by_itself(monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", 20)
    net = network()
    found = moves(net, "a", "b")
    assert list(found.single) == [("a", "weight"), ("b", "weight")]
    assert gathered(found) == [[("a", "bias")], [("b", "bias")]]
    before = net.state_dict()
    found.single["b", "weight"](torch.full((8, 8), 0.5))
    torch.testing.assert_close(net.parameters["b.weight"], before["b.weight"] - 0.5)
    for name in ("a.weight", "a.bias", "b.bias"):
        assert torch.equal(net.parameters[name], before[name])


def test_parameters_that_several_steps_share_have_a_group_and_memory_of_their_own(monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", 20)
    found = moves(network(), "b", "a", together={"b"})
    assert gathered(found) == [[("a", "bias")], [("b", "weight"), ("b", "bias")]]
    first, second = ({t.untyped_storage().data_ptr() for t in group.gradients.values()} for group in found.groups)
    assert first != second


def test_a_gradient_of_other_strides_moves_its_own_elements(monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", 1)
    net = network()
    before = net.state_dict()
    gradient = torch.arange(24.0).view(3, 8).t()
    moves(net, "a").single["a", "weight"](gradient)
    torch.testing.assert_close(net.parameters["a.weight"], before["a.weight"] - gradient)


def test_a_gradient_of_a_wrong_shape_is_refused_before_anything_moves():
    net = network()
    before = net.state_dict()
    with pytest.raises(OperatorError, match=r"a: the gradient of the parameter 'bias' has the shape \(1,\)"):
        moves(net, "a")([torch.zeros(8, 3), torch.zeros(1)])
    assert all(torch.equal(net.parameters[name], tensor) for name, tensor in before.items())


class Heavy(Optimizer):
    """A custom optimizer: momentum, the rate falling with the count of updates."""

    def state(self, w):
        return (torch.zeros_like(w),)

    def update(self, w, g, state, s):
        u = 0.9 * state[0] + g
        return w - s.lr / s.t**0.5 * u, (u,)


@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(lr=0.01),
        Adam(lr=Cosine(0.01, steps=9), nodes={"b": {"lr": 0.02}, "*.bias": {"weight_decay": 0.1}}),
        SGD(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        Heavy(lr=0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("large", [1, 20, 10**6])
@pytest.mark.parametrize("most_bytes", [-1, 2**23])
def test_however_they_move_they_arrive_at_the_same(optimizer, large, most_bytes, monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", large)
    monkeypatch.setattr("graphdl.execution.replay.MOST_BYTES", most_bytes)
    net, own = network(), network()
    step = TrainingStep(net, optimizer.bind(net), Scorer(net, ()))
    stepper = optimizer.bind(own)
    for made in range(12):
        step.stepper.scale = stepper.scale = 1.0 if made < 9 else 0.5
        with torch.inference_mode():
            step(BATCH)
        own.forward(BATCH)
        own.backward()
        stepper.step()
    for name, tensor in own.parameters.items():
        torch.testing.assert_close(net.parameters[name], tensor, rtol=1e-5, atol=1e-7)
    assert step.stepper.steps == stepper.steps == 12


def test_an_optimizer_does_not_change_the_gradients():
    net = network()
    for optimizer in (Adam(weight_decay=0.1), SGD(momentum=0.9, weight_decay=0.1, nesterov=True)):
        net.forward(BATCH)
        net.backward()
        before = {name: tensor.clone() for name, tensor in net.gradients.items()}
        stepper = optimizer.bind(net)
        stepper.step()
        assert all(torch.equal(net.gradients[name], tensor) for name, tensor in before.items())
