"""Ten nets, each declared for graphdl by a program and written for torch, with the same names of parameters.

    net, batch = NETS["resnet18"]()
    twin = TWINS["resnet18"]()
    copy_parameters(net, twin)
    twin(**batch)                   # the same loss as net.forward(batch)["loss"]

A net's maker takes `rows`, the length of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from benchmarks.zoo import convolutional, graphs, perceptrons, text
from graphdl import Network

Batch: TypeAlias = dict[str, Tensor]

NETS: dict[str, Callable[..., tuple[Network, Batch]]] = {
    "perceptron": perceptrons.perceptron,
    "wide perceptron": perceptrons.wide,
    "deep perceptron": perceptrons.deep,
    "autoencoder": perceptrons.autoencoder,
    "residual": graphs.residual,
    "dense": graphs.dense,
    "fan-out": graphs.fan_out,
    "text classifier": text.classifier,
    "lenet": convolutional.lenet,
    "resnet18": convolutional.resnet18,
}

TWINS: dict[str, Callable[[], nn.Module]] = {
    "perceptron": perceptrons.PerceptronTwin,
    "wide perceptron": perceptrons.WideTwin,
    "deep perceptron": perceptrons.DeepTwin,
    "autoencoder": perceptrons.AutoencoderTwin,
    "residual": graphs.ResidualTwin,
    "dense": graphs.DenseTwin,
    "fan-out": graphs.FanOutTwin,
    "text classifier": text.ClassifierTwin,
    "lenet": convolutional.LeNetTwin,
    "resnet18": convolutional.ResNet18Twin,
}


def copy_parameters(net: Network, twin: nn.Module) -> None:
    """Give the twin the net's parameters and buffers, by name."""
    state = {name_in_torch(name): tensor for name, tensor in net.state_dict().items()}
    counters = {name for name in twin.state_dict() if name.endswith("num_batches_tracked")}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    if set(missing) - counters or unexpected:
        raise ValueError(f"the twin lacks {unexpected} and has {missing} besides")


def name_in_torch(name: str) -> str:
    """The twin's name of a parameter or a buffer: a block's nodes are modules of a module."""
    return name.replace("/", ".")
