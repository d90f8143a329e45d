"""One sample of PyTorch's, by a module of torch.nn and by a network of one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphdl import Feed, Item, Network, Operator
from tests.torch_samples.adapters import flat

TOLERANCE = 1e-8


def network(operator: Operator, inputs: dict[Any, Tensor], outputs: int) -> Network:
    """A network of one node, with an Item for each of several outputs."""
    connectivity: dict[Any, list[Any]] = {f"x {slot}": [Feed("node", slot=slot)] for slot in inputs}
    operators: dict[Any, Any] = {"node": operator}
    if outputs > 1:
        operators |= {f"item {k}": Item(k) for k in range(outputs)}
        connectivity["node"] = [f"item {k}" for k in range(outputs)]
    return Network(operators, connectivity, dtype=torch.float64)


def randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Other values than the initial ones: ones and zeros would hide faults."""
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator, dtype=torch.float64) + 0.5)


def compare(
    module: nn.Module, operator: Operator, args: Any, kwargs: Any, inputs: dict[Any, Tensor], *, training: bool
) -> None:
    """Raise AssertionError for a value, a gradient or a buffer that differs from torch's."""
    generator = torch.Generator().manual_seed(0)
    module.train(training)
    randomize(module, generator)
    state = {f"node.{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}
    expected = [y for y in flat(as_tuple(module(*args, **kwargs))) if y is not None]
    net = network(operator, inputs, len(expected))
    fed = {f"x {slot}": x.detach() for slot, x in inputs.items()}
    net.build({name: x.to("meta") for name, x in fed.items()})
    net.load_state_dict(state)
    keys = ["node"] if len(expected) == 1 else [f"item {k}" for k in range(len(expected))]
    found = net.forward(fed, training=training)
    for key, y in zip(keys, expected, strict=True):
        same(f"value of {key}", found[key], y.detach())
    gradients(net, module, inputs, dict(zip(keys, expected, strict=True)), generator)
    for name, buffer in module.named_buffers():
        same(f"buffer {name}", net.buffers[f"node.{name}"], buffer)


def gradients(
    net: Network, module: nn.Module, inputs: dict[Any, Tensor], ys: dict[str, Tensor], generator: Any
) -> None:
    """Compare the gradients of all inputs and parameters, from random gradients of the outputs."""
    leaves = {f"x {slot}": x for slot, x in inputs.items() if x.requires_grad}
    leaves |= {f"node.{name}": parameter for name, parameter in module.named_parameters()}
    dys = {key: torch.randn(y.shape, generator=generator, dtype=y.dtype) for key, y in ys.items() if y.requires_grad}
    if not dys:
        return
    wanted = torch.autograd.grad([ys[key] for key in dys], [*leaves.values()], [*dys.values()], materialize_grads=True)
    sent = net.backward(dys)
    for (name, _), dx in zip(leaves.items(), wanted, strict=True):
        found = sent.get(name) if name in net.inputs else net.gradients.get(name)
        same(f"gradient of {name}", torch.zeros_like(dx) if found is None else found, dx)


def same(what: str, found: Tensor, expected: Tensor) -> None:
    """Raise AssertionError unless two tensors agree."""
    torch.testing.assert_close(
        found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True, msg=lambda text: f"{what}: {text}"
    )


def as_tuple(output: Any) -> tuple[Any, ...]:
    return output if isinstance(output, tuple) else (output,)
