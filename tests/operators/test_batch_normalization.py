from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    MSELoss,
    Network,
    check_gradients,
    fit,
)
from graphdl.errors import MissingInputError, SettingError, ShapeError
from graphdl.optim import SGD
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

BATCH = {BatchNorm1d: nn.BatchNorm1d, BatchNorm2d: nn.BatchNorm2d, BatchNorm3d: nn.BatchNorm3d}
INSTANCE = {InstanceNorm1d: nn.InstanceNorm1d, InstanceNorm2d: nn.InstanceNorm2d, InstanceNorm3d: nn.InstanceNorm3d}
FLAT, SERIES, IMAGE, VOLUME = (4, 3), (4, 3, 2), (3, 2, 4, 3), (2, 3, 2, 1, 2)
ROWS = {
    BatchNorm1d: (3,), BatchNorm2d: (3, 4, 2), BatchNorm3d: (3, 2, 3, 2),
    InstanceNorm1d: (3, 5), InstanceNorm2d: (3, 4, 2), InstanceNorm3d: (3, 2, 3, 2),
}  # fmt: skip


def batch_norm(operator, training=True):
    def reference(p, x):
        statistics = p.get("running_mean"), p.get("running_var")
        by_batch = training or statistics[0] is None
        momentum = operator.momentum or 0.0
        return functional.batch_norm(x, *statistics, p.get("weight"), p.get("bias"), by_batch, momentum, operator.eps)

    return reference


def batch_case(name, operator, shape, small=(2, 0), training=True):
    return Case(name, operator, [shape], batch_norm(operator, training), small=small, training=training)


def instance_norm(operator, training=True):
    def reference(p, x):
        statistics = p.get("running_mean"), p.get("running_var")
        by_instance = training or statistics[0] is None
        settings = p.get("weight"), p.get("bias"), by_instance, operator.momentum, operator.eps
        if x.dim() == operator.ranks[0]:
            return functional.instance_norm(x[None], *statistics, *settings)[0]
        return functional.instance_norm(x, *statistics, *settings)

    return reference


def instance_case(name, operator, shape, training=True, **settings):
    return Case(f"instance-{name}", operator, [shape], instance_norm(operator, training), training=training, **settings)


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
    batch_case("2d-no-bias", BatchNorm2d(2, bias=False), IMAGE, (1,)),
    batch_case("3d", BatchNorm3d(3), VOLUME, (1, 0)),
    instance_case("1d", InstanceNorm1d(3), (4, 3, 4), small=(1,)),
    instance_case("1d-single", InstanceNorm1d(3, affine=True), (3, 4), batched=False),
    instance_case("2d-inferred", InstanceNorm2d(affine=True, eps=0.1), IMAGE, small=(1,)),
    instance_case("2d-no-bias", InstanceNorm2d(2, affine=True, bias=False), IMAGE, small=(1,)),
    instance_case("2d-tracked", InstanceNorm2d(2, 1e-3, 0.3, True, True), IMAGE, small=(1,)),
    instance_case("2d-evaluated", InstanceNorm2d(2, 1e-3, 0.3, True, True), IMAGE, training=False, small=(1,)),
    instance_case("3d", InstanceNorm3d(3, affine=True), VOLUME, small=(1,)),
    instance_case("3d-single-evaluated", InstanceNorm3d(3, track_running_stats=True), VOLUME[1:], False, batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def agrees_over_steps(operator, module, settings):
    """Values, gradients and buffers after several batches, of different sizes, and then of running statistics."""
    module, row = module(3, **settings).double(), ROWS[operator]
    net = Network({"norm": operator(**settings)}, {"x": ["norm"]}, dtype=torch.float64)
    net.build({"x": row})
    generator = torch.Generator().manual_seed(0)
    tracked = settings["track_running_stats"]
    for training, rows in [(True, 5), (True, 2), (False, 1 if tracked else 3), (True, 7), (False, 4)]:
        module.train(training)
        x = torch.randn(rows, *row, generator=generator, dtype=torch.float64).mul_(2).add_(1).requires_grad_()
        expected = module(x)
        torch.testing.assert_close(net.forward(x.detach(), training=training)["norm"], expected.detach())
        dy = upstream(expected.detach())
        module.zero_grad()
        expected.backward(dy)
        torch.testing.assert_close(net.backward({"norm": dy})["x"], x.grad)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(net.gradients[f"norm.{name}"], parameter.grad)
        for name, tensor in module.state_dict().items():
            torch.testing.assert_close(net.state_dict()[f"norm.{name}"], tensor)


@pytest.mark.parametrize("operator", BATCH)
@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0, 0.0, None])
@pytest.mark.parametrize(("affine", "tracked"), [(True, True), (False, True), (True, False), (False, False)])
def test_it_is_torch_s_module_over_steps_and_in_evaluation(operator, momentum, affine, tracked):
    settings = {"momentum": momentum, "affine": affine, "track_running_stats": tracked}
    agrees_over_steps(operator, BATCH[operator], settings)


@pytest.mark.parametrize("operator", INSTANCE)
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
@pytest.mark.parametrize(("affine", "tracked"), [(True, True), (False, True), (True, False)])
def test_instance_norm_is_torch_s_module_over_steps_and_in_evaluation(operator, momentum, affine, tracked):
    settings = {"momentum": momentum, "affine": affine, "track_running_stats": tracked}
    agrees_over_steps(operator, INSTANCE[operator], settings)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("operator", BATCH | INSTANCE)
def test_tensors_are_named_and_begin_as_in_torch(operator, affine, tracked, bias):
    settings = {"affine": affine, "track_running_stats": tracked, "bias": bias}
    net = Network({"bn": operator(4, **settings)}, {"x": ["bn"]})
    module = (BATCH | INSTANCE)[operator](4, **settings)
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
        (BatchNorm3d(3), (2, 3, 4, 4), r"Expected \(n, 3, d, h, w\)"),
        (InstanceNorm1d(3), (3, 4, 2), r"Expected \(n, 3, t\) or \(3, t\)"),
        (InstanceNorm1d(3), (4, 2), r"Expected \(n, 3, t\) or \(3, t\)"),
        (InstanceNorm2d(3), (4, 3), r"Expected \(n, 3, h, w\) or \(3, h, w\)"),
        (InstanceNorm3d(3), (3, 2, 2, 2, 2), r"Expected \(n, 3, d, h, w\) or \(3, d, h, w\)"),
        (InstanceNorm1d(), (4, 3), "num_features can be inferred from an input with a batch axis only"),
        (InstanceNorm2d(), (4, 3), r"num_features can be inferred from \(n, c, h, w\) or .*, but the input has 2 axes"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_other_shapes_are_told(operator, shape, text, training):
    net = Network({"norm": operator}, {"x": ["norm"]})
    with pytest.raises(ShapeError, match=rf"norm \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward(torch.zeros(shape), training=training)


@pytest.mark.parametrize("training", [True, False])
def test_a_single_position_is_refused(training):
    net = Network({"norm": InstanceNorm1d(3)}, {"x": ["norm"]})
    with pytest.raises(ShapeError, match=r"norm \(InstanceNorm1d\) .*a single position per channel has no variance"):
        net.forward(torch.ones(4, 3, 1), training=training)
    tracked = Network({"norm": InstanceNorm1d(3, track_running_stats=True)}, {"x": ["norm"]})
    assert tracked.predict(torch.ones(4, 3, 1)).shape == (4, 3, 1)
    assert InstanceNorm1d(3).forward({}, torch.ones(4, 3, 1, device="meta"), training=True)[0].shape == (4, 3, 1)


def test_statistics_of_nothing_move_nothing():
    net = Network({"norm": InstanceNorm2d(2, track_running_stats=True)}, {"x": ["norm"]})
    assert net.forward(torch.ones(0, 2, 3, 3))["norm"].shape == (0, 2, 3, 3)
    assert net.buffers["norm.running_mean"].tolist() == [0, 0]
    assert net.buffers["norm.running_var"].tolist() == [1, 1]


def test_a_constant_channel_has_the_variance_0():
    net = Network({"norm": InstanceNorm1d(1, momentum=1.0, track_running_stats=True)}, {"x": ["norm"]})
    assert not net.forward(torch.full((2, 1, 5), 3.0))["norm"].any()
    assert net.buffers["norm.running_var"].tolist() == pytest.approx([0], abs=1e-9)
    assert net.buffers["norm.running_var"].min() >= 0


def test_sizes_follow_from_the_input():
    operators = {"bn": BatchNorm2d(), "in": InstanceNorm2d()}
    net = Network(operators, {"x": ["bn"], "bn": ["in"]})
    with pytest.raises(MissingInputError, match=r"bn \(BatchNorm2d\) needs num_features"):
        _ = net.parameters
    net.build({"x": (5, 4, 3)})
    assert net.engine.operators == {"bn": BatchNorm2d(5), "in": InstanceNorm2d(5)}
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
        (lambda: BatchNorm3d(3, eps=0), "BatchNorm3d: eps must be positive, not 0"),
        (lambda: BatchNorm3d(3, bias=None), "BatchNorm3d: bias must be True or False, not None"),
        (
            lambda: InstanceNorm1d(3, momentum=None),
            "InstanceNorm1d: momentum must be a finite number of at least 0, not None",
        ),
        (lambda: InstanceNorm2d(3, affine=1), "InstanceNorm2d: affine must be True or False, not 1"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_arguments_are_torch_s():
    for operator, module in (BATCH | INSTANCE).items():
        ours, theirs = inspect.signature(operator).parameters, inspect.signature(module).parameters
        assert [*ours] == [name for name in theirs if name not in ("device", "dtype")]
        assert all(ours[name].default == theirs[name].default for name in [*ours][1:])
        assert all(ours[name].kind == theirs[name].kind for name in ours)


def test_gradients_in_a_network_are_checked_without_moving_its_statistics():
    net = Network({"bn": BatchNorm1d(), "last": BatchNorm1d()}, {"x": ["bn"], "bn": ["last"]}, dtype=torch.float64)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert check_gradients(net, {"x": x}) < 1e-7
    assert net.buffers["bn.num_batches_tracked"].item() == 0
    assert net.buffers["bn.running_mean"].tolist() == [0, 0, 0]


def test_texts():
    assert BatchNorm2d().describe() == "? channels"
    assert BatchNorm2d(8, 1e-3, None, False, False).describe() == (
        "8 channels, eps 0.001, momentum None, no affine, no track_running_stats"
    )
    assert InstanceNorm2d(8, affine=True, bias=False).describe() == "8 channels, affine, no bias"
    assert InstanceNorm1d(3).expects() == "(n, 3, t) or (3, t)"
    assert {each.family for each in BATCH | INSTANCE} == {"normalization"}
