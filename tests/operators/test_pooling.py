from __future__ import annotations

import inspect
import itertools
import math

import pytest
import torch
from torch import nn

from graphdl import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    Item,
    LPPool1d,
    LPPool2d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Network,
)
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, normal, upstream
from tests.operators.checks import every_check

T, HW, DHW = (2, 2, 7), (2, 2, 6, 5), (2, 2, 4, 3, 5)
ALL = (AvgPool1d, AvgPool2d, AvgPool3d, LPPool1d, LPPool2d, MaxPool1d, MaxPool2d, MaxPool3d)


def module(operator):
    """The module of torch.nn with the same settings."""
    settings = {name: getattr(operator, name) for name in inspect.signature(type(operator)).parameters}
    return getattr(nn, type(operator).__name__)(**settings)


def case(name, operator, given=HW, **settings):
    reference = module(operator)
    # torch's max_pool3d refuses a volume without a batch in the memory format of images
    return Case(name, operator, [given], lambda p, x: reference(x.contiguous()), **settings)


def positive(shape):
    return lambda generator: normal(shape, generator).abs()


CASES = [
    case("max-1d", MaxPool1d(2), T),
    case("max-1d-all", MaxPool1d(3, (2,), 1, 2, False, True), T),
    case("max-1d-single", MaxPool1d(3, 1), (3, 4), batched=False),
    case("max-plain", MaxPool2d(2)),
    case("max-overlapping", MaxPool2d(3, (2, 1))),
    case("max-padded", MaxPool2d((3, 2), padding=1)),
    case("max-ceil", MaxPool2d(2, ceil_mode=True)),
    case("max-dilated", MaxPool2d((2, 3), 1, (1, 0), (3, 2))),
    case("max-single", MaxPool2d(2), (3, 4, 4), batched=False),
    case("max-3d", MaxPool3d(2), DHW),
    case("max-3d-all", MaxPool3d((2, 3, 2), (1, 2, 3), (1, 1, 0), (2, 1, 3), ceil_mode=True), DHW),
    case("max-3d-single", MaxPool3d((1, 2, 2)), (2, 2, 2, 3), batched=False),
    case("max-1d-indices", MaxPool1d(2, 1, return_indices=True), T),
    case("max-indices", MaxPool2d(2, 2, 1, return_indices=True)),
    case("avg-1d", AvgPool1d(2, 1), T),
    case("avg-1d-all", AvgPool1d(3, (2,), 1, True, False), T),
    case("avg-1d-single", AvgPool1d(3), (3, 4), batched=False),
    case("avg-plain", AvgPool2d(2)),
    case("avg-all", AvgPool2d((3, 2), (2, 1), 1, True, False)),
    case("avg-counted", AvgPool2d(3, (2, 3), (1, 0), True)),
    case("avg-divisor", AvgPool2d(3, 1, 1, divisor_override=5)),
    case("avg-single", AvgPool2d(2), (3, 4, 4), batched=False),
    case("avg-3d", AvgPool3d((1, 2, 3), 2), DHW),
    case("avg-3d-all", AvgPool3d((2, 3, 2), (1, 2, 3), (1, 1, 0), True, False, 7), DHW),
    case("avg-3d-single", AvgPool3d(2), (2, 2, 2, 3), batched=False),
    case("lp-1d", LPPool1d(2, 3, 2), T),
    case("lp-1d-ceil", LPPool1d(1.5, 2, ceil_mode=True), positive(T)),
    case("lp-1d-single", LPPool1d(2, 2), (3, 4), batched=False),
    case("lp-plain", LPPool2d(2, 2)),
    case("lp-sum", LPPool2d(1, (2, 3), 1)),
    case("lp-all", LPPool2d(3.5, (3, 2), (2, 3), True), positive(HW)),
    case("lp-single", LPPool2d(4, 2), (3, 4, 4), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


GRID = list(itertools.product((2, 3), (None, 1, 2), (0, 1), (False, True)))
KINDS = [
    *((cls, {"dilation": dilation}) for cls in (MaxPool1d, MaxPool2d, MaxPool3d) for dilation in (1, 2)),
    *((cls, {"count_include_pad": flag}) for cls in (AvgPool1d, AvgPool2d, AvgPool3d) for flag in (False, True)),
    *((cls, {"divisor_override": 3}) for cls in (AvgPool2d, AvgPool3d)),
]


@pytest.mark.parametrize(("cls", "further"), KINDS)
def test_it_is_torch_s_module_for_all_settings(cls, further):
    for kernel, stride, padding, ceil in GRID:
        operator = cls(kernel, stride, padding, ceil_mode=ceil, **further)
        x = torch.randn((2, 3, 8, 7, 6)[: len(cls.space) + 2], dtype=torch.float64, requires_grad=True)
        expected = module(operator)(x)
        y, saved = operator.forward({}, x.detach(), training=True)
        assert torch.equal(y, expected.detach())
        dy = upstream(y)
        expected.backward(dy)
        torch.testing.assert_close(operator.backward({}, saved, dy)[0][0], x.grad)


@pytest.mark.parametrize("operator", [MaxPool2d(2), MaxPool2d(3, 1), AvgPool2d(2), AvgPool3d(2), MaxPool1d(2)])
def test_the_input_is_not_kept(operator):
    x = torch.randn((2, 3, 8, 8, 8)[: len(operator.space) + 2])
    _, saved = operator.forward({}, x, training=True)
    held = [part for part in (saved if type(saved) is tuple else (saved,)) if isinstance(part, torch.Tensor)]
    assert all(part.untyped_storage().data_ptr() != x.untyped_storage().data_ptr() for part in held)


@pytest.mark.parametrize("operator", [MaxPool2d(2), AvgPool2d(2), MaxPool3d(2), LPPool2d(2, 2)])
def test_channels_last_goes_through(operator):
    axes = len(operator.space)
    last = torch.channels_last if axes == 2 else torch.channels_last_3d
    x = torch.randn((2, 3, 8, 8, 8)[: axes + 2]).contiguous(memory_format=last)
    y, saved = operator.forward({}, x, training=True)
    assert y.is_contiguous(memory_format=last)
    dy = torch.randn(y.shape).contiguous(memory_format=last)
    assert operator.backward({}, saved, dy)[0][0].is_contiguous(memory_format=last)


def test_equal_numbers_send_the_gradient_to_the_first_as_in_torch():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    expected = nn.MaxPool2d(2)(x)
    dy = torch.arange(4.0).view(1, 1, 2, 2) + 1
    expected.backward(dy)
    _, saved = MaxPool2d(2).forward({}, x.detach(), training=True)
    assert torch.equal(MaxPool2d(2).backward({}, saved, dy)[0][0], x.grad)


@pytest.mark.parametrize("operator", [LPPool1d(2, 2), LPPool1d(1, 2), LPPool1d(3, 2)])
def test_windows_of_zeros_send_nothing_back_as_in_torch(operator):
    x = torch.tensor([[[0.0, 0, 1, 2, 3, 0]]], dtype=torch.float64, requires_grad=True)
    expected = module(operator)(x)
    expected.sum().backward()
    y, saved = operator.forward({}, x.detach(), training=True)
    torch.testing.assert_close(y, expected.detach())
    torch.testing.assert_close(operator.backward({}, saved, torch.ones_like(y))[0][0], x.grad)


@pytest.mark.parametrize("operator", [MaxPool1d(2), MaxPool2d(2), MaxPool3d(2)])
def test_a_nan_is_the_maximum_and_infinities_count(operator):
    x = torch.tensor([[-math.inf, -math.inf], [math.nan, 1.0], [math.inf, -1.0]]).expand(1, 3, 2)
    x = x.reshape(1, 3, 2, *([1] * (len(operator.space) - 1))).expand(1, 3, *[2] * len(operator.space))
    y, _ = operator.forward({}, x, training=True)
    torch.testing.assert_close(y, module(operator)(x), equal_nan=True)
    assert y[0, 1].isnan().all()


@pytest.mark.parametrize(
    ("cls", "shape"), [(MaxPool1d, (3, 2, 7)), (MaxPool2d, (2, 4, 5)), (MaxPool3d, (2, 2, 4, 3, 5))]
)
def test_indices_are_returned_as_a_second_output(cls, shape):
    operator = cls(2, 1, 1, return_indices=True)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y, indices = module(operator)(x)
    operators = {"pool": operator, "y": Item(0), "indices": Item(1)}
    net = Network(operators, {"x": ["pool"], "pool": ["y", "indices"]}, dtype=torch.float64)
    outputs = net.forward(x.detach())
    assert torch.equal(outputs["y"], y.detach())
    assert torch.equal(outputs["indices"], indices)
    dy = upstream(y.detach())
    y.backward(dy)
    torch.testing.assert_close(net.backward({"y": dy})["x"], x.grad)
    _, saved = operator.forward({}, x.detach(), training=True)
    assert operator.backward({}, saved, (None, None)) == ((None,), {})


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (MaxPool2d(3), (1, 1, 2, 2), r"Expected \(n, c, h, w\), no smaller than the window of 3×3"),
        (MaxPool2d(2), (4, 4), r"the input has 2 axes in place of 4, or 3 .* Expected \(n, c, h, w\)"),
        (MaxPool1d(2), (4, 4, 4, 4), r"the input has 4 axes in place of 3, or 2 .* Expected \(n, c, t\)"),
        (MaxPool3d(2), (1, 1, 2, 2, 1), r"Expected \(n, c, d, h, w\), no smaller than the window of 2×2×2"),
        (AvgPool1d(4), (2, 1, 3), r"Expected \(n, c, t\), no smaller than the window of 4"),
        (AvgPool2d(2), (4,), r"the input has 1 axes .* Expected \(n, c, h, w\)"),
        (AvgPool3d(3), (1, 1, 3, 3, 2), r"Expected \(n, c, d, h, w\), no smaller than the window of 3×3×3"),
        (LPPool1d(2, 5), (2, 1, 3), r"Expected \(n, c, t\), no smaller than the window of 5"),
        (LPPool2d(2, 2), (3, 2, 1, 4, 4), "the input has 5 axes in place of 4, or 3 without the batch"),
    ],
)
def test_other_shapes_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"pool \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        Network({"pool": operator}, {"x": ["pool"]}).forward(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MaxPool2d(0), "MaxPool2d: kernel_size must be a whole number of at least 1, or a tuple of them"),
        (lambda: MaxPool2d((1, 2, 3)), r"MaxPool2d: kernel_size .* a tuple of two for h and w, not \(1, 2, 3\)"),
        (lambda: MaxPool2d(2, 0), "MaxPool2d: stride must be .* not 0"),
        (lambda: MaxPool2d(2, padding=-1), "MaxPool2d: padding must be a whole number of at least 0, .* not -1"),
        (lambda: MaxPool2d(2, dilation=1.5), "MaxPool2d: dilation must be .* not 1.5"),
        (lambda: MaxPool2d(2, padding=2), "MaxPool2d: padding must be at most half of kernel_size 2, not 2"),
        (
            lambda: MaxPool2d((4, 2), padding=2),
            r"MaxPool2d: padding must be at most half of kernel_size \(4, 2\), not 2",
        ),
        (lambda: AvgPool3d(2, 1, (1, 2, 1)), r"AvgPool3d: padding must be at most half of .* 2, not \(1, 2, 1\)"),
        (lambda: AvgPool2d(2, divisor_override=0), "AvgPool2d: divisor_override must be a whole number of at least 1"),
        (lambda: AvgPool1d(2, ceil_mode=1), "AvgPool1d: ceil_mode must be True or False, not 1"),
        (lambda: LPPool2d(0, 2), "LPPool2d: norm_type must be larger than 0"),
        (lambda: LPPool1d(math.inf, 2), "LPPool1d: norm_type must be a finite number of at least 0, not inf"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


@pytest.mark.parametrize("cls", ALL)
def test_arguments_are_torch_s(cls):
    ours, theirs = inspect.signature(cls).parameters, inspect.signature(getattr(nn, cls.__name__)).parameters
    assert [(name, each.default) for name, each in ours.items()] == [
        (name, each.default) for name, each in theirs.items()
    ]


def test_texts():
    assert MaxPool2d(2).describe() == MaxPool2d(2, 2).describe() == "2×2"
    assert MaxPool2d((3, 2), 1, (1, 0), 2, ceil_mode=True).describe() == (
        "3×2, stride 1, padding 1×0, dilation 2, ceil_mode"
    )
    assert MaxPool1d(2, 1).describe() == "kernel_size 2, stride 1"
    assert AvgPool3d((1, 2, 2), divisor_override=3).describe() == "1×2×2, divisor_override 3"
    assert LPPool2d(2, 3).describe() == "3×3, norm_type 2"
    assert {cls.family for cls in ALL} == {"pooling"}
