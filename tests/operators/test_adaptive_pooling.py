from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch
from torch import nn

from graphdl import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    Network,
)
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

T, HW, DHW = (2, 2, 7), (2, 2, 6, 5), (2, 2, 4, 3, 5)
ALL = (AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d)


def case(name, operator, shape=HW, **settings):
    reference = getattr(nn, type(operator).__name__)(*dataclasses.astuple(operator))
    return Case(name, operator, [shape], lambda p, x: reference(x), **settings)


CASES = [
    case("avg-1d", AdaptiveAvgPool1d(3), T),
    case("avg-1d-global", AdaptiveAvgPool1d((1,)), T),
    case("avg-1d-single", AdaptiveAvgPool1d(9), (3, 4), batched=False),
    case("avg-global", AdaptiveAvgPool2d(1)),
    case("avg-global-pair", AdaptiveAvgPool2d((1, 1))),
    case("avg-uneven", AdaptiveAvgPool2d((4, 3))),
    case("avg-enlarging", AdaptiveAvgPool2d((7, 2))),
    case("avg-row", AdaptiveAvgPool2d((1, 3))),
    case("avg-kept", AdaptiveAvgPool2d((None, 2))),
    case("avg-all-kept", AdaptiveAvgPool2d((None, None)), (2, 2, 1, 1)),
    case("avg-single", AdaptiveAvgPool2d(2), (3, 4, 5), batched=False),
    case("avg-single-global", AdaptiveAvgPool2d(1), (3, 4, 5), batched=False),
    case("avg-3d", AdaptiveAvgPool3d((3, None, 2)), DHW),
    case("avg-3d-global", AdaptiveAvgPool3d(1), DHW),
    case("avg-3d-single", AdaptiveAvgPool3d((2, 1, 1)), (2, 3, 2, 3), batched=False),
    case("max-1d", AdaptiveMaxPool1d(3), T),
    case("max-1d-single", AdaptiveMaxPool1d((1,)), (3, 4), batched=False),
    case("max-uneven", AdaptiveMaxPool2d((4, 3))),
    case("max-kept", AdaptiveMaxPool2d((None, 2))),
    case("max-global", AdaptiveMaxPool2d(1)),
    case("max-indices", AdaptiveMaxPool2d((3, 2), True)),
    case("max-single", AdaptiveMaxPool2d((7, 2)), (3, 4, 5), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("cls", ALL)
def test_it_is_torch_s_module_for_all_sizes(cls):
    for size in range(1, 9):
        x = torch.randn((2, 3, 7, 4, 6)[: len(cls.space) + 2], dtype=torch.float64, requires_grad=True)
        expected = getattr(nn, cls.__name__)(size)(x)
        y, saved = cls(size).forward({}, x.detach(), training=True)
        assert torch.equal(y, expected.detach())
        dy = upstream(y)
        expected.backward(dy)
        torch.testing.assert_close(cls(size).backward({}, saved, dy)[0][0], x.grad)


@pytest.mark.parametrize("operator", [AdaptiveAvgPool2d((3, 2)), AdaptiveAvgPool2d(1), AdaptiveMaxPool2d(2)])
def test_the_input_is_not_kept(operator):
    x = torch.randn(2, 3, 8, 8)
    _, saved = operator.forward({}, x, training=True)
    held = [part for part in (saved if type(saved) is tuple else (saved,)) if isinstance(part, torch.Tensor)]
    assert all(part.untyped_storage().data_ptr() != x.untyped_storage().data_ptr() for part in held)


@pytest.mark.parametrize("operator", [AdaptiveAvgPool2d((3, 2)), AdaptiveMaxPool2d((3, 2))])
def test_channels_last_goes_through(operator):
    last = torch.channels_last
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=last)
    y, saved = operator.forward({}, x, training=True)
    assert y.is_contiguous(memory_format=last)
    dy = torch.randn(y.shape).contiguous(memory_format=last)
    assert operator.backward({}, saved, dy)[0][0].is_contiguous(memory_format=last)


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (AdaptiveAvgPool2d(2), (4, 4), r"2 axes in place of 4, or 3 without the batch\. .*Expected \(n, c, h, w\)"),
        (AdaptiveAvgPool2d(1), (4, 4), r"2 axes in place of 4, or 3 without the batch\. .*Expected \(n, c, h, w\)"),
        (AdaptiveAvgPool1d(1), (4,), r"1 axes in place of 3, or 2 without the batch\. .*Expected \(n, c, t\)"),
        (AdaptiveAvgPool3d(1), (4, 4, 4), r"3 axes in place of 5, or 4 .*Expected \(n, c, d, h, w\)"),
        (AdaptiveAvgPool2d(2), (1, 1, 0, 3), r"Expected \(n, c, h, w\) with at least one pixel"),
        (AdaptiveMaxPool2d(2), (1, 1, 0, 3), r"Expected \(n, c, h, w\) with at least one pixel"),
        (AdaptiveMaxPool1d(2), (4, 1, 1, 1), r"4 axes in place of 3, or 2 without the batch"),
    ],
)
def test_other_shapes_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"pool \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        Network({"pool": operator}, {"x": ["pool"]}).forward(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size must be a whole number of at least 1, .* not 0"),
        (lambda: AdaptiveAvgPool2d((1, 2, 3)), r"AdaptiveAvgPool2d: output_size .* h and w, not \(1, 2, 3\)"),
        (lambda: AdaptiveAvgPool2d((1, "2")), r"AdaptiveAvgPool2d: output_size .* None keeps the size, not \(1, '2'\)"),
        (lambda: AdaptiveAvgPool2d(()), r"AdaptiveAvgPool2d: output_size .* not \(\)"),
        (lambda: AdaptiveMaxPool1d((2, 2)), r"AdaptiveMaxPool1d: output_size .* one number for t, not \(2, 2\)"),
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
    assert AdaptiveAvgPool2d(1).describe() == "→ 1×1"
    assert AdaptiveAvgPool2d((None, 3)).describe() == "→ ?×3"
    assert AdaptiveMaxPool1d(4).describe() == "→ 4"
    assert {cls.family for cls in ALL} == {"pooling"}
