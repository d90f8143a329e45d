"""check_gradients: compares a hand-written backward with numerical derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from graphdl.arguments import to_tensor
from graphdl.errors import GradientError, SettingError, listing
from graphdl.graph import Feed, Key
from graphdl.network import Network
from graphdl.operators import Operator
from graphdl.slots import is_optional

MOST_OUTPUTS = 8
"""For a tuple of outputs: how many elements are also tried as the only one that is used."""


def check_gradients(
    subject: Operator | Network,
    *example_inputs: Any,
    step: float = 1e-6,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> float:
    """Compare the backward of an operator, or of a whole network, with central differences in float64.

    For random upstream gradients g, every derivative of sum(g y) by an element of an input or a parameter is compared
    with (f(x + step) - f(x - step)) / (2 step). Integer inputs are not varied. If the output is a tuple, its first
    elements are also tried one by one as the only one that is used. All passes use the same random numbers and start
    with the same buffers, which are restored at the end.

    subject         an operator, or a network of dtype float64, whose recorded values are replaced
    example_inputs  the operator's inputs in order; for a network one dictionary {name: tensor}
    tolerance       the largest error allowed, relative to max(1, |expected|)

    Returns the largest relative error found. Raises GradientError if it exceeds `tolerance`, or if forward or backward
    wrote into an input, a parameter or an upstream gradient. Avoid inputs at kinks, such as 0 for ReLU. If an edge has
    a gradient factor other than 1, backward is not the derivative of forward, and the check fails.

    >>> from graphdl import Tanh
    >>> check_gradients(Tanh(), torch.randn(3, 4)) < 1e-8
    True
    """
    if isinstance(subject, Network):
        if len(example_inputs) != 1 or not isinstance(example_inputs[0], Mapping) or subject.dtype is not torch.float64:
            raise SettingError(
                "check_gradients of a network takes net.to(dtype=torch.float64) and one dictionary {input: tensor}."
            )
        net, given = subject, dict(example_inputs[0])
    else:
        net, given = _alone(subject, example_inputs, seed)
    inputs = {name: _varied(name, value) for name, value in given.items()}
    net.engine.prepare(inputs, net.outputs)  # creates the tensors if sizes were left out
    replay = _Replay(net)
    with torch.no_grad():
        try:
            return _check(replay, inputs, step, tolerance, torch.Generator().manual_seed(seed))
        finally:
            replay.rewind()


def _alone(operator: Operator, inputs: tuple[Any, ...], seed: int) -> tuple[Network, dict[Key, Any]]:
    """A network of one operator, and its inputs by name."""
    if not isinstance(operator, Operator):
        wrong = (
            f"the class {operator.__name__}: write {operator.__name__}(...)"
            if isinstance(operator, type)
            else repr(operator)
        )
        raise SettingError(f"check_gradients takes an operator or a network, not {wrong}.")
    kind, slots = type(operator).__name__, operator.slots
    least = 1 if slots is None else sum(not is_optional(slot) for slot in slots)
    if len(inputs) < least or (slots is not None and len(inputs) > len(slots)):
        expected = "one input or more" if slots is None else listing(slots) or "no input"
        raise SettingError(
            f"check_gradients takes an operator and an example of each of its inputs: {kind} takes "
            f"{expected}, and {len(inputs)} were given."
        )
    names: list[Key] = list(range(len(inputs)) if slots is None or len(slots) == 1 else map(str, slots[: len(inputs)]))
    connectivity: dict[Key, list[Key | Feed]] = {name: [Feed(kind, slot=k)] for k, name in enumerate(names)}
    net = Network({kind: operator}, connectivity, seed=seed, dtype=torch.float64)
    return net, dict(zip(names, inputs, strict=True))


def _varied(name: Key, value: Any) -> Tensor:
    """A copy of an example input, in double precision if it holds floating-point numbers; images with channels last."""
    return _arranged(to_tensor(value, f"The input {name!r}", torch.device("cpu"), torch.float64).detach().clone())


def _arranged(x: Tensor) -> Tensor:
    """Images with channels last, as convolutions of large batches return them: `view` fails where `reshape` works."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


class _Replay:
    """Passes of a network that all start with the same buffers and use the same random numbers."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self._buffers = {name: buffer.clone() for name, buffer in net.buffers.items()}
        self._chance = net.engine.chance.get_state()

    def forward(self, inputs: dict[Key, Tensor]) -> dict[Key, Any]:
        self.rewind()
        return self.net.forward(inputs)

    def rewind(self) -> None:
        self.net.buffers.update(self._buffers)
        self.net.engine.chance.set_state(self._chance)


def _check(
    replay: _Replay, inputs: dict[Key, Tensor], step: float, tolerance: float, generator: torch.Generator
) -> float:
    net = replay.net
    upstream = {key: _random_like(value, generator) for key, value in replay.forward(inputs).items()}
    for key, dys in upstream.items():
        if isinstance(dys, tuple):
            _check_unused(replay, inputs, key, dys)
    sent = _backward_untouched(replay, inputs, upstream)

    def total() -> float:
        outputs = replay.forward(inputs)
        return sum(_dot(outputs[key], upstream[key]) for key in outputs)

    worst = 0.0
    for name, tensor in inputs.items():
        if tensor.is_floating_point():
            gradient = sent.get(name, torch.zeros_like(tensor))
            worst = max(worst, _compare(f"the input {name!r}", tensor, gradient, total, step, tolerance))
    gradients: Mapping[str, Tensor] = dict(net.gradients)
    for name, gradient in gradients.items():
        worst = max(worst, _compare(name, net.parameters[name], gradient, total, step, tolerance))
    return worst


def _backward_untouched(replay: _Replay, inputs: dict[Key, Tensor], upstream: dict[Key, Any]) -> dict[Key, Tensor]:
    """Run forward and backward. Raises GradientError if they write into their arguments."""
    given = [
        *((f"the input {name!r}", tensor) for name, tensor in inputs.items()),
        *replay.net.parameters.items(),
        *((f"the gradient dy of {key!r}", dy) for key, dys in upstream.items() for dy in _elements(dys)),
    ]
    before = [tensor.clone() for _, tensor in given]
    replay.forward(inputs)
    sent = replay.net.backward(upstream)
    for (name, tensor), held in zip(given, before, strict=True):
        if not torch.equal(tensor, held):
            raise GradientError(
                f"forward or backward wrote into {name}, which does not belong to the operator: write "
                "into a new tensor."
            )
    return sent


def _check_unused(replay: _Replay, inputs: dict[Key, Tensor], key: Key, dys: tuple[Tensor, ...]) -> None:
    """Raise GradientError if None for an output that nothing used gives other gradients than zeros."""
    for k in range(min(len(dys), MOST_OUTPUTS)):
        found: list[dict[str, Tensor]] = []
        for unused in (None, 0.0):
            replay.forward(inputs)
            dy = tuple(dys[j] if j == k else None if unused is None else dys[j] * 0 for j in range(len(dys)))
            sent = replay.net.backward({key: dy})
            found.append({f"the input {name!r}": dx for name, dx in sent.items()} | dict(replay.net.gradients))
        for name, expected in found[1].items():
            if not torch.allclose(found[0].get(name, torch.zeros_like(expected)), expected, rtol=1e-9, atol=1e-12):
                raise GradientError(
                    f"If only output {k} of {key!r} is used, dy is None for the others. The gradient of {name} then "
                    "differs from the one with zeros in place of None."
                )


def _compare(
    name: str, tensor: Tensor, gradient: Tensor, total: Callable[[], float], step: float, tolerance: float
) -> float:
    """The largest error of one gradient, element by element."""
    if gradient.shape != tensor.shape:
        raise GradientError(
            f"The gradient of {name} has the shape {tuple(gradient.shape)}; {name} has {tuple(tensor.shape)}."
        )
    worst = 0.0
    for at in product(*map(range, tensor.shape)):
        held = tensor[at].item()
        tensor[at] = held + step
        above = total()
        tensor[at] = held - step
        below = total()
        tensor[at] = held
        expected, found = (above - below) / (2 * step), gradient[at].item()
        error = abs(found - expected) / max(1.0, abs(expected))
        if not error <= tolerance:
            raise GradientError(
                f"The gradient of {name} at {list(at)} is {found:.8g}, and the difference quotient is {expected:.8g}: "
                "backward is not the derivative of forward, or the value is at a kink."
            )
        worst = max(worst, error)
    return worst


def _elements(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _random_like(value: Any, generator: torch.Generator) -> Any:
    if isinstance(value, tuple):
        return tuple(_random_like(element, generator) for element in value)
    drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64, device="cpu")
    return _arranged(drawn).to(value.device)


def _dot(value: Any, gradient: Any) -> float:
    return sum(float((a * b).sum()) for a, b in zip(_elements(value), _elements(gradient), strict=True))
