"""Whether two ways of making a step agree, within bounds that leave room for rounding alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Bounds(NamedTuple):
    """The errors that are allowed.

    values     in losses, values and buffers, relative to a tensor's largest number
    gradients  in a gradient, relative to its largest number, and a tenth of it relative to the largest number of all
               gradients, and four roundings of the largest value: a gradient that vanishes, such as that of a bias
               before a batch normalization, is rounding alone
    """

    values: float
    gradients: float


ROUNDING = {torch.float32: Bounds(2e-5, 1e-4), torch.float64: Bounds(1e-10, 1e-9)}
"""What rounding may do, by the type in which a network computes."""

MOST = 0.2
"""The largest relative error that is ever allowed."""


@dataclass
class Outcome:
    """What a step has computed.

    values      losses and predictions, by a name for the text of an error
    state       the optimizer's, by such a name
    buffers     the network's
    gradients   of the parameters by name, as the update saw them
    parameters  by name, after the update
    """

    values: Mapping[str, Tensor]
    state: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]


def disagreement(found: Outcome, expected: Outcome, before: Mapping[str, Tensor], bounds: Bounds) -> str:
    """The first thing in which two outcomes disagree, "" if they agree.

    before  the parameters before the update
    """
    rounding = bounds.values
    for name, value in expected.values.items():
        if not _close(found.values[name], value, _scale(value) * rounding if value.is_floating_point() else 0.0):
            return name
    for name, value in expected.state.items():  # made of gradients, or of their squares
        if not _close(found.state[name], value, _scale(value) * 3 * bounds.gradients + _floor(expected)):
            return name
    largest = max((_scale(value) for value in expected.buffers.values() if value.is_floating_point()), default=0.0)
    for name, value in expected.buffers.items():  # a running mean of what is normalized already is rounding alone
        allowed = (_scale(value) + largest / 10) * rounding if value.is_floating_point() else 0.0
        if not _close(found.buffers[name], value, allowed):
            return f"the buffer {name}"
    return _wrong_gradient(found, expected, before, bounds)


def _wrong_gradient(found: Outcome, expected: Outcome, before: Mapping[str, Tensor], bounds: Bounds) -> str:
    """The first gradient, or parameter, in which two outcomes disagree.

    An update may depend on the sign of a gradient alone, as Adam's first one does. So the error allowed in a parameter
    is its change times the relative error allowed in its gradient; where that gradient is rounding alone, the change of
    this parameter may be anything that happens to others.
    """
    names = list(expected.gradients)
    sizes = torch.tensor([expected.gradients[name].numel() for name in names], dtype=torch.long)
    part = torch.arange(len(names)).repeat_interleave(sizes)
    if not part.numel():
        return ""
    old, gradient, parameter, found_gradient, found_parameter = (
        torch.cat([named[name].reshape(-1) for name in names])
        for named in (before, expected.gradients, expected.parameters, found.gradients, found.parameters)
    )
    size, change = gradient.abs(), (parameter - old).abs()
    of_gradient, of_change, of_parameter = _scales(torch.stack([size, change, parameter]), part)
    noise = bounds.gradients * of_gradient + bounds.gradients / 10 * of_gradient.max() + _floor(expected)
    allowed = torch.where(size > noise, change * (noise / size), 2 * of_change.max()) + of_parameter * bounds.values
    for what, one, other, error in (
        ("gradient of", found_gradient, gradient, noise),
        ("parameter", found_parameter, parameter, allowed),
    ):
        beyond = ((one - other).abs() <= error).logical_not_()
        if beyond.any() and (wrong := beyond & ~_equal(one, other)).any():
            return f"the {what} {names[part[wrong.int().argmax()]]}"
    return ""


def _scales(vectors: Tensor, part: Tensor) -> Tensor:
    """For each number of some vectors, the largest finite one, without its sign, of the part to which it belongs."""
    sizes, where = vectors.nan_to_num(0.0, 0.0, 0.0).abs_(), part.expand_as(vectors)
    return torch.zeros_like(vectors).scatter_reduce_(1, where, sizes, "amax").gather(1, where)


def widened(bounds: Bounds, moved: Sequence[Outcome], expected: Outcome) -> Bounds:
    """The bounds, as wide as twice what a step does whose parameters were moved by no more than their rounding.

    A network may carry rounding far: where a value before a ReLU is almost 0, it decides whether a gradient passes.
    """
    values = max(_error(a.values[name], b, 0.0) for a in moved for name, b in expected.values.items())
    largest = max((_scale(gradient) for gradient in expected.gradients.values()), default=0.0)
    gradients = [_error(a.gradients[name], b, largest / 10) for a in moved for name, b in expected.gradients.items()]
    found = (
        max(allowed, 2 * each) for allowed, each in zip(bounds, (values, max(gradients, default=0.0)), strict=True)
    )
    return Bounds(*(min(each, MOST) for each in found))


def _floor(expected: Outcome) -> float:
    """What rounding does to a gradient that vanishes: some roundings of the largest value."""
    values = [value for value in expected.values.values() if value.is_floating_point()]
    eps = max((torch.finfo(gradient.dtype).eps for gradient in expected.gradients.values()), default=0.0)
    return 4 * eps * max(map(_scale, values), default=0.0)


def _error(found: Tensor, expected: Tensor, more: float) -> float:
    """The largest difference, relative to the largest number and some more."""
    return _scale(found.double() - expected.double()) / max(_scale(expected) + more, 1e-300)


def _scale(tensor: Tensor) -> float:
    """The largest finite number of a tensor, without its sign."""
    if not tensor.numel():
        return 0.0
    if tensor.is_floating_point():
        largest = float(torch.linalg.vector_norm(tensor, math.inf))
        if math.isfinite(largest):
            return largest
    return float(tensor.double().abs().nan_to_num(0.0, 0.0, 0.0).max())


def _close(found: Tensor, expected: Tensor, allowed: float | Tensor) -> bool:
    """Whether numbers differ by no more than what is allowed; what is not finite must be the same."""
    if found.shape == expected.shape and found.is_floating_point() and ((found - expected).abs() <= allowed).all():
        return True
    a, b = found.double(), expected.double()
    return a.shape == b.shape and bool((_equal(a, b) | ((a - b).abs() <= allowed)).all())


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape hold the same numbers; nan equals nan."""
    return bool(_equal(one, other).all())


def _equal(one: Tensor, other: Tensor) -> Tensor:
    return (one == other) | ((one != one) & (other != other))
