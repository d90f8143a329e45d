"""The contract of an operator: frozen settings, a forward, and a backward directly below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from graphdl.initializers import Initializer, Zeros
from graphdl.registry import settings

Values: TypeAlias = dict[str, Tensor]
InputGradients: TypeAlias = Sequence[Tensor | None]
Gradients: TypeAlias = tuple[InputGradients, Values]


class _Everything:
    """A container that holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


EVERYTHING: Container[str] = _Everything()
"""The default of `needs`: every gradient is wanted."""


@dataclass(frozen=True)
class Parameter:
    """A tensor that training changes: its shape and its first values."""

    shape: tuple[int, ...]
    initializer: Initializer


@dataclass(frozen=True)
class Buffer:
    """A tensor that is kept and saved, and that no gradient changes. dtype None is the network's."""

    shape: tuple[int, ...]
    initializer: Initializer = field(default_factory=Zeros)
    dtype: torch.dtype | None = None


class Operator(ABC):
    """What a node computes. A subclass is a frozen dataclass of settings; it owns no tensors.

    slots     names of the inputs, in order; None takes any number of them, one at least
    family    groups operators in diagrams: "dense", "activation", "merge", "loss", ...
    inferred  the settings that may be left out (None), because `infer` can fill them
    """

    slots: ClassVar[tuple[str, ...] | None] = ("input",)
    family: ClassVar[str] = "other"
    inferred: ClassVar[tuple[str, ...]] = ()

    def parameters(self) -> dict[str, Parameter]:
        """Name -> shape and initializer of each parameter."""
        return {}

    def buffers(self) -> dict[str, Buffer]:
        """Name -> shape and initializer of each buffer."""
        return {}

    def infer(self, *shapes: torch.Size) -> Self:
        """Return this operator with the settings that follow from its inputs' shapes, batch axis included."""
        return self

    @abstractmethod
    def forward(self, p: Values, *inputs: Any, **mode: Any) -> tuple[Any, Any]:
        """Compute (output, saved): `saved` is all that backward will need besides `p`.

        A subclass writes forward(self, p, x, *, training). p holds the parameters and the buffers by name. The output
        is a tensor, or a tuple of tensors from which Item(k) picks. It must not write into its inputs or its
        parameters; only buffers may change.
        """

    @abstractmethod
    def backward(self, p: Values, saved: Any, dy: Any) -> Gradients:
        """Compute (one gradient or None an input, {name: gradient of a parameter}) from the output's gradient dy.

        It must not write into dy, which may be a view of another's gradient. A backward that can skip work takes
        a fourth argument, needs=EVERYTHING: the names of the slots and parameters whose gradients are wanted.
        """

    @property
    def complete(self) -> bool:
        """Whether no setting waits to be inferred."""
        return all(getattr(self, name) is not None for name in self.inferred)

    def describe(self) -> str:
        """The settings in a few characters, for summaries and diagrams."""
        return ", ".join(f"{name} {value}" for name, value in settings(self).items())

    def expects(self, *inputs: Any) -> str:
        """What the inputs must be, for the text of an error: called with those on which forward failed."""
        return ""
