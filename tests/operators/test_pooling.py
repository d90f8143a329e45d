from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from torch import nn

from graphdl import AdaptiveAvgPool2d, MaxPool2d, Network
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

X = (2, 2, 6, 5)


def max_pool(name, shape=X, *, batched=True, **settings):
    module = nn.MaxPool2d(**settings)
    return Case(f"max-{name}", MaxPool2d(**settings), [shape], lambda p, x: module(x), batched=batched)


def adaptive(name, size, shape=X, *, batched=True):
    module = nn.AdaptiveAvgPool2d(size)
    return Case(f"adaptive-{name}", AdaptiveAvgPool2d(size), [shape], lambda p, x: module(x), batched=batched)


CASES = [
    max_pool("plain", kernel_size=2),
    max_pool("overlapping", kernel_size=3, stride=(2, 1)),
    max_pool("padded", kernel_size=(3, 2), padding=1),
    max_pool("ceil", kernel_size=2, ceil_mode=True),
    max_pool("dilated", kernel_size=(2, 3), stride=1, dilation=(3, 2), padding=(1, 0)),
    max_pool("single", (3, 4, 4), kernel_size=2, batched=False),
    adaptive("global", 1),
    adaptive("global-pair", (1, 1)),
    adaptive("square", 2),
    adaptive("uneven", (4, 3)),
    adaptive("enlarging", (7, 2)),
    adaptive("row", (1, 3)),
    adaptive("kept", (None, 2)),
    adaptive("all-kept", (None, None)),
    adaptive("single", 2, (3, 4, 5), batched=False),
    adaptive("single-global", 1, (3, 4, 5), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


GRID = list(itertools.product((2, 3, (3, 2)), (None, 1, (2, 3)), (0, 1), (1, (2, 1)), (False, True)))


@pytest.mark.parametrize("settings", GRID, ids=str)
def test_max_pool_is_torch_s_for_all_settings(settings):
    kernel, stride, padding, dilation, ceil = settings
    module = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)
    operator = MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil)
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    expected = module(x)
    y, saved = operator.forward({}, x.detach(), training=True)
    assert torch.equal(y, expected.detach())
    dy = upstream(y)
    expected.backward(dy)
    torch.testing.assert_close(operator.backward({}, saved, dy)[0][0], x.grad)


@pytest.mark.parametrize("operator", [MaxPool2d(2), MaxPool2d(3, 1), AdaptiveAvgPool2d((3, 2)), AdaptiveAvgPool2d(1)])
def test_the_input_is_not_kept(operator):
    x = torch.randn(2, 3, 8, 8)
    _, saved = operator.forward({}, x, training=True)
    held = [part for part in (saved if type(saved) is tuple else (saved,)) if isinstance(part, torch.Tensor)]
    assert all(part.untyped_storage().data_ptr() != x.untyped_storage().data_ptr() for part in held)


@pytest.mark.parametrize("operator", [MaxPool2d(2), AdaptiveAvgPool2d((3, 2))])
def test_channels_last_goes_through(operator):
    last = torch.channels_last
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=last)
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


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (MaxPool2d(3), (1, 1, 2, 2), r"Expected \(n, c, h, w\), no smaller than the window of 3×3"),
        (MaxPool2d(2), (4, 4), r"Expected \(n, c, h, w\)"),
        (AdaptiveAvgPool2d(2), (4, 4), r"Expected \(n, c, h, w\)"),
        (AdaptiveAvgPool2d(1), (4,), r"Expected \(n, c, h, w\)"),
    ],
)
def test_other_shapes_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"pool \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        Network({"pool": operator}, {"x": ["pool"]}).forward(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: MaxPool2d(0),
            "MaxPool2d: kernel_size must be a whole number of at least 1, or a tuple of two for h and w",
        ),
        (lambda: MaxPool2d(2, 0), "MaxPool2d: stride must be .* not 0"),
        (lambda: MaxPool2d(2, padding=-1), "MaxPool2d: padding must be a whole number of at least 0, .* not -1"),
        (lambda: MaxPool2d(2, dilation=1.5), "MaxPool2d: dilation must be .* not 1.5"),
        (lambda: MaxPool2d(2, padding=2), "MaxPool2d: padding must be at most half of kernel_size 2, not 2"),
        (
            lambda: MaxPool2d((4, 2), padding=2),
            r"MaxPool2d: padding must be at most half of kernel_size \(4, 2\), not 2",
        ),
        (lambda: AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size must be a whole number of at least 1, .* not 0"),
        (lambda: AdaptiveAvgPool2d((1, 2, 3)), r"AdaptiveAvgPool2d: output_size .* keeps the size, not \(1, 2, 3\)"),
        (lambda: AdaptiveAvgPool2d((1, "2")), "AdaptiveAvgPool2d: output_size"),
        (lambda: AdaptiveAvgPool2d(()), "AdaptiveAvgPool2d: output_size"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_arguments_are_torch_s():
    ours, theirs = inspect.signature(MaxPool2d).parameters, inspect.signature(nn.MaxPool2d).parameters
    assert [*ours][:4] == [*theirs][:4]
    assert {name: parameter.default for name, parameter in ours.items()} == {
        name: theirs[name].default for name in ours
    }
    assert [*inspect.signature(AdaptiveAvgPool2d).parameters] == [*inspect.signature(nn.AdaptiveAvgPool2d).parameters]


def test_texts():
    assert MaxPool2d(2).describe() == MaxPool2d(2, 2).describe() == "2×2"
    assert MaxPool2d((3, 2), 1, (1, 0), 2, ceil_mode=True).describe() == (
        "3×2, stride 1, padding 1×0, dilation 2, ceil_mode"
    )
    assert AdaptiveAvgPool2d(1).describe() == "→ 1×1"
    assert AdaptiveAvgPool2d((None, 3)).describe() == "→ ?×3"
    assert MaxPool2d.family == AdaptiveAvgPool2d.family == "pooling"
