from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from graphdl import Network, PixelShuffle, PixelUnshuffle, Upsample
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case, upstream
from tests.operators.checks import every_check

T, HW, DHW = (2, 2, 4), (2, 2, 3, 4), (2, 1, 2, 3, 2)


def module(operator):
    """The module of torch.nn with the same settings."""
    settings = {name: getattr(operator, name) for name in inspect.signature(type(operator)).parameters}
    return getattr(nn, type(operator).__name__)(**settings)


def case(name, operator, shape=HW, **settings):
    reference = module(operator)
    return Case(name, operator, [shape], lambda p, x: reference(x), **settings)


CASES = [
    case("nearest-1d", Upsample(scale_factor=2.5), T),
    case("nearest", Upsample(scale_factor=2)),
    case("nearest-size", Upsample((5, 3))),
    case("nearest-3d", Upsample(scale_factor=(2.0, 1.0, 1.5)), DHW),
    case("exact-1d", Upsample(7, mode="nearest-exact"), T),
    case("exact", Upsample(scale_factor=(1.7, 0.5), mode="nearest-exact")),
    case("exact-3d", Upsample(3, mode="nearest-exact"), DHW),
    case("linear", Upsample(scale_factor=1.9, mode="linear"), T),
    case("linear-corners", Upsample((6,), mode="linear", align_corners=True), T),
    case("bilinear", Upsample(scale_factor=(2.0, 1.6), mode="bilinear")),
    case("bilinear-corners", Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
    case("bilinear-recomputed", Upsample(None, 1.6, "bilinear", False, True)),
    case("bicubic", Upsample(scale_factor=1.6, mode="bicubic")),
    case("bicubic-corners", Upsample((2, 7), None, "bicubic", True)),
    case("trilinear", Upsample(scale_factor=1.6, mode="trilinear"), DHW),
    case("trilinear-corners", Upsample((3, 2, 4), mode="trilinear", align_corners=True), DHW),
    case("shuffle", PixelShuffle(2), (2, 8, 2, 3), small=(1,)),
    case("shuffle-single", PixelShuffle(3), (9, 2, 1), batched=False),
    case("shuffle-more-axes", PixelShuffle(2), (2, 2, 4, 2, 1), small=(1,)),
    case("unshuffle", PixelUnshuffle(2), (2, 2, 4, 6), small=(1,)),
    case("unshuffle-single", PixelUnshuffle(3), (1, 3, 6), batched=False),
    case("unshuffle-more-axes", PixelUnshuffle(2), (2, 2, 1, 4, 2), small=(1,)),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


MODES = [("nearest", 1), ("nearest", 2), ("nearest", 3), ("nearest-exact", 2), ("linear", 1), ("bilinear", 2)]
MODES += [("bicubic", 2), ("trilinear", 3)]


@pytest.mark.parametrize(("mode", "axes"), MODES)
def test_it_is_torch_s_module_for_all_settings(mode, axes):
    corners = (None,) if mode.startswith("nearest") else (None, False, True)
    sizes = [{"size": size} for size in (1, 3, 9)]
    factors = [{"scale_factor": factor, "recompute_scale_factor": flag} for factor in (2, 0.4) for flag in (None, True)]
    for given in [*sizes, *factors]:
        for corner in corners:
            operator = Upsample(**given, mode=mode, align_corners=corner)
            x = torch.randn((2, 3, 6, 4, 5)[: axes + 2], dtype=torch.float64, requires_grad=True)
            expected = module(operator)(x)
            y, saved = operator.forward({}, x.detach(), training=True)
            assert torch.equal(y, expected.detach())
            dy = upstream(y)
            expected.backward(dy)
            torch.testing.assert_close(operator.backward({}, saved, dy)[0][0], x.grad)


@pytest.mark.parametrize("operator", [Upsample(scale_factor=2), Upsample(7, mode="bicubic"), PixelShuffle(2)])
def test_no_tensor_is_kept(operator):
    _, saved = operator.forward({}, torch.zeros(1, 4, 3, 3), training=True)
    assert not any(isinstance(part, torch.Tensor) for part in saved or ())


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_channels_last_goes_through(mode):
    last = torch.channels_last
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=last)
    y, saved = Upsample(scale_factor=2, mode=mode).forward({}, x, training=True)
    assert y.is_contiguous(memory_format=last)
    dy = torch.randn(y.shape).contiguous(memory_format=last)
    assert Upsample(scale_factor=2, mode=mode).backward({}, saved, dy)[0][0].is_contiguous(memory_format=last)


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (Upsample(scale_factor=2), (3, 4), r"number of axes .* Expected \(n, c, t\) or \(n, c, h, w\) or"),
        (Upsample(2, mode="bilinear"), (2, 3, 4), r"number of axes .* Expected \(n, c, h, w\), and at least"),
        (Upsample((2, 2)), (2, 3, 4), r"number of axes .* Expected \(n, c, h, w\), and at least"),
        (Upsample(scale_factor=0.2), (2, 3, 4, 4), "and at least one pixel in the input and the output"),
        (PixelShuffle(2), (1, 6, 2, 2), r"Expected \(\.\.\., c, h, w\), where c is a multiple of 4"),
        (PixelShuffle(2), (4, 2), r"Expected \(\.\.\., c, h, w\)"),
        (PixelUnshuffle(2), (1, 1, 4, 3), r"Expected \(\.\.\., c, h, w\), where h and w are multiples of 2"),
    ],
)
def test_other_shapes_are_told(operator, shape, text):
    with pytest.raises(ShapeError, match=rf"node \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        Network({"node": operator}, {"x": ["node"]}).forward(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Upsample(), r"one of size and scale_factor must be given, not none; write Upsample\(scale_factor=2\)"),
        (lambda: Upsample(2, 2), "one of size and scale_factor must be given, not both"),
        (lambda: Upsample(2.5), "size must be a whole number of at least 1, or a tuple of them, not 2.5"),
        (lambda: Upsample(scale_factor=0), "scale_factor must be a finite number above 0, or a tuple of them, not 0"),
        (lambda: Upsample(scale_factor=()), r"scale_factor must be .* not \(\)"),
        (lambda: Upsample(2, mode="bilinar"), "mode must be .* Did you mean 'bilinear'?"),
        (lambda: Upsample(2, align_corners=False), "align_corners has no meaning for mode 'nearest'; leave it out"),
        (lambda: Upsample(2, mode="linear", align_corners=1), "align_corners must be True or False, not 1"),
        (lambda: Upsample(2, recompute_scale_factor=True), "recompute_scale_factor needs scale_factor in place of"),
        (lambda: Upsample((2, 2, 2), mode="bicubic"), "mode 'bicubic' is for 2 axes of space, and size has 3 numbers"),
        (lambda: Upsample(scale_factor=(2.0,) * 4), "mode 'nearest' is for 1 or 2 or 3 axes .* scale_factor has 4"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^Upsample: {text}"):
        make()


@pytest.mark.parametrize("cls", [PixelShuffle, PixelUnshuffle])
def test_the_factor_is_checked(cls):
    with pytest.raises(SettingError, match=rf"^{cls.__name__}: \w+_factor must be a whole number of at least 1, not 0"):
        cls(0)


def test_empty_tensors_are_shuffled_where_torch_would_return_another_shape():
    for operator, shape, expected in [
        (PixelShuffle(2), (0, 8, 2, 3), (0, 2, 4, 6)),
        (PixelUnshuffle(2), (0, 2, 4, 6), (0, 8, 2, 3)),
        (PixelUnshuffle(2), (2, 0, 6), (8, 0, 3)),
    ]:
        y, saved = operator.forward({}, torch.zeros(shape), training=True)
        assert y.shape == expected
        assert operator.backward({}, saved, y)[0][0].shape == shape
    with pytest.raises(ShapeError, match="not multiples of 2"):
        PixelUnshuffle(2).forward({}, torch.zeros(0, 1, 4, 3), training=True)


@pytest.mark.parametrize("cls", [PixelShuffle, PixelUnshuffle, Upsample])
def test_arguments_are_torch_s(cls):
    ours, theirs = inspect.signature(cls).parameters, inspect.signature(getattr(nn, cls.__name__)).parameters
    assert {name: parameter.default for name, parameter in ours.items()} == {
        name: parameter.default for name, parameter in theirs.items()
    }


def test_texts():
    assert Upsample(scale_factor=(2.0, 1.5), mode="bilinear", align_corners=True).describe() == (
        "by 2×1.5, bilinear, align_corners"
    )
    assert Upsample(7).describe() == "→ 7, nearest"
    assert PixelShuffle(2).describe() == PixelUnshuffle(2).describe() == "by 2"
    assert {cls.family for cls in (PixelShuffle, PixelUnshuffle, Upsample)} == {"resampling"}
