"""The contract of an optimizer, frozen settings, and its stepper, which holds the state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, OperatorError, SettingError
from graphdl.execution.parameters import Extent
from graphdl.graph import Key
from graphdl.network import Network

State: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True)
class Optimizer(ABC):
    """An update rule. It works on vectors: all the parameters that train, one after another.

    lr  the learning rate, 0 or more
    """

    lr: float = 1e-3

    def __post_init__(self) -> None:
        self.check("lr", self.lr, 0, math.inf)

    def check(self, name: str, value: float, low: float, high: float) -> None:
        """Refuse a setting outside [low, high)."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < high:
            raise SettingError(f"{type(self).__name__}: {name} is a number in [{low:g}, {high:g}), not {value!r}")

    @abstractmethod
    def state(self, w: Tensor) -> State:
        """The vectors that the rule keeps from step to step, before the first one."""

    @abstractmethod
    def update(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> None:
        """Change the parameters w and the state in place.

        g is the gradient and may be overwritten; t, a single number on the device, counts the steps from 1.
        """

    def bind(self, net: Network) -> Stepper:
        """The optimizer at work on a network."""
        return Stepper(self, net)


class Stepper:
    """An optimizer at work on a network: forward, backward, step.

    A parameter moves if it is not frozen and the last backward pass reached it.

    >>> from graphdl import Linear, MSELoss, Network
    >>> from graphdl.optim import SGD
    >>> net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    >>> stepper = SGD(lr=0.1).bind(net)
    >>> for _ in range(3):
    ...     loss = net.forward({"x": torch.ones(4, 2), "y": torch.ones(4, 1)})["loss"]
    ...     _ = net.backward()
    ...     stepper.step()
    >>> stepper.steps
    3
    """

    def __init__(self, optimizer: Optimizer, net: Network) -> None:
        self.optimizer, self.net = optimizer, net
        self._count, self._one = torch.zeros(()), torch.ones(())
        self._bound: tuple[int, frozenset[Key]] | None = None
        self._checked = False
        self._state: State | None = None

    def __repr__(self) -> str:
        return f"Stepper({self.optimizer}, {self.steps} steps)"

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return int(self._count)

    def step(self) -> None:
        """Move the parameters by the gradients in `net.gradients`."""
        if not self.net.gradients:
            raise MissingInputError("step has no gradients: call net.forward(inputs) and net.backward() first.")
        moving = self.moving(self.net.reached)
        with torch.no_grad():
            self.apply(self.net.reached, [self.net.gradients[extent.full_name] for extent in moving])

    def moving(self, owners: frozenset[Key]) -> Sequence[Extent]:
        """The parameters of these nodes that train, in the order in which `apply` takes their gradients."""
        if self._bound != (self.net.engine.version, owners):
            self._bind(owners)
        return self._moving

    def apply(self, owners: frozenset[Key], gradients: list[Tensor]) -> None:
        """Move the parameters of these nodes by gradients in the order of `moving`."""
        moving = self.moving(owners)
        if not self._checked:
            _check_shapes(moving, gradients)
            self._checked = True
        self._count += self._one
        if gradients:
            torch._foreach_copy_(self._gradient_views, gradients)
        for w, g, state in self._parts:
            self.optimizer.update(w, g, state, self._count)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _bind(self, owners: frozenset[Key]) -> None:
        """Lay out the gradient as the parameters are, and take the parts of both that train."""
        engine = self.net.engine
        flat = engine.store.flat
        if self._state is None:
            self._state = self.optimizer.state(flat)
        self._state = tuple(vector.to(flat.device, flat.dtype) for vector in self._state)
        self._count, self._one = self._count.to(flat.device), self._one.to(flat.device)
        gradient = torch.zeros_like(flat)
        self._moving = [extent for extent in engine.trainable if extent.node in owners]
        self._gradient_views = [extent.view(gradient) for extent in self._moving]
        self._parts = [
            (flat[part], gradient[part], tuple(vector[part] for vector in self._state))
            for part in engine.store.ranges({extent.node for extent in self._moving})
        ]
        self._bound, self._checked = (engine.version, owners), False


def _check_shapes(moving: Sequence[Extent], gradients: list[Tensor]) -> None:
    """Refuse gradients that are not shaped like their parameters; torch would stretch some of them."""
    for extent, gradient in zip(moving, gradients, strict=True):
        if gradient.shape != extent.shape:
            raise OperatorError(
                f"{extent.node}: the gradient of the parameter {extent.name!r} has the shape {tuple(gradient.shape)}, "
                f"and the parameter {tuple(extent.shape)}. Its backward is wrong: see graphdl.check_gradients."
            )
