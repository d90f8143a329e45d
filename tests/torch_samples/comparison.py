"""One sample of PyTorch's, by a module of torch.nn and by a network of one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphdl import Block, Feed, Item, Network, Operator
from tests.torch_samples.adapters import flat

TOLERANCE = 1e-8


def names(inputs: dict[Any, Tensor]) -> dict[Any, str]:
    """The network's input for each slot; one tensor may feed several."""
    first: dict[int, str] = {}
    return {slot: first.setdefault(id(x), f"x {slot}") for slot, x in inputs.items()}


def network(operator: Operator | Block, inputs: dict[Any, Tensor], outputs: int) -> Network:
    """A network of one node, with an Item for each of several outputs."""
    connectivity: dict[Any, list[Any]] = {}
    for slot, name in names(inputs).items():
        connectivity.setdefault(name, []).append(Feed("node", slot=slot))
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
    module: nn.Module, operator: Operator | Block, args: Any, kwargs: Any, inputs: dict[Any, Tensor], *, training: bool
) -> None:
    """Raise AssertionError for a value, a gradient or a buffer that differs from torch's."""
    generator = torch.Generator().manual_seed(0)
    module.train(training)
    randomize(module, generator)
    start = "node/" if isinstance(operator, Block) else "node."
    state = {f"{start}{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}
    expected = [y for y in flat(as_tuple(module(*args, **kwargs))) if y is not None]
    net = network(operator, inputs, len(expected))
    fed = {name: inputs[slot].detach() for slot, name in names(inputs).items()}
    net.build({name: x.to("meta") for name, x in fed.items()})
    net.load_state_dict(state)
    keys = [*net.outputs] if len(expected) == 1 else [f"item {k}" for k in range(len(expected))]
    found = net.forward(fed, training=training)
    for key, y in zip(keys, expected, strict=True):
        same(f"value of {key}", found[key], y.detach())
    leaves = {f"{start}{name}": parameter for name, parameter in module.named_parameters()}
    gradients(net, leaves, inputs, dict(zip(keys, expected, strict=True)), generator)
    for name, buffer in module.named_buffers():
        same(f"buffer {name}", net.buffers[f"{start}{name}"], buffer)


def gradients(
    net: Network, parameters: dict[str, Tensor], inputs: dict[Any, Tensor], ys: dict[Any, Tensor], generator: Any
) -> None:
    """Compare the gradients of all inputs and parameters, from random gradients of the outputs."""
    leaves = {name: inputs[slot] for slot, name in names(inputs).items() if inputs[slot].requires_grad}
    leaves |= parameters
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
