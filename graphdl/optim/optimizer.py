"""The contract of an optimizer: frozen settings, and one formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from torch import Tensor

from graphdl.errors import SettingError
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim.advice import OF_OPTIMIZERS, advise_on_settings, refuse_habit, refuse_parameters
from graphdl.optim.joint import JointStepper
from graphdl.optim.numbers import Kernel, Numbers, State
from graphdl.optim.schedules import Schedule, number_or_schedule
from graphdl.optim.selection import Selection
from graphdl.optim.stepper import Stepper
from graphdl.settings import Settings, setting


@dataclass(frozen=True)
class Optimizer(Settings, ABC):
    """An update rule: frozen settings and one formula, `update`.

    lr     the learning rate, 0 or more: a number or a schedule
    nodes  {node or pattern: {setting: value}}: other settings for some parameters. A key is a node, for all its
           parameters, or a pattern with *, ? and [] that matches names of nodes, such as "conv*", or full names of
           parameters, such as "*.bias". If several keys match, the later one wins.

    A custom optimizer is a subclass with `state` and `update`, and a frozen dataclass if it has settings. It works with
    every way of making a step, including compile=True:

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

    elementwise  whether each element is updated independently, so that parameters may be joined in one vector. Set it
                 to False if an update mixes elements, for example by a norm: w is then one parameter in its shape
    joint        whether an update couples all parameters: w is then one vector of all that are trained, the state may
                 have any shapes, and all parameters have the same settings
    """

    lr: float | Schedule = setting(number_or_schedule(), default=1e-3)
    nodes: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict, kw_only=True)

    elementwise: ClassVar[bool] = True
    joint: ClassVar[bool] = False

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Raise SettingError for parameters, as the optimizers of torch take them, and for unknown settings."""
        refuse_parameters(cls.__name__, args, settings)
        return super().__new__(cls, *args, **settings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.joint and self.nodes:
            raise SettingError(f"{type(self).__name__}: an update couples all parameters, so nodes= cannot be used.")
        object.__setattr__(self, "nodes", Selection(self.nodes))
        self.selection.check(self)
        advise_on_settings(self)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise UnknownAttributeError, with advice for what optimizers of torch have."""
            refuse_habit(self, name, OF_OPTIMIZERS)

    @property
    def selection(self) -> Selection:
        """`nodes` as a Selection, which finds the settings of a parameter."""
        return self.nodes if isinstance(self.nodes, Selection) else Selection(self.nodes)

    @abstractmethod
    def state(self, w: Tensor) -> State:
        """The initial state: the tensors that the optimizer keeps between steps, in the shape of w unless `joint`."""

    @abstractmethod
    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """Return the next parameters and the next state; nothing may be changed in place.

        w      a vector of one or more parameters that are trained
        g      its gradient
        state  the tensors of `state`, as the last update returned them
        s      the numbers of this update by name: s.lr and the other numeric settings, s.beta1 and s.beta2 for a pair
               `betas`; s.t counts the updates from 1

        s holds Python numbers, or 0-dimensional tensors if the step is compiled. So use only + - * / and ** with them,
        and branch on settings: `if self.momentum:`, never `if s.momentum:`. graphdl.optim.where chooses by numbers.
        """

    @property
    def kernel(self) -> Kernel | None:
        """A fused kernel that computes `update` in place; None for a subclass that overrides `update` or `state`."""
        found: Kernel | None = getattr(self, "_kernel", None)
        order = [next((k for k, kind in enumerate(type(self).__mro__) if name in vars(kind)), -1) for name in _PARTS]
        return found if found is not None and order[0] <= min(order[1:]) else None

    def bind(self, net: Network) -> Stepper:
        """A stepper, which updates the parameters of a network."""
        return (JointStepper if self.joint else Stepper)(self, net)


_PARTS = "_kernel", "update", "state"
