"""How a drawn network is trained: the optimizer with its schedules and settings by node, clipping, accumulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import lr_scheduler

from graphdl import Conv2d, Linear
from graphdl.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Cosine,
    Exponential,
    NAdam,
    OneCycle,
    Optimizer,
    Polynomial,
    RAdam,
    RMSProp,
    Schedule,
    StepDecay,
    Warmup,
)

KINDS = {
    SGD: torch.optim.SGD, Adam: torch.optim.Adam, AdamW: torch.optim.AdamW, RMSProp: torch.optim.RMSprop,
    Adagrad: torch.optim.Adagrad, NAdam: torch.optim.NAdam, RAdam: torch.optim.RAdam,
}  # fmt: skip
"""Those of torch. Lion is left out: the sign of what may be rounding alone says nothing."""


@dataclass(frozen=True)
class Training:
    """Settings of training.

    gathering  clip_norm, clip_value and accumulate, as fit takes them
    large      elements from which a parameter moves by itself; None is graphdl's own number
    """

    optimizer: Optimizer = field(default_factory=lambda: SGD(lr=1e-2))
    gathering: dict[str, Any] = field(default_factory=dict)
    large: int | None = None


def draw_rate(rng, high: float) -> float | Schedule:
    """A learning rate: a number, or one of all schedules."""
    if rng.random() < 0.6:
        return high
    return rng.choice(
        [
            Cosine(high, steps=rng.randint(3, 12), low=high / 10),
            StepDecay(high, every=rng.randint(1, 4), factor=0.5),
            Exponential(high, factor=0.9),
            Polynomial(high, steps=rng.randint(3, 12), power=rng.choice([1.0, 2.0])),
            Warmup(high, steps=rng.randint(1, 6)),
            Warmup(high, steps=rng.randint(1, 6), start=0.0, then=Exponential(high, factor=0.8)),
            OneCycle(high, steps=12, shape=rng.choice(["cosine", "linear"])),
        ]
    )


def draw_optimizer(rng, drawn: Any) -> Optimizer:
    """An optimizer, in float32 without a division by what may be rounding alone."""
    high = rng.choice([1e-3, 1e-2, 3e-2])
    decay = rng.choice([0.0, 0.0, 0.1])
    kind = rng.choice([SGD, *KINDS])
    if kind is SGD:
        momentum = rng.choice([0.0, 0.9])
        nesterov = bool(momentum) and rng.random() < 0.4
        return SGD(lr=draw_rate(rng, high), momentum=momentum, weight_decay=decay, nesterov=nesterov)
    eps = 1e-2 if drawn.dtype is torch.float32 else rng.choice([1e-8, 1e-6, 1e-3])
    if kind is RMSProp:
        momentum = rng.choice([0.0, 0.5])
        return RMSProp(lr=draw_rate(rng, high), alpha=0.9, eps=eps, weight_decay=decay, momentum=momentum)
    if kind is Adagrad:
        return Adagrad(lr=draw_rate(rng, high), lr_decay=rng.choice([0.0, 0.1]), eps=eps, weight_decay=decay)
    return kind(lr=draw_rate(rng, high), betas=rng.choice([(0.9, 0.999), (0.5, 0.9)]), eps=eps, weight_decay=decay)


def draw_training(rng, drawn: Any) -> Training:
    optimizer, nodes, gathering = draw_optimizer(rng, drawn), {}, {}
    trained = [key for key, each in drawn.operators.items() if isinstance(each, (Linear, Conv2d)) and each.bias is True]
    if trained and rng.random() < 0.2:
        nodes["*.bias"] = {"weight_decay": 0.3}
    if trained and rng.random() < 0.2:
        nodes[rng.choice(trained)] = {"lr": draw_rate(rng, 5e-3)}
    if nodes:
        optimizer = replace(optimizer, nodes=nodes)
    if rng.random() < 0.3:
        options = {"clip_norm": rng.choice([0.1, 1.0, 100.0]), "clip_value": rng.choice([0.01, 0.5]), "accumulate": 1}
        options["accumulate"] = rng.choice([2, 3])
        gathering = {name: options[name] for name in rng.sample(list(options), rng.randint(1, 2))}
    return Training(optimizer, gathering, rng.choice([None, None, None, 4, 64]))


def torch_schedule(schedule: Schedule, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    """torch's scheduler that does the same."""
    match schedule:
        case Cosine(_, steps, low):
            return lr_scheduler.CosineAnnealingLR(optimizer, steps, low)
        case StepDecay(_, every, factor):
            return lr_scheduler.StepLR(optimizer, every, factor)
        case Exponential(_, factor):
            return lr_scheduler.ExponentialLR(optimizer, factor)
        case Polynomial(_, steps, power, 0.0):
            return lr_scheduler.PolynomialLR(optimizer, steps, power)
        case OneCycle(peak, steps, rise, None, None, shape):
            how = {"cosine": "cos", "linear": "linear"}[shape]
            return lr_scheduler.OneCycleLR(
                optimizer, peak, steps, pct_start=rise, anneal_strategy=how, cycle_momentum=False
            )
        case Warmup(_, steps, then, start):  # torch's LinearLR refuses a start of 0
            rising = lambda step: start + (1 - start) * step / steps  # noqa: E731
            factor = 1.0 if then is None else then.factor
            return lr_scheduler.LambdaLR(optimizer, lambda k: rising(k) if k < steps else factor ** (k - steps))
    raise AssertionError(f"torch has no scheduler for {schedule}")


class Twin:
    """torch.optim on the parameters of a network, with the settings of an optimizer of graphdl."""

    def __init__(self, training: Training, leaves: Mapping[str, Tensor], nodes: Mapping[str, Any]) -> None:
        """nodes: name of a parameter -> its node."""
        self._gathering = {"clip_norm": None, "clip_value": None, "accumulate": 1, **training.gathering}
        self._leaves = dict(leaves)
        self._optimizers: list[torch.optim.Optimizer] = []
        self._schedulers: list[lr_scheduler.LRScheduler] = []
        self._sums: dict[str, Tensor | None] = {}
        self._pending = 0
        for name, leaf in leaves.items():
            self._bind(training.optimizer, name, leaf, nodes[name])

    def _bind(self, optimizer: Optimizer, name: str, leaf: Tensor, node: Any) -> None:
        settings = {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if f.name != "nodes"}
        for key, changes in optimizer.nodes.items():
            if key == node or (isinstance(key, str) and "*" in key and fnmatchcase(name, key)):
                settings |= changes
        rate = settings.pop("lr")
        start = rate.high if hasattr(rate, "high") else rate.peak if hasattr(rate, "peak") else rate
        made = KINDS[type(optimizer)]([leaf], lr=start, **settings)
        self._optimizers.append(made)
        if isinstance(rate, Schedule):
            self._schedulers.append(torch_schedule(rate, made))

    def take(self, gradients: Mapping[str, Tensor | None]) -> None:
        """Take the gradients of a batch, and make an update if there are enough of them."""
        for name, gradient in gradients.items():
            held = self._sums.get(name)
            self._sums[name] = gradient if held is None or gradient is None else held + gradient
        self._pending += 1
        if self._pending == self._gathering["accumulate"]:
            self.finish()

    def finish(self) -> None:
        """Make an update by the mean of the gradients of the batches since the last one."""
        if not self._pending:
            return
        for name, leaf in self._leaves.items():
            total = self._sums[name]
            leaf.grad = None if total is None else total / self._pending
        self._sums, self._pending = {}, 0
        if self._gathering["clip_value"] is not None:
            clip_grad_value_(self._leaves.values(), self._gathering["clip_value"])
        if self._gathering["clip_norm"] is not None:
            clip_grad_norm_(self._leaves.values(), self._gathering["clip_norm"])
        with patch("torch.optim.nadam._get_scalar_dtype", lambda: torch.float64):  # of the product of its momenta
            for each in (*self._optimizers, *self._schedulers):
                each.step()
