"""Whether two ways of making a step agree, within bounds that leave room for rounding alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

VALUES = {torch.float32: 2e-5, torch.float64: 1e-10}
"""The error allowed in losses, values, buffers and the optimizer's state, relative to a tensor's largest number."""

GRADIENTS = {torch.float32: 1e-4, torch.float64: 1e-9}
"""The error allowed in a gradient, relative to its largest number, and a tenth of it relative to the largest number of
all gradients: a gradient that vanishes, such as that of a bias before a batch normalization, is rounding alone."""


@dataclass
class Outcome:
    """What a step has computed.

    values      losses, predictions and the optimizer's state, by a name for the text of an error
    buffers     the network's
    gradients   of the parameters by name, as the update saw them
    parameters  by name, after the update
    """

    values: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]


def disagreement(found: Outcome, expected: Outcome, before: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    """The first thing in which two outcomes disagree, "" if they agree.

    before  the parameters before the update
    dtype   in which the network computes
    """
    rounding = VALUES[dtype]
    for name, value in expected.values.items():
        if not _close(found.values[name], value, _scale(value) * rounding if value.is_floating_point() else 0.0):
            return name
    largest = max((_scale(value) for value in expected.buffers.values() if value.is_floating_point()), default=0.0)
    for name, value in expected.buffers.items():  # a running mean of what is normalized already is rounding alone
        allowed = (_scale(value) + largest / 10) * rounding if value.is_floating_point() else 0.0
        if not _close(found.buffers[name], value, allowed):
            return f"the buffer {name}"
    return _wrong_gradient(found, expected, before, dtype)


def _wrong_gradient(found: Outcome, expected: Outcome, before: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    """The first gradient, or parameter, in which two outcomes disagree.

    An update may depend on the sign of a gradient alone, as Adam's first one does. So the error allowed in a parameter
    is its change times the relative error allowed in its gradient; where that gradient is rounding alone, as much as
    this rounding may change a parameter elsewhere.
    """
    bound, rounding = GRADIENTS[dtype], VALUES[dtype]
    largest = max((_scale(gradient) for gradient in expected.gradients.values()), default=0.0)
    noise = {name: bound * (_scale(g) + largest / 10) for name, g in expected.gradients.items()}
    change = {name: (expected.parameters[name] - before[name]).abs() for name in noise}
    steepest = max((_steepest(change[name], g, noise[name]) for name, g in expected.gradients.items()), default=0.0)
    for name, gradient in expected.gradients.items():
        if not _close(found.gradients[name], gradient, noise[name]):
            return f"the gradient of {name}"
        size, after = gradient.abs(), expected.parameters[name]
        unsure = (2 * change[name]).clamp(min=2 * noise[name] * steepest)
        allowed = torch.where(size > noise[name], change[name] * (noise[name] / size), unsure)
        if not _close(found.parameters[name], after, allowed + _scale(after) * rounding):
            return f"the parameter {name}"
    return ""


def _steepest(change: Tensor, gradient: Tensor, noise: float) -> float:
    """The largest change for a unit of the gradient, where that is more than noise."""
    sure = gradient.abs() > noise
    return _scale(change[sure] / gradient[sure])


def _scale(tensor: Tensor) -> float:
    """The largest finite number of a tensor, without its sign."""
    if not tensor.numel():
        return 0.0
    return float(tensor.double().abs().nan_to_num(0.0, 0.0, 0.0).max())


def _close(found: Tensor, expected: Tensor, allowed: float | Tensor) -> bool:
    """Whether numbers differ by no more than what is allowed; what is not finite must be the same."""
    a, b = found.double(), expected.double()
    same = (a == b) | ((a != a) & (b != b))
    return a.shape == b.shape and bool((same | ((a - b).abs() <= allowed)).all())
