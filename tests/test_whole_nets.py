"""Whole nets against torch.nn with the same weights: values, all gradients and running statistics, in float64."""

import pytest
import torch

from benchmarks.zoo import copy_parameters, name_in_torch
from benchmarks.zoo.convolutional import ResNet18Twin, resnet18
from benchmarks.zoo.segmentation import UNetTwin, unet
from benchmarks.zoo.sequences import LSTMTwin, lstm
from benchmarks.zoo.transformers import EncoderTwin, GPTTwin, encoder, gpt

NARROW = (4, 6, 8, 10)
SMALL = {"length": 6, "width": 16}

NETS = {
    "ResNet-18": (lambda: resnet18(3, NARROW, size=16), lambda: ResNet18Twin(NARROW)),
    "U-Net": (lambda: unet(2, widths=(4, 6, 8)), lambda: UNetTwin((4, 6, 8))),
    "U-Net with Upsample": (lambda: unet(2, widths=(4, 6), upsample=True), lambda: UNetTwin((4, 6), upsample=True)),
    "GPT": (lambda: gpt(2, **SMALL), lambda: GPTTwin(**SMALL)),
    "GPT, tied": (lambda: gpt(2, **SMALL, tied=True), lambda: GPTTwin(**SMALL, tied=True)),
    "LSTM": (lambda: lstm(3, 5, 4), lambda: LSTMTwin(4)),
    "bidirectional LSTM": (lambda: lstm(3, 5, 4, bidirectional=True), lambda: LSTMTwin(4, bidirectional=True)),
    "Transformer encoder": (encoder, EncoderTwin),
}
COUNTS = {
    "ResNet-18": 62,
    "U-Net": 36,
    "U-Net with Upsample": 22,
    "GPT": 53,
    "GPT, tied": 52,
    "LSTM": 10,
    "bidirectional LSTM": 18,
    "Transformer encoder": 24,
}
"""Name -> gradients of parameters that are compared."""

EXACT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("training", [True, False])
def test_values_gradients_and_statistics_are_those_of_torch(name, training):
    (net, batch), twin = NETS[name][0](), NETS[name][1]().double().train(training)
    net.to(dtype=torch.float64)
    scatter(net)
    copy_parameters(net, twin)
    batch = {key: x.double().requires_grad_() if x.is_floating_point() else x for key, x in batch.items()}
    learned = {name_in_torch(key) for key in net.parameters}
    assert learned == {key for key, _ in twin.named_parameters()}
    assert len(learned) == COUNTS[name]

    expected = twin(**batch)
    (sink,) = net.outputs
    found = net.forward({key: x.detach() for key, x in batch.items()}, training=training)[sink]
    torch.testing.assert_close(found, expected.detach(), **EXACT)

    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected.backward(upstream)
    dxs = net.backward({sink: upstream})
    for key, x in batch.items():
        if x.grad is not None:
            torch.testing.assert_close(dxs[key], x.grad, **EXACT, msg=lambda text, key=key: f"{key}: {text}")
    theirs = dict(twin.named_parameters())
    for key, gradient in net.gradients.items():
        their = theirs[name_in_torch(key)].grad
        assert their.any(), key
        torch.testing.assert_close(gradient, their, **EXACT, msg=lambda text, key=key: f"{key}: {text}")
    buffers = dict(twin.named_buffers())
    for key, buffer in net.buffers.items():
        their = buffers[name_in_torch(key)]
        torch.testing.assert_close(buffer, their, **EXACT, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", NETS)
def test_a_planted_fault_is_found(name, monkeypatch):
    """A gradient of a parameter in the middle that is wrong by 0.05 %."""
    (net, _), _ = NETS[name][0](), None
    middle = list(net.parameters)[len(net.parameters) // 2]
    backward = type(net).backward

    def faulty(self, *arguments):
        found = backward(self, *arguments)
        self.gradients[middle].mul_(1.0005)
        return found

    monkeypatch.setattr(type(net), "backward", faulty)
    with pytest.raises(AssertionError, match=middle):
        test_values_gradients_and_statistics_are_those_of_torch(name, True)


def scatter(net):
    """Random parameters and statistics near those of the initializers: weight 1 and bias 0 hide faults."""
    generator = torch.Generator().manual_seed(2)
    for tensor in (*net.parameters.values(), *net.buffers.values()):
        if tensor.is_floating_point():
            tensor.add_(torch.rand(tensor.shape, dtype=tensor.dtype, generator=generator), alpha=0.2)
