"""Penalties: terms of the parameters that are added to the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.errors import OperatorError, SettingError
from graphdl.graph import Key
from graphdl.optim.selection import check_names, fits
from graphdl.parameters import Extent, ParameterStore
from graphdl.settings import Check, Settings, number, optional, setting

NODES = Check(
    "a tuple of nodes and patterns such as ('fc1', '*.weight')",
    lambda value: isinstance(value, tuple) and bool(value) and all(type(key) in (str, int) for key in value),
)
NAME = optional(Check("a name for the history", lambda value: isinstance(value, str) and value != ""))


@dataclass(frozen=True)
class Penalty(Settings, ABC):
    """A term that is added to the loss, strength times the sum of `value` over the chosen parameters.

    strength  a factor, 0 or more
    nodes     the chosen parameters, as in Optimizer.nodes: nodes, for all their parameters, and patterns with *, ? and
              [] that match names of nodes or full names of parameters
    name      by which the history lists the term; None for the name of the class in lower case

    Its gradient is added to that of the losses, before clipping and before the optimizer's update, as if the term stood
    in the loss: so it is clipped, and Adam's moments contain it, unlike the decoupled decay of AdamW. Only parameters
    that are updated get it, not those of frozen nodes.

    A custom penalty is a subclass with `value` and `gradient`:

    >>> class Group(Penalty):
    ...     def value(self, w):
    ...         return w.norm()
    ...
    ...     def gradient(self, w):
    ...         return w / w.norm().clamp(min=1e-12)
    >>> Group(0.01, nodes=("fc*.weight",)).label
    'group'
    """

    strength: float = setting(number(0))
    nodes: tuple[Key, ...] = setting(NODES, default=("*",), kw_only=True)
    name: str | None = setting(NAME, default=None, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.nodes, (str, int, list)):
            object.__setattr__(self, "nodes", tuple(self.nodes) if isinstance(self.nodes, list) else (self.nodes,))
        super().__post_init__()

    @property
    def label(self) -> str:
        """The name in the history."""
        return self.name or type(self).__name__.lower()

    @abstractmethod
    def value(self, w: Tensor) -> Tensor:
        """The term of one parameter, a number; without the strength."""

    @abstractmethod
    def gradient(self, w: Tensor) -> Tensor:
        """The derivative of `value` by w, in the shape of w."""

    def chooses(self, extent: Extent) -> bool:
        """Whether a parameter is chosen."""
        return any(fits(key, extent) for key in self.nodes)

    def check(self, store: ParameterStore) -> None:
        """Raise UnknownNodeError for a node or a pattern that matches no parameter."""
        check_names(self.nodes, store.extents, store.by_node, f"{type(self).__name__}: ")

    def checked_gradient(self, w: Tensor) -> Tensor:
        """The gradient. Raises OperatorError for another shape than that of w, which torch might broadcast."""
        found = self.gradient(w)
        if not isinstance(found, Tensor) or found.shape != w.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else f"of a {type(found).__name__}"
            raise OperatorError(
                f"{type(self).__name__}: gradient returned the shape {shape} for a parameter of the shape "
                f"{tuple(w.shape)}."
            )
        return found


@dataclass(frozen=True)
class L1(Penalty):
    """strength times the sum of |w|, which drives parameters to 0. Its gradient is strength sign(w), and 0 at 0."""

    def value(self, w: Tensor) -> Tensor:
        """The sum of absolute values."""
        return w.abs().sum()

    def gradient(self, w: Tensor) -> Tensor:
        """The signs."""
        return w.sign()


@dataclass(frozen=True)
class L2(Penalty):
    """strength times the sum of w², with the gradient 2 strength w.

    With SGD it equals a weight decay of 2 strength.
    """

    def value(self, w: Tensor) -> Tensor:
        """The sum of squares."""
        return (w * w).sum()

    def gradient(self, w: Tensor) -> Tensor:
        """The gradient of the sum of squares."""
        return 2 * w


class Penalties:
    """The penalties of a training run, and the names by which the history lists them.

    A second "l2" is called "l2_2". Raises SettingError for a name that the history already uses.
    """

    def __init__(self, given: Iterable[Penalty], taken: Collection[str] = ()) -> None:
        self._by_name: dict[str, Penalty] = {}
        for penalty in given:
            label, count = penalty.label, 1
            if label in taken:
                raise SettingError(f"The name {label!r} is used twice in the history: give the penalty another name=.")
            while (name := label if count == 1 else f"{label}_{count}") in self._by_name:
                count += 1
            self._by_name[name] = penalty

    @property
    def names(self) -> Sequence[str]:
        """The names in the history."""
        return tuple(self._by_name)

    def values(self, store: ParameterStore) -> dict[str, float]:
        """Name -> the term, of the parameters as they are."""
        return {name: self._value(penalty, store) for name, penalty in self._by_name.items()}

    @staticmethod
    @torch.inference_mode()
    def _value(penalty: Penalty, store: ParameterStore) -> float:
        terms = [penalty.value(extent.view(store.flat)) for extent in store.extents if penalty.chooses(extent)]
        return penalty.strength * sum(float(term) for term in terms)
