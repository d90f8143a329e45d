from __future__ import annotations

import pytest
import torch

from graphdl import AvgPool1d, AvgPool2d, AvgPool3d
from graphdl.errors import SettingError, ShapeError
from graphdl.operators.shared.sizes import times


def test_a_size_is_one_number_or_one_for_each_axis():
    assert (AvgPool2d(3).each(3), AvgPool2d(3).each((3, 1)), AvgPool3d(3).each(2)) == ((3, 3), (3, 1), (2, 2, 2))
    assert (AvgPool1d(3).planar(3), AvgPool1d(3).planar((2,), 0), AvgPool3d(1).planar(2)) == ((1, 3), (0, 2), (2, 2, 2))
    assert (times((3, 3)), times((3, None)), times((7,))) == ("3×3", "3×?", "7")


@pytest.mark.parametrize(
    ("cls", "value", "text"),
    [
        (AvgPool1d, (2, 2), r"AvgPool1d: kernel_size must be one number, or a tuple of one number for t, not \(2, 2\)"),
        (AvgPool2d, (2,), r"AvgPool2d: kernel_size must be one number, or a tuple of two for h and w, not \(2,\)"),
        (AvgPool3d, (2, 2), r"AvgPool3d: kernel_size .* or a tuple of three for d, h and w, not \(2, 2\)"),
    ],
)
def test_another_number_of_axes_is_told(cls, value, text):
    with pytest.raises(SettingError, match=f"^{text}$"):
        cls(value)


def test_the_axes_of_an_input_are_told_and_checked():
    assert (AvgPool1d(2).layout(), AvgPool3d(2).layout(4)) == ("(n, c, t)", "(n, 4, d, h, w)")
    AvgPool2d(2).check_axes(torch.zeros(1, 1, 1))
    for axes in (0, 2, 5):
        with pytest.raises(ShapeError, match=f"the input has {axes} axes in place of 4, or 3 without the batch"):
            AvgPool2d(2).check_axes(torch.zeros((1,) * axes))


LAYOUTS = [
    (AvgPool2d(2), (2, 3, 4, 5), torch.channels_last),
    (AvgPool3d(2), (2, 3, 4, 5, 6), torch.channels_last_3d),
    (AvgPool2d(2), (2, 3, 4, 5), torch.contiguous_format),
    (AvgPool1d(2), (2, 3, 1, 5), torch.contiguous_format),
]


@pytest.mark.parametrize(("operator", "shape", "layout"), LAYOUTS)
def test_a_hollow_tensor_has_the_layout_of_another(operator, shape, layout):
    like = torch.zeros(shape).contiguous(memory_format=layout)
    found = operator.hollow(torch.zeros(1, dtype=torch.float64), torch.Size(shape), like)
    assert found.is_contiguous(memory_format=layout)
    assert (found.shape, found.dtype) == (shape, torch.float64)


def test_a_hollow_volume_without_a_batch_is_contiguous():
    like = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert AvgPool3d(2).hollow(like, like.shape, like).is_contiguous()
