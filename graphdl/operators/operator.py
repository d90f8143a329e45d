"""The contract of an operator: frozen settings, a forward, and a backward directly below it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Generator, Tensor

from graphdl.initializers import Initializer, Zeros
from graphdl.settings import Settings, described

functorch_level = torch._C._functorch.maybe_current_level

Values: TypeAlias = dict[str, Tensor]
InputGradients: TypeAlias = Sequence[Tensor | None]
Gradients: TypeAlias = tuple[InputGradients, Values]


Needs: TypeAlias = Mapping[str, Tensor | None]
"""The gradients that are wanted, by slot and parameter: for a parameter, a tensor to write it into, or None."""


class _Everything(Mapping[str, None]):
    """A mapping that holds None under every name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> None:
        return None

    def __iter__(self) -> Iterator[str]:
        raise TypeError("needs holds every name here: only ask if a name is in it.")

    def __len__(self) -> int:
        raise TypeError("needs holds every name here: only ask if a name is in it.")


EVERYTHING: Needs = _Everything()
"""The default of `needs`: every gradient is wanted, as a fresh tensor."""


MOST_KEPT = 2**14
"""Elements of a constant that is kept."""


def constant(value: float, like: Tensor, *size: int) -> Tensor:
    """A tensor full of one number, of the type and on the device of another, made once.

    A Python number would be made a tensor at every call, which costs more than small arithmetic itself.
    """
    if functorch_level() is not None or math.prod(size) > MOST_KEPT:  # while a step is traced, no tensor is kept
        return torch.full(size, value, dtype=like.dtype, device=like.device)
    return _constant(value, size, like.dtype, like.device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _constant(value: float, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full(size, value, dtype=dtype, device=device)


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


class Operator(Settings, ABC):
    """What a node computes. A subclass is a frozen dataclass of settings; it owns no tensors.

    slots     names of the inputs, in order; None takes any number of them, one at least. An InputSlot in place of a
              name declares more: optional, integer or boolean, and its role in a loss
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

    def infer(self, *shapes: Any) -> Self:
        """Return this operator with the settings that follow from its inputs' shapes, batch axis included.

        The shape of an optional input that nothing feeds is None.
        """
        return self

    def draw(self, *inputs: Any, generator: Generator | None) -> Any:
        """Draw the random numbers that forward needs in one training pass; it gets them as the keyword `drawn`.

        Only called for operators that override it, whose forward takes drawn=None. So forward is a function of its
        arguments alone: it can be compiled, repeated to save memory, and checked by differences.
        """
        raise TypeError(f"{type(self).__name__} does not draw random numbers.")

    @abstractmethod
    def forward(self, p: Values, *inputs: Any, **mode: Any) -> tuple[Any, Any]:
        """Compute (output, saved): `saved` is all that backward will need besides `p`.

        A subclass writes forward(self, p, x, *, training). p holds the parameters and the buffers by name. The output
        is a tensor, or a tuple of tensors from which Item(k) picks. It must not write into its inputs or its
        parameters; only buffers may change. A forward that takes out=None may be given one of its inputs, any of them,
        to write the output into, where nothing reads that input again; it may also ignore it.
        """

    @abstractmethod
    def backward(self, p: Values, saved: Any, dy: Any) -> Gradients:
        """Compute (one gradient or None an input, {name: gradient of a parameter}) from the output's gradient dy.

        It must not write into dy, which may be a view of another's gradient. Where the output is a tuple, so is dy,
        with None for the elements that nothing used. A backward that can skip work takes
        a fourth argument, needs=EVERYTHING: a mapping that holds the names of the slots and parameters whose gradients
        are wanted. needs["weight"] is the tensor into which the gradient of weight may be written, or None where a
        fresh one will do, which is what an `out=` of torch takes.
        """

    @property
    def complete(self) -> bool:
        """Whether no setting waits to be inferred."""
        return all(getattr(self, name) is not None for name in self.inferred)

    @property
    def trains(self) -> bool:
        """Whether it has parameters; while sizes are unknown, whether it will have some."""
        try:
            return bool(self.parameters())
        except Exception:  # parameters() may need the sizes
            return True

    def describe(self) -> str:
        """The settings in a few characters, for summaries and diagrams."""
        return ", ".join(described(self))

    def expects(self, *inputs: Any) -> str:
        """What the inputs must be, for the text of an error: called with those on which forward failed."""
        return ""
