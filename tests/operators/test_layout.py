from __future__ import annotations

import pytest
import torch

from graphdl import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Flatten,
    Linear,
    MaxPool2d,
    MSELoss,
    MultiLabelSoftMarginLoss,
    Network,
    ReLU,
    Sum,
    fit,
)
from graphdl.operators.shared.layout import LAST, arrange, arranged_like
from graphdl.optim import SGD


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("x", "weight", "last"),
    [
        ((8, 16, 32, 32), (16, 16, 3, 3), True),
        ((8, 3, 64, 64), (32, 3, 3, 3), True),
        ((16, 512, 4, 4), (512, 512, 3, 3), False),  # more weights than values
    ],
)
def test_channels_are_last_where_there_are_more_values_than_weights(x, weight, last):
    for given in (images(*x), images(*x).contiguous(memory_format=LAST)):
        arranged = arrange(given, torch.empty(weight, device="meta"))
        assert torch.equal(arranged, given)
        assert arranged.is_contiguous(memory_format=LAST) == last
        assert arranged.is_contiguous() != last


def test_an_image_of_one_channel_gives_channels_last():
    x, weight = images(8, 1, 64, 64), images(32, 1, 3, 3)
    assert torch.equal(arrange(x, weight), x)
    assert torch.convolution(arrange(x, weight), weight, None, *Conv2d(1, 32, 3).geometry).stride(1) == 1


@pytest.mark.parametrize("x", [images(2, 3, 8, 8), images(8, 16, 32, 32).double(), images(8, 16, 32, 32)[0]], ids=str)
def test_small_batches_and_other_numbers_stay_as_they_are(x):
    assert arrange(x, images(16, 16, 3, 3)) is x


def test_gradients_are_laid_out_as_their_values():
    first, last = images(2, 3, 4, 5), images(2, 3, 4, 5).contiguous(memory_format=LAST)
    for x, like in ((first, last), (last, first), (last, last)):
        assert torch.equal(arranged_like(x, like), x)
        assert arranged_like(x, like).stride() == like.stride()
    assert arranged_like(first, last[:, :, ::2]) is first


def net(dtype):
    """Convolutions of both layouts, with the operators that usually stand between them."""
    operators = {
        "stem": Conv2d(1, 16, 3, padding=1), "bn1": BatchNorm2d(16), "relu1": ReLU(),
        "conv2": Conv2d(16, 16, 3, padding=1), "sum": Sum(), "pool": MaxPool2d(2),
        "wide": Conv2d(16, 256, 3, stride=2, padding=1), "bn2": BatchNorm2d(256),
        "heavy": Conv2d(256, 256, 3, padding="same", padding_mode="reflect"), "short": Conv2d(256, 256, 1),
        "sum2": Sum(), "relu2": ReLU(), "grow": ConvTranspose2d(256, 32, 2, stride=2), "again": Conv2d(256, 32, 1),
        "small": MaxPool2d(2), "join": Concat(), "bn3": BatchNorm2d(64),
        "mean": AdaptiveAvgPool2d(1), "flatten": Flatten(), "fc": Linear(64, 10), "loss": CrossEntropyLoss(),
    }  # fmt: skip
    connectivity = {
        "x": ["stem"], "stem": ["bn1"], "bn1": ["relu1"], "relu1": ["conv2", "sum"], "conv2": ["sum"],
        "sum": ["pool"], "pool": ["wide"], "wide": ["bn2"], "bn2": ["heavy", "short"], "heavy": ["sum2"],
        "short": ["sum2"], "sum2": ["relu2"], "relu2": ["grow", "again"], "grow": ["small"], "again": ["join"],
        "small": ["join"], "join": ["bn3"], "bn3": ["mean"], "mean": ["flatten"], "flatten": ["fc"], "fc": ["loss"],
        "target": ["loss"],
    }  # fmt: skip
    return Network(operators, connectivity, seed=0, dtype=dtype)


def test_a_network_of_both_layouts_agrees_with_channels_first():
    exact, quick = net(torch.float64), net(torch.float32)
    quick.load_state_dict({name: each.float() for name, each in exact.state_dict().items()})
    exact.load_state_dict({name: each.double() for name, each in quick.state_dict().items()})
    x, target = images(4, 1, 64, 64), torch.arange(4)
    found = [each.forward({"x": x.to(each.dtype), "target": target}) for each in (quick, exact)]
    torch.testing.assert_close(found[0]["loss"].double(), found[1]["loss"], rtol=1e-5, atol=0)
    for each in (quick, exact):
        each.backward()
    laid = {key for key in ("stem", "wide", "heavy", "short") if quick.values[key].is_contiguous(memory_format=LAST)}
    assert laid == {"stem", "wide", "short"}
    assert all(value.is_contiguous() for value in exact.values.values())
    largest = max(float(each.abs().max()) for each in exact.gradients.values())
    for name, gradient in exact.gradients.items():  # those of biases before a normalization are rounding alone
        error = float((quick.gradients[name].double() - gradient).abs().max())
        assert error <= 1e-4 * float(gradient.abs().max()) + 3e-5 * largest, name


def test_gradients_of_parameters_are_laid_out_as_the_parameters():
    net = Network(
        {"c1": Conv2d(3, 16, 3, padding=1), "relu": ReLU(), "up": ConvTranspose2d(16, 4, 2, 2), "loss": MSELoss()},
        {"x": ["c1"], "c1": ["relu"], "relu": ["up"], "up": ["loss"], "target": ["loss"]},
    )
    net.forward({"x": torch.randn(8, 3, 64, 64), "target": torch.randn(8, 4, 128, 128)})
    assert net.values["c1"].is_contiguous(memory_format=torch.channels_last)
    net.backward()
    for name, gradient in net.gradients.items():
        assert gradient.stride() == net.parameters[name].stride(), name


def test_accuracy_of_images_with_channels_last():
    net = Network(
        {"c1": Conv2d(3, 16, 3, padding=1), "c2": Conv2d(16, 4, 3, padding=1), "loss": MultiLabelSoftMarginLoss()},
        {"x": ["c1"], "c1": ["c2"], "c2": ["loss"], "target": ["loss"]},
        seed=0,
    )
    x, target = torch.randn(8, 3, 64, 64), torch.randint(2, (8, 4, 64, 64)).float()
    history = fit(net, x, target, optimizer=SGD(lr=0.0), epochs=1, batch_size=8, metrics=("accuracy",), progress=False)
    expected = ((net.predict(x) > 0) == (target > 0.5)).double().mean()
    assert history["accuracy"][0] == pytest.approx(float(expected))
