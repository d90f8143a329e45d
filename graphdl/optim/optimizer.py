"""The contract of an optimizer, frozen settings, and its stepper, which holds the state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, SettingError
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim.moves import Moves, State


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

        g is the gradient, which it must not change; t, a single number on the device, counts the steps from 1.
        """

    def rule(self, w: Tensor, g: Tensor, state: State, t: Tensor) -> tuple[Tensor, State]:
        """The same as a formula of torch's functions: return the next parameters and state, and change nothing.

        From it a training step is compiled. An optimizer without it trains step by step.
        """
        raise TypeError(f"{type(self).__name__} has no formula beside its update.")

    @property
    def formula(self) -> Callable[[Tensor, Tensor, State, Tensor], tuple[Tensor, State]] | None:
        """`rule`, or None where there is none: a subclass that changes `update` or `state` needs a rule of its own."""
        for kind in type(self).__mro__:
            if kind is not Optimizer and "rule" in vars(kind):
                return self.rule
            if "update" in vars(kind) or "state" in vars(kind):
                break
        return None

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
        self._state: State | None = None
        self._bound: tuple[int, frozenset[Key]] | None = None

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
        engine, reached = self.net.engine, self.net.reached
        if self._bound != (engine.version, reached):
            self._moves, self._bound = self.moves(reached), (engine.version, reached)
        with torch.no_grad():
            self.count_step()
            self._moves([self.net.gradients[extent.full_name] for extent in self._moves.extents])

    def count_step(self) -> None:
        """Count a step, before its moves."""
        self._count += self._one

    @torch.inference_mode(False)
    @torch.no_grad()
    def moves(self, nodes: Iterable[Key], together: Collection[Key] = ()) -> Moves:
        """The calls that move the parameters of these nodes; those `together` are gathered even if they are large."""
        state, count = self.memory()
        return Moves(self.optimizer.update, self.net.engine.store, state, count, nodes, together)

    @torch.inference_mode(False)
    @torch.no_grad()
    def memory(self) -> tuple[State, Tensor]:
        """The vectors that the rule keeps, as long as the network's own, and the count of steps; made if need be."""
        flat = self.net.engine.store.flat
        state = self.optimizer.state(flat) if self._state is None else self._state
        self._state = tuple(vector.to(flat.device, flat.dtype) for vector in state)
        self._count, self._one = self._count.to(flat.device), self._one.to(flat.device)
        return self._state, self._count
