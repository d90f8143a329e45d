from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import BatchNorm1d, BatchNorm2d, LayerNorm, MSELoss, Network, check_gradients, fit
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

BATCH = {BatchNorm1d: nn.BatchNorm1d, BatchNorm2d: nn.BatchNorm2d}
FLAT, SERIES, IMAGE = (4, 3), (4, 3, 2), (3, 2, 4, 3)


def batch_norm(operator, training=True):
    def reference(p, x):
        statistics = p.get("running_mean"), p.get("running_var")
        by_batch = training or statistics[0] is None
        momentum = operator.momentum or 0.0
        return functional.batch_norm(x, *statistics, p.get("weight"), p.get("bias"), by_batch, momentum, operator.eps)

    return reference


def batch_case(name, operator, shape, small=(2, 0), training=True):
    return Case(name, operator, [shape], batch_norm(operator, training), small=small, training=training)


def layer_norm(operator):
    return lambda p, x: functional.layer_norm(x, operator.axes, p.get("weight"), p.get("bias"), operator.eps)


LAYER = [
    ("last", LayerNorm(3), FLAT),
    ("two-axes", LayerNorm((4, 3)), IMAGE),
    ("eps", LayerNorm((3,), eps=0.1), (4, 2, 3)),
    ("plain", LayerNorm(3, elementwise_affine=False), FLAT),
    ("no-bias", LayerNorm(3, bias=False), (2, 2, 3)),
]
CASES = [
    batch_case("1d", BatchNorm1d(3), FLAT),
    batch_case("1d-inferred", BatchNorm1d(), SERIES, (1, 0)),
    batch_case("1d-eps", BatchNorm1d(3, eps=0.3, momentum=0.6), FLAT),
    batch_case("1d-average", BatchNorm1d(3, momentum=None), FLAT),
    batch_case("1d-not-affine", BatchNorm1d(3, affine=False), FLAT),
    batch_case("1d-batch-alone", BatchNorm1d(3, track_running_stats=False), FLAT),
    batch_case("1d-neither", BatchNorm1d(3, affine=False, track_running_stats=False), SERIES, (1, 0)),
    batch_case("1d-evaluated", BatchNorm1d(3), FLAT, (1, 0), training=False),
    batch_case("1d-evaluated-plain", BatchNorm1d(3, affine=False, momentum=None), FLAT, (1, 0), training=False),
    batch_case("1d-evaluated-alone", BatchNorm1d(3, track_running_stats=False), FLAT, (2, 0), training=False),
    batch_case("2d", BatchNorm2d(2), IMAGE, (1, 0)),
    batch_case("2d-inferred", BatchNorm2d(), IMAGE, (1, 0)),
    batch_case("2d-evaluated", BatchNorm2d(2), IMAGE, (1, 0), training=False),
    *(Case(f"layer-{name}", op, [shape], layer_norm(op)) for name, op, shape in LAYER),
    Case("layer-inferred", LayerNorm(), [FLAT], layer_norm(LayerNorm(3))),
    Case("layer-row", LayerNorm(4), [(4,)], layer_norm(LayerNorm(4)), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("operator", BATCH)
@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0, 0.0, None])
@pytest.mark.parametrize(("affine", "tracked"), [(True, True), (False, True), (True, False), (False, False)])
def test_it_is_torch_s_module_over_steps_and_in_evaluation(operator, momentum, affine, tracked):
    """Values, gradients and buffers after several batches, of different sizes, and then of running statistics."""
    settings = {"momentum": momentum, "affine": affine, "track_running_stats": tracked}
    module = BATCH[operator](3, **settings).double()
    net = Network({"bn": operator(**settings)}, {"x": ["bn"]}, dtype=torch.float64)
    net.build({"x": (3,) if operator is BatchNorm1d else (3, 4, 2)})
    generator = torch.Generator().manual_seed(0)
    for training, rows in [(True, 5), (True, 2), (False, 1 if tracked else 3), (True, 7), (False, 4)]:
        module.train(training)
        shape = (rows, 3) if operator is BatchNorm1d else (rows, 3, 4, 2)
        x = torch.randn(shape, generator=generator, dtype=torch.float64).mul_(2).add_(1).requires_grad_()
        expected = module(x)
        torch.testing.assert_close(net.forward(x.detach(), training=training)["bn"], expected.detach())
        dy = upstream(expected.detach())
        module.zero_grad()
        expected.backward(dy)
        torch.testing.assert_close(net.backward({"bn": dy})["x"], x.grad)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(net.gradients[f"bn.{name}"], parameter.grad)
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(net.state_dict()[f"bn.{name}"], tensor)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("operator", BATCH)
def test_tensors_are_named_and_begin_as_in_torch(operator, affine, tracked):
    net = Network({"bn": operator(4, affine=affine, track_running_stats=tracked)}, {"x": ["bn"]})
    module = BATCH[operator](4, affine=affine, track_running_stats=tracked)
    expected = {f"bn.{name}": tensor for name, tensor in module.state_dict().items()}
    assert net.state_dict().keys() == expected.keys()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
    net.load_state_dict(expected)
    assert {*net.buffers} == {f"bn.{name}" for name, _ in module.named_buffers()}


def test_the_count_stays_a_whole_number_when_the_network_moves():
    net = Network({"bn": BatchNorm1d(2)}, {"x": ["bn"]}).to(dtype=torch.float64)
    net.forward(torch.randn(4, 2))
    assert net.buffers["bn.num_batches_tracked"].dtype is torch.int64
    assert net.buffers["bn.num_batches_tracked"].item() == 1
    assert net.buffers["bn.running_mean"].dtype is torch.float64


def test_evaluation_leaves_the_buffers_alone():
    net = Network({"bn": BatchNorm1d(2)}, {"x": ["bn"]}, seed=0)
    net.forward(torch.randn(4, 2))
    before = net.state_dict()
    net.predict(torch.randn(4, 2))
    net.forward(torch.randn(4, 2), training=False)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_channels_last_goes_through():
    last = torch.channels_last
    x, dy = (torch.randn(4, 3, 5, 5).contiguous(memory_format=last) for _ in range(2))
    operator = BatchNorm2d(3, affine=False, track_running_stats=False)
    y, saved = operator.forward({}, x, training=True)
    assert y.is_contiguous(memory_format=last)
    assert operator.backward({}, saved, dy)[0][0].is_contiguous(memory_format=last)


def test_shapes_alone_leave_the_buffers_alone():
    net = Network({"bn": BatchNorm2d(2)}, {"x": ["bn"]}, seed=0)
    assert net.shapes({"x": (1, 2, 1, 1)})["bn"] == (1, 2, 1, 1)
    assert net.buffers["bn.num_batches_tracked"].item() == 0


def test_it_trains_and_its_statistics_arrive():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator) * 3 + 5
    net = Network({"bn": BatchNorm1d(), "loss": MSELoss()}, {"x": ["bn"], "bn": ["loss"], "y": ["loss"]}, seed=0)
    fit(net, {"x": x, "y": 2 * (x - 5) / 3}, optimizer=SGD(lr=0.1), epochs=60, batch_size=40, progress=False)
    torch.testing.assert_close(net.buffers["bn.running_mean"], x.mean(0), rtol=0.05, atol=0)
    torch.testing.assert_close(net.buffers["bn.running_var"], x.var(0), rtol=0.1, atol=0)
    assert net.parameters["bn.weight"].tolist() == pytest.approx([2, 2], abs=0.25)


SINGLE = "a single value per channel has no variance: train on larger batches"


@pytest.mark.parametrize(
    ("operator", "shape"), [(BatchNorm1d, (1, 3)), (BatchNorm1d, (1, 3, 1)), (BatchNorm2d, (1, 3, 1, 1))]
)
def test_one_value_a_channel_is_refused_in_training_alone(operator, shape):
    net = Network({"bn": operator(3)}, {"x": ["bn"]})
    with pytest.raises(ShapeError, match=rf"bn \({operator.__name__}\) .*{SINGLE}.*\(1, 3"):
        net.forward(torch.ones(shape))
    assert net.buffers["bn.num_batches_tracked"].item() == 0
    assert net.predict(torch.ones(shape)).shape == shape
    lazy = Network({"bn": operator()}, {"x": ["bn"]})
    assert lazy.predict(torch.ones(shape)).shape == shape
    untracked = Network({"bn": operator(3, track_running_stats=False)}, {"x": ["bn"]})
    with pytest.raises(ShapeError, match=SINGLE):
        untracked.predict(torch.ones(shape))


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (BatchNorm1d(3), (4, 2), r"Expected \(n, 3\) or \(n, 3, t\)"),
        (BatchNorm1d(3), (3,), r"Expected \(n, 3\) or \(n, 3, t\)"),
        (BatchNorm1d(3), (2, 3, 4, 4), r"Expected \(n, 3\) or \(n, 3, t\)"),
        (BatchNorm2d(3), (2, 3, 4), r"Expected \(n, 3, h, w\)"),
        (BatchNorm2d(3), (2, 4, 3, 3), r"Expected \(n, 3, h, w\)"),
        (BatchNorm1d(), (3,), "num_features can be inferred from .*, but the input has 1 axes"),
        (BatchNorm2d(), (3, 2), r"num_features can be inferred from \(n, c, h, w\), but the input has 2 axes"),
        (LayerNorm((4, 3)), (5, 4), r"Expected \(n, \.\.\., 4, 3\)"),
        (LayerNorm(3), (3, 4), r"Expected \(n, \.\.\., 3\)"),
        (LayerNorm(), (), "the input is a single number"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_other_shapes_are_told(operator, shape, text, training):
    net = Network({"norm": operator}, {"x": ["norm"]})
    with pytest.raises(ShapeError, match=rf"norm \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward(torch.zeros(shape), training=training)


def test_sizes_follow_from_the_input():
    operators = {"bn": BatchNorm2d(), "ln": LayerNorm()}
    net = Network(operators, {"x": ["bn"], "bn": ["ln"]})
    with pytest.raises(MissingInputError, match=r"bn \(BatchNorm2d\) needs num_features"):
        _ = net.parameters
    net.build({"x": (5, 4, 3)})
    assert net.engine.operators == {"bn": BatchNorm2d(5), "ln": LayerNorm(3)}
    assert net.buffers["bn.running_var"].tolist() == [1] * 5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BatchNorm1d(0), "BatchNorm1d: num_features must be a whole number of at least 1, not 0"),
        (lambda: BatchNorm2d(3, eps=-1), "BatchNorm2d: eps must be a finite number of at least 0, not -1"),
        (
            lambda: BatchNorm1d(3, momentum="0.1"),
            "BatchNorm1d: momentum must be a finite number of at least 0, not '0.1'",
        ),
        (
            lambda: LayerNorm(0),
            "LayerNorm: normalized_shape must be a whole number of at least 1, or a tuple of them, not 0",
        ),
        (lambda: LayerNorm(()), r"LayerNorm: normalized_shape .* not \(\)"),
        (lambda: LayerNorm([3]), r"LayerNorm: normalized_shape .* not \[3\]"),
        (lambda: LayerNorm(3, eps=float("nan")), "LayerNorm: eps must be a finite number of at least 0, not nan"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_arguments_are_torch_s():
    pairs = [*BATCH.items(), (LayerNorm, nn.LayerNorm)]
    for operator, module in pairs:
        ours, theirs = inspect.signature(operator).parameters, inspect.signature(module).parameters
        assert [*ours] == [*theirs][: len(ours)]
        assert [ours[name].default for name in [*ours][1:]] == [theirs[name].default for name in [*ours][1:]]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_s_tensors_are_named_and_begin_as_in_torch(affine, bias):
    net = Network({"ln": LayerNorm((2, 3), 1e-5, affine, bias)}, {"x": ["ln"]})
    expected = nn.LayerNorm((2, 3), 1e-5, affine, bias).state_dict()
    assert net.state_dict().keys() == {f"ln.{name}" for name in expected}
    net.load_state_dict({f"ln.{name}": tensor for name, tensor in expected.items()})
    for name, tensor in expected.items():
        assert torch.equal(net.parameters[f"ln.{name}"], tensor)


def test_gradients_in_a_network_are_checked_without_moving_its_statistics():
    net = Network({"bn": BatchNorm1d(), "ln": LayerNorm()}, {"x": ["bn"], "bn": ["ln"]}, dtype=torch.float64)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert check_gradients(net, {"x": x}) < 1e-7
    assert net.buffers["bn.num_batches_tracked"].item() == 0
    assert net.buffers["bn.running_mean"].tolist() == [0, 0, 0]


def test_texts():
    assert BatchNorm2d().describe() == "? channels"
    assert BatchNorm2d(8, 1e-3, None, False, False).describe() == (
        "8 channels, eps 0.001, momentum None, not affine, by the batch alone"
    )
    assert LayerNorm((4, 8), 0.1, bias=False).describe() == "4×8, eps 0.1, no bias"
    assert LayerNorm().describe() == "?"
    assert LayerNorm(3, elementwise_affine=False).describe() == "3, not affine"
    assert BatchNorm1d.family == BatchNorm2d.family == LayerNorm.family == "normalization"
