"""Advice on probable mistakes in the settings, the formula and the loop of an optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from graphdl.errors import (
    GraphDLWarning,
    MissingInputError,
    OperatorError,
    SettingError,
    UnknownAttributeError,
    did_you_mean,
    level_outside,
)
from graphdl.execution.small import advise_on_threads
from graphdl.registry import defined_outside

if TYPE_CHECKING:
    from graphdl.execution.engine import Engine
    from graphdl.optim.numbers import Variant
    from graphdl.optim.optimizer import Optimizer

LONG_LOOP = 100
"""The step of a custom loop at which the number of threads is looked at."""

USUAL = 0.95
"""The largest value that beta1 usually has."""

BOUND = "An optimizer is settings: stepper = optimizer.bind(net) returns what {0}"
RATE = "stepper.scale multiplies the learning rate, and a schedule such as Adam(lr=Cosine(1e-3, steps=1000)) changes it"

OF_OPTIMIZERS = {
    "step": BOUND.format("has step()"),
    "zero_grad": "Nothing needs to be set to zero: net.backward() replaces net.gradients",
    "param_groups": 'Settings for some parameters are nodes={"*.bias": {"lr": 1e-4}}',
    "state_dict": BOUND.format("has state_dict()"),
    "load_state_dict": BOUND.format("has load_state_dict()"),
}
OF_STEPPERS = {name: OF_OPTIMIZERS[name] for name in ("zero_grad", "param_groups")} | {"lr": RATE}
"""An attribute of an optimizer of torch -> what to use instead."""


def refuse_habit(owner: object, name: str, instead: dict[str, str]) -> NoReturn:
    """Raise UnknownAttributeError, with advice for what optimizers of torch have."""
    kind = type(owner).__name__
    if name in instead:
        raise UnknownAttributeError(f"{kind} has no {name!r}, unlike an optimizer of torch. {instead[name]}.")
    public = [each for each in dir(owner) if not each.startswith("_")]
    raise UnknownAttributeError(f"{kind} has no {name!r}.{did_you_mean(name, public)}")


def refuse_parameters(kind: str, args: Sequence[Any], settings: Mapping[str, Any]) -> None:
    """Raise SettingError for tensors, or a network, in place of settings."""
    first = args[0] if args else settings.get("params")
    several = isinstance(first, Iterable) and not isinstance(first, (str, Tensor))
    if several or hasattr(first, "parameters") or (isinstance(first, Tensor) and first.dim()):
        raise SettingError(
            f"{kind} was given an instance of {type(first).__name__}, and takes settings alone, not parameters as in "
            f"torch: fit(net, inputs, targets, optimizer={kind}(lr=1e-3), epochs=10, batch_size=50) trains a network, "
            f"and stepper = {kind}(lr=1e-3).bind(net) is for a custom loop."
        )


def advise_on_settings(optimizer: Optimizer) -> None:
    """Issue a GraphDLWarning for numbers that are allowed and usually mistakes."""
    kind = type(optimizer).__name__
    settings = vars(optimizer)  # getattr would look for advice about settings that it does not have
    betas: Any = settings.get("betas")
    pair = isinstance(betas, tuple) and len(betas) == 2 and all(isinstance(each, (int, float)) for each in betas)
    if pair and betas[0] > max(betas[1], USUAL):
        _warn(f"{kind}: betas are {betas}, and beta1 is usually the smaller one, as in (0.9, 0.999): are they swapped?")
    momentum: Any = settings.get("momentum", 0)
    if isinstance(momentum, (int, float)) and momentum >= 1:
        _warn(f"{kind}: momentum is {momentum}, and steps grow without end unless it is below 1, such as 0.9.")


@torch.inference_mode(False)
@torch.no_grad()
def check_formula(variant: Variant) -> None:
    """Raise OperatorError for a custom formula that returns the step in place of the next parameters.

    The next parameters move with the parameters; the step does not, but for a weight decay.
    """
    optimizer = variant.optimizer
    if not defined_outside(optimizer) or optimizer.joint:
        return
    w, found = torch.tensor([0.1, -0.2, 0.3, -0.4]), []
    g = torch.tensor([0.5, 0.25, -0.5, -0.25])
    try:
        variant.set(0, 1.0)
        for moved in (w, w + 1):
            state = tuple(optimizer.state(moved.clone()))
            found.append(optimizer.update(moved.clone(), g.clone(), state, variant.numbers)[0])
        change = (found[1] - found[0]).abs()
        idle = found[0].shape == w.shape and bool((change < 0.1).all())
    except Exception:  # a formula for other shapes; its real use explains what is wrong
        return
    if idle:
        raise OperatorError(
            f"{type(optimizer).__name__}: update returned the same for other parameters w, as a step does. It must "
            "return (next w, next state): write w - s.lr * g in place of s.lr * g."
        )


class LoopWatch:
    """Watches the order of calls in a custom loop.

    A step of it costs a comparison of two counts.
    """

    def __init__(self) -> None:
        self._passes = 0, 0

    def step(self, engine: Engine, made: int) -> None:
        """Called before each step. Raises MissingInputError or SettingError, or warns."""
        turn = engine.turn
        turn.go_on("stepper.step")
        forward, backward = self._passes
        if backward == turn.backward and forward != turn.forward:
            raise MissingInputError(
                "step was called again with the same gradients, and net.forward(inputs) has been called since: call "
                "net.backward() before each step."
            )
        self._passes = turn.forward, turn.backward
        if made == LONG_LOOP:
            advise_on_threads(engine)

    @staticmethod
    def bound(engine: Engine, keeps: int, kind: str) -> None:
        """Called when a stepper makes its first step: warn if each step is made by a new one."""
        if engine.turn.bind() == 3 and keeps:
            _warn(
                f"{kind}: each of the last 3 steps was made by a new stepper, so what the optimizer keeps from step to "
                "step, such as momentum, is lost. Call optimizer.bind(net) once, before the loop."
            )


def _warn(text: str) -> None:
    warnings.warn(text, GraphDLWarning, stacklevel=level_outside())
