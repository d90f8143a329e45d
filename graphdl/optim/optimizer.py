"""The contract of an optimizer: frozen settings, and one formula."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from graphdl.errors import SettingError
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim.numbers import Kernel, Numbers, State
from graphdl.optim.schedules import Schedule
from graphdl.optim.selection import Selection
from graphdl.optim.stepper import Stepper


@dataclass(frozen=True)
class Optimizer(ABC):
    """An update rule: frozen settings and one formula, `update`.

    lr     the learning rate, 0 or more: a number or a schedule
    nodes  {node or pattern: {setting: value}}: settings of some parameters that differ. A key is a node, for all its
           parameters, or a pattern with *, ? and [] for names of nodes, "conv*", or for full names, "*.bias",
           "fc1.weight". Where several keys fit, the later one wins.

    A custom optimizer is a subclass with `state` and `update`, and a frozen dataclass if it has settings. It works in
    every way a step is made, compiled as well:

    >>> @dataclass(frozen=True)
    ... class SignMomentum(Optimizer):
    ...     momentum: float = 0.9
    ...
    ...     def state(self, w):
    ...         return (torch.zeros_like(w),)
    ...
    ...     def update(self, w, g, state, s):
    ...         u = s.momentum * state[0] + (1 - s.momentum) * g
    ...         return w - s.lr * u.sign(), (u,)
    >>> SignMomentum(lr=0.01, nodes={"*.bias": {"lr": 0.02}}).momentum
    0.9

    elementwise  whether every element moves by itself, so that parameters may be joined in one vector. False if an
                 update mixes elements, such as the norm of a parameter: then w is one parameter in its own shape
    """

    lr: float | Schedule = 1e-3
    nodes: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)

    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.check("lr", self.lr, 0, math.inf)
        object.__setattr__(self, "nodes", Selection(self.nodes))
        self.selection.check(self)

    @property
    def selection(self) -> Selection:
        """`nodes`, to ask for the settings of a parameter."""
        return self.nodes if isinstance(self.nodes, Selection) else Selection(self.nodes)

    def check(self, name: str, value: object, low: float, high: float) -> None:
        """Refuse a setting that is neither a number in [low, high) nor a schedule that begins there."""
        owner = type(self).__name__
        if isinstance(value, Schedule):
            value = value.at(0)
        elif callable(value):
            raise SettingError(
                f"{owner}: {name} is a number or a schedule such as Cosine(5e-3, steps=1000), not {value!r}. Settings "
                "can be stored, and code cannot: derive a class from graphdl.optim.Schedule."
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < high:
            raise SettingError(f"{owner}: {name} is a number in [{low:g}, {high:g}), not {value!r}")

    @abstractmethod
    def state(self, w: Tensor) -> State:
        """The tensors that the rule keeps from step to step, before the first one: each of the shape of w."""

    @abstractmethod
    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """The formula: the next parameters and state, from w, the gradient g and the state. It changes nothing.

        w  a vector of any parameters that train, one after another
        s  the numbers of this step by name: s.lr and the other settings that are numbers, s.beta1 and s.beta2 for a
           pair `betas`; s.t counts the updates from 1

        s holds Python numbers, or tensors without axes where a step is compiled. So compute with s by + - * / and **,
        and branch on settings only: `if self.momentum:`, never `if s.momentum:`.
        """

    @property
    def kernel(self) -> Kernel | None:
        """A fused kernel for what `update` computes, in place; None for a subclass that changes `update` or `state`."""
        found: Kernel | None = getattr(self, "_kernel", None)
        order = [next((k for k, kind in enumerate(type(self).__mro__) if name in vars(kind)), -1) for name in _PARTS]
        return found if found is not None and order[0] <= min(order[1:]) else None

    def bind(self, net: Network) -> Stepper:
        """The optimizer at work on a network."""
        return Stepper(self, net)


_PARTS = "_kernel", "update", "state"
