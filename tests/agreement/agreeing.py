"""Whether two trainings agree, within bounds; and what rounding alone can do to a network."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tests.agreement.reference import Result

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
"""The error allowed relative to the largest number of a tensor, or to a thousandth of that of all parameters: what
trains by a gradient that vanishes, such as a bias before a batch normalization, holds rounding alone."""

NOISES = 4
"""References with other roundings, where a way disagrees."""

CHAOS = 1e-2
"""Relative error by rounding alone from which a network says nothing."""


def errors(found: Result, expected: Result) -> dict[str, tuple[float, float]]:
    """What -> (its error, its scale). An error is infinite where shapes, types or names differ."""
    compared: dict[str, tuple[float, float]] = {}
    for steps, state in found.states.items():
        whole = max((scale_of(each) for name, each in expected.states[steps].items()), default=0.0)
        if state.keys() != expected.states[steps].keys():
            compared[f"names after {steps} steps"] = math.inf, 1.0
        for name, tensor in state.items():
            other = expected.states[steps].get(name)
            if other is not None:
                compared[f"{name} after {steps} steps"] = error_of(tensor, other), max(scale_of(other), whole / 1e3)
    scale = max((abs(loss) for loss in expected.losses.values()), default=0.0)
    for name, loss in found.losses.items():
        compared[f"loss of {name}"] = distance(loss, expected.losses[name]), scale
    return compared


def distance(a: float, b: float) -> float:
    return abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf


def scale_of(tensor: Tensor) -> float:
    return float(tensor.double().abs().max()) if tensor.is_floating_point() and tensor.numel() else 0.0


def error_of(tensor: Tensor, other: Tensor) -> float:
    if tensor.shape != other.shape or tensor.dtype != other.dtype or not torch.isfinite(tensor).all():
        return math.inf
    if not tensor.is_floating_point():
        return 0.0 if torch.equal(tensor, other) else math.inf
    return float((tensor.double() - other.double()).abs().max()) if tensor.numel() else 0.0


def disagreement(
    found: Result, expected: Result, dtype: torch.dtype, noisy: Callable[[int], Result]
) -> tuple[str, str]:
    """(verdict, what differs most): the verdict is "agreed", "ill-conditioned", "chaotic" or "disagreed".

    noisy  the reference with other roundings, by a seed: called only where the bounds do not hold. Ten times what they
           change is allowed then
    """
    bound, compared = BOUNDS[dtype], errors(found, expected)
    over = {name: pair for name, pair in compared.items() if not pair[0] <= bound * pair[1]}
    if not over:
        return "agreed", ""
    moved = [errors(noisy(seed), expected) for seed in range(NOISES)]
    rounding = {name: max(each[name][0] for each in moved if name in each) for name in over if name in moved[0]}
    if any(rounding.get(name, 0.0) > CHAOS * scale for name, (_, scale) in over.items()):
        return "chaotic", next(iter(over))
    wrong = {n: (e, s) for n, (e, s) in over.items() if not e <= bound * s + 10 * rounding.get(n, 0.0)}
    shown = sorted((wrong or over).items(), key=lambda item: -item[1][0] / (item[1][1] or 1e-300))[:4]
    text = "; ".join(f"{n}: {e:.1e} of {s:.1e} (rounding {rounding.get(n, 0.0):.0e})" for n, (e, s) in shown)
    return ("disagreed" if wrong else "ill-conditioned"), text
