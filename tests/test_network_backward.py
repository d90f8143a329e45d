import pytest
import torch

from graphdl import (
    Feed,
    Item,
    L1Loss,
    Linear,
    MSELoss,
    Network,
    Operator,
    Product,
    ReLU,
    Shared,
    Sum,
    Tanh,
)
from tests.probe import Probe

X = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(5, 2)
Y = torch.linspace(0, 1, 10, dtype=torch.float64).reshape(5, 2)


class Halves(Operator):
    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), None

    def backward(self, p, saved, dy):
        shape = next(d for d in dy if d is not None).shape
        return (torch.cat([torch.zeros(shape) if d is None else d for d in dy], 1),), {}


def make(operators, connectivity):
    return Network(operators, connectivity, seed=0, dtype=torch.float64)


def supervised(loss=None, edge="loss"):
    operators = {"fc1": Linear(2, 3), "tanh": Tanh(), "fc2": Linear(3, 2), "loss": loss or MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": [edge], "target": ["loss"]}
    return make(operators, connectivity)


def by_autograd(net, loss):
    """The gradients of the same formula by torch: {parameter: gradient}, dx, dtarget."""
    p = {name: tensor.clone().requires_grad_() for name, tensor in net.parameters.items()}
    x, target = X.clone().requires_grad_(), Y.clone().requires_grad_()
    hidden = torch.tanh(torch.nn.functional.linear(x, p["fc1.weight"], p["fc1.bias"]))
    loss(torch.nn.functional.linear(hidden, p["fc2.weight"], p["fc2.bias"]), target).backward()
    return {name: tensor.grad for name, tensor in p.items()}, {"x": x.grad, "target": target.grad}


def mean_squares(prediction, target):
    return (prediction - target).square().mean()


def run(net, gradients=None):
    net.forward({"x": X, "target": Y})
    return net.backward(gradients)


def test_gradients_are_those_of_autograd():
    net = supervised()
    returned = run(net)
    parameters, inputs = by_autograd(net, mean_squares)
    torch.testing.assert_close(net.gradients, parameters)
    torch.testing.assert_close(returned, inputs)


def test_value_gradients_stand_beside_the_values():
    net = supervised()
    returned = run(net)
    assert set(net.value_gradients) == set(net.values)
    assert net.value_gradients["loss"].item() == 1
    assert net.value_gradients["x"].equal(returned["x"])
    torch.testing.assert_close(net.value_gradients["fc2"], 2 * (net.values["fc2"] - Y) / 10)
    torch.testing.assert_close(
        net.value_gradients["fc1"], net.value_gradients["tanh"] * (1 - net.values["tanh"].square())
    )


def test_several_calls_do_not_accumulate():
    net = supervised()
    first = run(net)
    gradients = {name: gradient.clone() for name, gradient in net.gradients.items()}
    second = net.backward()
    torch.testing.assert_close(net.gradients, gradients)
    torch.testing.assert_close(second, first)


def test_a_new_forward_pass_forgets_the_old_gradients_of_values():
    net = supervised()
    run(net)
    net.forward({"x": X, "target": Y})
    assert net.value_gradients == {}


def test_a_loss_starts_with_its_weight():
    net = supervised(MSELoss(weight=-0.5))
    run(net)
    assert net.value_gradients["loss"].item() == -0.5
    parameters, _ = by_autograd(net, lambda *pair: -0.5 * mean_squares(*pair))
    torch.testing.assert_close(net.gradients, parameters)


def test_a_loss_without_reduction_starts_with_its_weight_everywhere():
    net = supervised(MSELoss(reduction="none", weight=2))
    run(net)
    assert net.value_gradients["loss"].tolist() == [[2, 2]] * 5
    parameters, _ = by_autograd(net, lambda a, b: 2 * (a - b).square().sum())
    torch.testing.assert_close(net.gradients, parameters)


def test_a_loss_without_reduction_follows_the_size_of_the_batch():
    net = supervised(MSELoss(reduction="none", weight=2))
    run(net)
    net.forward({"x": X[:3], "target": Y[:3]})
    net.backward()
    assert net.value_gradients["loss"].tolist() == [[2, 2]] * 3


def test_the_gradients_of_several_losses_add_up_by_weight():
    operators = {"fc": Linear(2, 2), "mse": MSELoss(weight=0.25), "l1": L1Loss(weight=3)}
    net = make(operators, {"x": ["fc"], "fc": ["mse", "l1"], "target": ["mse", "l1"]})
    run(net)
    difference = net.values["fc"] - Y
    torch.testing.assert_close(net.value_gradients["fc"], 0.25 * 2 * difference / 10 + 3 * difference.sign() / 10)


def test_backward_starts_at_the_given_nodes_alone():
    net = supervised()
    start = torch.ones(5, 3, dtype=torch.float64)
    returned = run(net, {"tanh": start})
    expected = start * (1 - net.values["tanh"].square())
    torch.testing.assert_close(net.gradients["fc1.weight"], expected.T @ X)
    assert not net.gradients["fc2.weight"].any()
    assert set(net.value_gradients) == {"x", "fc1", "tanh"}
    assert set(returned) == {"x"}
    assert net.reached == {"fc1"}


def test_backward_from_nowhere_gives_zeros():
    net = supervised()
    assert run(net, {}) == {}
    assert set(net.gradients) == set(net.parameters)
    assert not any(gradient.any() for gradient in net.gradients.values())


def test_a_start_may_be_an_array():
    net = supervised()
    run(net, {"loss": 3.0})
    parameters, _ = by_autograd(net, lambda *pair: 3 * mean_squares(*pair))
    torch.testing.assert_close(net.gradients, parameters)


def test_the_given_start_is_not_written_into():
    net = make({"a": Tanh(), "b": ReLU(), "sum": Sum()}, {"x": ["a", "b"], "a": ["sum"], "b": ["sum"]})
    net.forward(X)
    start = torch.ones_like(X)
    net.backward({"sum": start, "a": start, "b": start})
    assert start.equal(torch.ones_like(X))


def test_starts_add_to_what_flows_back_to_them():
    net = make({"a": Tanh(), "b": Sum()}, {"x": ["a"], "a": ["b"]})
    net.forward(X)
    net.backward({"a": X, "b": Y})
    torch.testing.assert_close(net.value_gradients["a"], X + Y)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 1), (0.0, 0), (-1.0, -1), (0.5, 0.5), (-3, -3)])
def test_an_edges_factor_scales_what_flows_back(factor, expected):
    plain, scaled = supervised(), supervised(edge=Feed("loss", gradient=factor))
    run(plain)
    run(scaled)
    assert scaled.values["loss"].equal(plain.values["loss"])
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(scaled.gradients[name], expected * gradient)


def test_nothing_is_computed_behind_a_stopped_edge():
    before, after = Probe(), Probe()
    operators = {"before": before, "fc": Linear(2, 2), "after": after, "loss": MSELoss()}
    connectivity = {
        "x": ["before"],
        "before": ["fc"],
        "fc": [Feed("after", gradient=0)],
        "after": ["loss"],
        "t": ["loss"],
    }
    net = make(operators, connectivity)
    net.forward({"x": X, "t": Y})
    assert set(net.backward()) == {"t"}
    assert not net.gradients["fc.weight"].any()
    assert before.calls["backward"] == after.calls["backward"] == 0


def test_a_stopped_edge_beside_an_open_one_sends_nothing():
    stopped = Probe()
    net = make({"a": stopped, "sum": Sum()}, {"x": ["a", "sum"], "a": [Feed("sum", gradient=0)]})
    net.forward(X)
    assert net.backward({"sum": Y})["x"].equal(Y)
    assert "a" not in net.value_gradients
    assert stopped.calls["backward"] == 0


def test_parallel_edges_add_their_gradients():
    net = make({"sum": Sum()}, {"x": ["sum", Feed("sum", gradient=0.5)]})
    net.forward(X)
    torch.testing.assert_close(net.backward({"sum": Y})["x"], 1.5 * Y)


def test_a_value_used_twice_by_a_product():
    net = make({"square": Product()}, {"x": ["square", "square"]})
    net.forward(X)
    torch.testing.assert_close(net.backward({"square": Y})["x"], 2 * X * Y)


def test_the_gradients_of_shared_parameters_add_up():
    net = make({"a": Linear(2, 2, bias=False), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    net.forward(X)
    net.backward({"b": Y})
    w = net.parameters["a.weight"].clone().requires_grad_()
    (X @ w.T @ w.T).backward(Y)
    assert set(net.gradients) == {"a.weight"}
    torch.testing.assert_close(net.gradients["a.weight"], w.grad)


def test_the_gradients_of_a_tuples_items_meet():
    net = make({"split": Halves(), "l": Item(0), "r": Item(1)}, {"x": ["split"], "split": ["l", "r"]})
    net.forward(X)
    assert net.backward({"l": Y[:, :1], "r": 2 * Y[:, :1]})["x"].equal(torch.cat([Y[:, :1], 2 * Y[:, :1]], 1))


def test_an_item_that_nothing_flows_to_has_no_gradient():
    net = make({"split": Halves(), "l": Item(0), "r": Item(1)}, {"x": ["split"], "split": ["l", "r"]})
    net.forward(X)
    assert net.backward({"r": Y[:, :1]})["x"].equal(torch.cat([torch.zeros(5, 1), Y[:, :1]], 1))
    assert net.value_gradients["split"][0] is None


def test_integer_inputs_have_no_gradient():
    net = make({"sum": Sum()}, {"x": ["sum"], "n": ["sum"]})
    net.forward({"x": X, "n": torch.ones(5, 2, dtype=torch.int64)})
    assert set(net.backward({"sum": Y})) == {"x"}
