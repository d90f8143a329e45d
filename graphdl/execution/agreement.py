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

    values      losses, values, buffers and the optimizer's state, by a name for the text of an error
    gradients   of the parameters by name, as the update saw them
    parameters  by name, after the update
    """

    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]


def disagreement(found: Outcome, expected: Outcome, before: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    """The first thing in which two outcomes disagree, "" if they agree.

    dtype   in which the network computes
    before  the parameters before the update. An update may depend on the sign of a gradient alone, as Adam's first one
            does: so the error allowed in a parameter is its change times the relative error allowed in its gradient
    """
    bound, rounding = GRADIENTS[dtype], VALUES[dtype]
    for name, value in expected.values.items():
        if not _close(found.values[name], value, _scale(value) * rounding if value.is_floating_point() else 0.0):
            return name
    largest = max((_scale(gradient) for gradient in expected.gradients.values()), default=0.0)
    for name, gradient in expected.gradients.items():
        noise = bound * _scale(gradient) + bound / 10 * largest
        if not _close(found.gradients[name], gradient, noise):
            return f"the gradient of {name}"
        after = expected.parameters[name]
        share = (noise / gradient.abs()).nan_to_num(2.0).clamp(max=2.0)
        allowed = (after - before[name]).abs() * share + _scale(after) * rounding
        if not _close(found.parameters[name], after, allowed):
            return f"the parameter {name}"
    return ""


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
