"""What net.cost says, by hand and against torch's profiler."""

import gc
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

import graphdl
from graphdl import (
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    MaxPool2d,
    MSELoss,
    Network,
    Operator,
    ReLU,
    Shared,
    Sigmoid,
    Sum,
    Tanh,
)
from graphdl.errors import MissingInputError, OperatorError, SettingError, ShapeError, UnknownNodeError
from graphdl.optim import SGD, Adam
from graphdl.training.recording import SIGHTS
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep


def chain(operators, **more):
    keys = ["x", *operators]
    connectivity = {a: [b] for a, b in pairwise(keys)} | {"target": ["loss"]}
    return Network(operators, connectivity | more, seed=0)


def small():
    return chain({"fc": Linear(2, 25), "tanh": Tanh(), "out": Linear(25, 2), "loss": MSELoss()})


SHAPES = {"x": (50, 2), "target": (50, 2)}


def test_numbers_by_hand():
    cost = small().cost(SHAPES, Adam())
    assert list(cost.nodes) == ["fc", "tanh", "out", "loss"]
    fc, tanh, out, loss = cost.nodes.values()
    assert fc.forward_flops == 2 * 50 * 2 * 25
    assert fc.backward_flops == 2 * 50 * 2 * 25 + 2 * 50 * 25  # dweight, dbias; dx is wanted by nobody
    assert out.backward_flops == 2 * 2 * 50 * 2 * 25 + 2 * 50 * 2
    assert tanh.forward_flops == tanh.backward_flops == 50 * 25
    assert (fc.parameters, fc.gradients, fc.states) == (300, 300, 600)
    assert (out.parameters, out.gradients, out.states) == (208, 208, 416)
    assert (cost.parameters, cost.gradients, cost.states) == (508, 508, 1016)
    assert [node.value for node in cost.nodes.values()] == [5000, 5000, 400, 4]
    assert (fc.saved, tanh.saved, out.saved, loss.saved) == (0, 5000, 0, 400)  # x is an input; out reads tanh's value
    assert cost.inputs == 800
    assert cost.flops == cost.forward_flops + cost.backward_flops
    assert cost.peak == cost.held + cost.activations == cost.peak_without
    assert cost.replayed


def test_the_optimizer_says_what_it_keeps():
    states = [small().cost(SHAPES, rule).states for rule in (None, SGD(), SGD(momentum=0.9), Adam())]
    assert states == [0, 0, 508, 1016]
    assert small().cost(SHAPES).gradients == 508


def test_frozen_nodes_have_no_gradients_and_save_nothing():
    cost = small().freeze("fc").cost(SHAPES, Adam())
    assert (cost.nodes["fc"].gradients, cost.nodes["fc"].backward_flops, cost.nodes["tanh"].saved) == (0, 0, 0)
    assert cost.nodes["out"].saved == 5000


def test_shared_parameters_are_counted_where_they_are_owned():
    net = chain({"a": Linear(2, 2), "b": Shared("a"), "loss": MSELoss()})
    cost = net.cost(SHAPES, Adam())
    assert (cost.nodes["a"].parameters, cost.nodes["b"].parameters) == (24, 0)
    assert cost.nodes["b"].forward_flops == cost.nodes["a"].forward_flops == 400


def test_nodes_that_lead_to_no_loss_cost_their_parameters():
    operators = {"fc": Linear(2, 2), "side": Linear(2, 5), "loss": MSELoss()}
    net = Network(operators, {"x": ["fc", "side"], "fc": ["loss"], "target": ["loss"]})
    side = net.cost(SHAPES, Adam()).nodes["side"]
    assert (side.parameters, side.gradients, side.forward_flops, side.saved) == (60, 0, 0, 0)


def test_nothing_is_allocated_or_changed():
    net = chain({"fc": Linear(out_features=10**9), "out": Linear(out_features=2), "loss": MSELoss()})
    cost = net.cost(SHAPES, Adam())
    assert cost.parameters > 20 * 10**9
    assert cost.peak > 3 * cost.parameters
    assert not net.engine.built
    assert net.operators["fc"].in_features is None


def test_the_network_still_trains_and_draws_as_before():
    def trained(ask):
        net = chain({"fc": Linear(2, 8), "drop": Dropout(), "out": Linear(8, 2), "loss": MSELoss()})
        if ask:
            net.cost(SHAPES, Adam(), recompute=["drop"])
        graphdl.fit(
            net, torch.ones(50, 2), torch.zeros(50, 2), optimizer=Adam(), epochs=2, batch_size=25, progress=False
        )
        return net.state_dict()

    for name, value in trained(False).items():
        assert torch.equal(value, trained(True)[name])


def test_shapes_of_indices_are_recognised():
    net = chain({"words": Embedding(10, 4), "flat": Flatten(), "fc": Linear(12, 3), "loss": CrossEntropyLoss()})
    by_shape = net.cost({"x": (5, 3), "target": (5,)}, Adam())
    tensors = {"x": torch.zeros(5, 3, dtype=torch.long), "target": torch.zeros(5, dtype=torch.long, device="meta")}
    assert by_shape == net.cost(tensors, Adam())
    assert by_shape.inputs == 8 * (15 + 5)


def test_the_cost_is_the_same_every_time():
    assert small().cost(SHAPES, Adam()) == small().cost(SHAPES, Adam())


def deep(depth=16, width=64):
    """A chain, and all of it but every fourth activation."""
    layers = {f"{kind}{k}": op for k in range(depth) for kind, op in (("fc", Linear(width, width)), ("t", Tanh()))}
    return chain({**layers, "loss": MSELoss()}), [key for k, key in enumerate(layers) if k % 8 != 7]


def test_recomputing_costs_operations_and_gains_memory():
    net, nodes = deep()
    shapes = {"x": (8192, 64), "target": (8192, 64)}
    plain, again = net.cost(shapes, Adam()), net.cost(shapes, Adam(), recompute=nodes)
    assert again.peak_without == plain.peak
    assert again.gained == plain.peak - again.peak > 8 * 8192 * 64 * 4
    assert again.recomputed_flops == again.flops - plain.flops > 0
    assert again.nodes["t1"].recomputed
    assert again.nodes["t1"].saved == 0
    assert "t1 ↻" in str(again)
    assert "recomputing 28 nodes: " in str(again)
    assert "less than" in str(again)


def test_the_table():
    text = str(small().cost(SHAPES, Adam()))
    header, _, fc, *_ = text.splitlines()
    assert header.split() == ["node", "forward", "backward", "parameters", "gradients", "states", "value", "saved"]
    assert fc.split() == ["fc", "5", "kFLOP", "7.5", "kFLOP", "300", "B", "300", "B", "600", "B", "4.88", "KiB"]
    assert "peak of a training step: " in text
    assert "in buffers that are replayed" in text
    assert "total" in text


@dataclass(frozen=True)
class Wrong(Operator):
    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        raise ValueError("no")


@pytest.mark.parametrize(
    ("inputs", "arguments", "error", "text"),
    [
        ({"x": (50, 2)}, {}, MissingInputError, "The input 'target' is missing"),
        ({"x": (50, 2), "targt": (50, 2)}, {}, UnknownNodeError, "no input 'targt'. Did you mean 'target'"),
        ({"x": (50, 3), "target": (50, 2)}, {}, ShapeError, r"fc \(Linear\) cannot take its inputs"),
        ({"x": (50, 2), "target": (50, 3)}, {}, ShapeError, r"loss \(MSELoss\)"),
        ({"x": 50, "target": (50, 3)}, {}, ShapeError, "The shape of input 'x' is a tuple"),
        (SHAPES, {"optimizer": Adam}, SettingError, "optimizer is an Optimizer such as Adam"),
        (SHAPES, {"optimizer": "adam"}, SettingError, "not 'adam'"),
        (SHAPES, {"recompute": ["tan"]}, UnknownNodeError, "no node 'tan'. Did you mean 'tanh'"),
        (SHAPES, {"recompute": ["loss"]}, SettingError, "loss is a loss"),
    ],
)
def test_errors(inputs, arguments, error, text):
    with pytest.raises(error, match=text):
        small().cost(inputs, **arguments)


def test_without_a_loss_there_is_no_training_step():
    with pytest.raises(MissingInputError, match="no loss node"):
        Network({"fc": Linear(2, 2)}, {"x": ["fc"]}).cost({"x": (5, 2)})


def test_a_failing_backward_is_named():
    net = chain({"fc": Linear(2, 2), "wrong": Wrong(), "loss": MSELoss()})
    with pytest.raises(OperatorError, match=r"wrong \(Wrong\) failed in backward"):
        net.cost(SHAPES)


MARK = "the step that counts"


def measured(net, batch, optimizer, recompute=()):
    """The greatest number of living bytes in a replayed step, by torch's profiler, the batch included."""
    gc.collect()  # what is freed within the profile would count as less
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        net = Network.from_dict(net.to_dict(), seed=0)
        step = TrainingStep(net, optimizer.bind(net), Scorer(net, ()), 1, recompute)
        with torch.inference_mode():
            for _ in range(SIGHTS + 3):
                step(batch)
            with record_function(MARK):
                step(batch)
    events = profiler.profiler.kineto_results.events()
    start = next(event.start_ns() for event in events if event.name() == MARK)
    living = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        most = max(most, living) if event.start_ns() >= start else most
        living += event.nbytes()
    return most + sum(tensor.nbytes for tensor in batch.values())


def images(rows, *channels, size=16):
    operators = {}
    for k, (i, o) in enumerate(pairwise(channels)):
        operators |= {f"conv{k}": Conv2d(i, o, 3, padding=1), f"norm{k}": BatchNorm2d(o), f"relu{k}": ReLU()}
        operators |= {f"pool{k}": MaxPool2d(2)}
    side = size // 2 ** (len(channels) - 1)
    operators |= {"flat": Flatten(), "fc": Linear(channels[-1] * side**2, 10), "loss": CrossEntropyLoss()}
    batch = {"x": torch.randn(rows, channels[0], size, size), "target": torch.randint(10, (rows,))}
    return chain(operators), batch


def perceptron(rows, *widths, activation=Tanh):
    layers = {}
    for k, (i, o) in enumerate(pairwise(widths)):
        layers |= {f"fc{k}": Linear(i, o), f"a{k}": activation()}
    return chain({**layers, "loss": MSELoss()}), {
        "x": torch.randn(rows, widths[0]),
        "target": torch.rand(rows, widths[-1]),
    }


def residual(rows, width, depth):
    operators, connectivity, last = {}, {"target": ["loss"]}, "x"
    for k in range(depth):
        operators |= {f"fc{k}": Linear(width, width), f"relu{k}": ReLU(), f"sum{k}": Sum()}
        connectivity |= {last: [f"fc{k}", f"sum{k}"], f"fc{k}": [f"relu{k}"], f"relu{k}": [f"sum{k}"]}
        last = f"sum{k}"
    operators["loss"], connectivity[last] = MSELoss(), ["loss"]
    batch = {"x": torch.randn(rows, width), "target": torch.randn(rows, width)}
    return Network(operators, connectivity, seed=0), batch


def dense(rows, width, depth):
    operators, connectivity, before = {}, {"target": ["loss"], "x": []}, ["x"]
    for k in range(depth):
        operators |= {f"cat{k}": Concat(), f"fc{k}": Linear(width * (k + 1), width)}
        for source in before:
            connectivity.setdefault(source, []).append(f"cat{k}")
        connectivity[f"cat{k}"] = [f"fc{k}"]
        before.append(f"fc{k}")
    operators["loss"] = MSELoss()
    connectivity[before[-1]] = ["loss"]
    return Network(operators, connectivity, seed=0), {"x": torch.randn(rows, width), "target": torch.randn(rows, width)}


def words(rows):
    net = chain(
        {"words": Embedding(2000, 32), "flat": Flatten(), "fc": Linear(320, 64), "norm": LayerNorm(64),
         "relu": ReLU(), "drop": Dropout(), "out": Linear(64, 5), "loss": CrossEntropyLoss()}
    )  # fmt: skip
    return net, {"x": torch.randint(2000, (rows, 10)), "target": torch.randint(5, (rows,))}


NETS = {
    "perceptron": lambda: perceptron(50, 2, 25, 25, 2),
    "wide": lambda: perceptron(64, 700, 1500, 700, activation=ReLU),
    "deep": lambda: perceptron(32, *[16] * 30, activation=Sigmoid),
    "large batch": lambda: perceptron(20_000, 32, 32, 32, 8),
    "residual": lambda: residual(128, 64, 6),
    "large residual": lambda: residual(4096, 128, 5),
    "dense": lambda: dense(64, 24, 8),
    "words": lambda: words(256),
    "small images": lambda: images(16, 1, 8, 8),
    "large images": lambda: images(32, 3, 32, 32, 32, size=32),
}


@pytest.mark.parametrize("name", NETS)
def test_the_planned_peak_is_the_measured_one(name):
    torch.manual_seed(0)
    net, batch = NETS[name]()
    cost = net.cost({name: tuple(tensor.shape) for name, tensor in batch.items()}, Adam())
    assert cost.peak == pytest.approx(measured(net, batch, Adam()), rel=0.1)


@pytest.mark.parametrize("rows", [16, 4096])
def test_recomputing_lowers_the_measured_peak_as_planned(rows):
    net, nodes = deep()
    batch = {"x": torch.randn(rows, 64), "target": torch.randn(rows, 64)}
    cost = net.cost(batch, Adam(), recompute=nodes)
    assert cost.replayed == (rows == 16)
    again, plain = measured(net, batch, Adam(), nodes), measured(net, batch, Adam())
    assert cost.peak == pytest.approx(again, rel=0.1)
    assert cost.gained == pytest.approx(plain - again, rel=0.1)
    assert again < plain


def test_steps_with_recomputed_nodes_are_the_same():
    def trained(rows, nodes):
        operators = {"fc": Linear(6, 8), "norm": BatchNorm1d(8), "drop": Dropout(), "out": Linear(8, 2)}
        net = chain({**operators, "loss": MSELoss()})
        step = TrainingStep(net, Adam().bind(net), Scorer(net, ()), recompute=nodes)
        batch = {"x": torch.linspace(-1, 1, 6 * rows).view(rows, 6), "target": torch.ones(rows, 2)}
        with torch.inference_mode():
            return [step(batch).loss for _ in range(5)], net.state_dict()

    for rows in (8, 40_000):
        losses, state = trained(rows, [])
        again, found = trained(rows, ["fc", "norm", "drop"])
        assert losses == again
        assert all(torch.equal(found[name], value) for name, value in state.items())
