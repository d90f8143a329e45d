"""The base class of operators.

An operator has frozen settings, forward and backward.
"""

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
from graphdl.operators.known_sizes import Known, KnownSizes
from graphdl.settings import Settings, described

functorch_level = torch._C._functorch.maybe_current_level

Values: TypeAlias = dict[str, Tensor]
InputGradients: TypeAlias = Sequence[Tensor | None]
Gradients: TypeAlias = tuple[InputGradients, Values]


Needs: TypeAlias = Mapping[str, Tensor | None]
"""The required gradients by slot and parameter: for a parameter, the tensor to write it into, or None."""


class _Everything(Mapping[str, None]):
    """A mapping from every name to None."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> None:
        return None

    def __iter__(self) -> Iterator[str]:
        raise TypeError("needs holds every name here: only ask if a name is in it.")

    def __len__(self) -> int:
        raise TypeError("needs holds every name here: only ask if a name is in it.")


EVERYTHING: Needs = _Everything()
"""The default of `needs`: every gradient is required, as a new tensor."""


MOST_KEPT = 2**14
"""The largest number of elements of a constant that is cached."""


def constant(value: float, like: Tensor, *size: int) -> Tensor:
    """A cached tensor filled with one number, of the dtype and on the device of `like`.

    torch would convert a Python number into a tensor at every call, which costs more than small arithmetic itself.
    """
    if functorch_level() is not None or math.prod(size) > MOST_KEPT:  # while a step is traced, nothing is cached
        return torch.full(size, value, dtype=like.dtype, device=like.device)
    return _constant(value, size, like.dtype, like.device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _constant(value: float, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full(size, value, dtype=dtype, device=device)


@dataclass(frozen=True)
class Parameter:
    """A trainable tensor: its shape and its initializer."""

    shape: tuple[int, ...]
    initializer: Initializer


@dataclass(frozen=True)
class Buffer:
    """A tensor that is saved but has no gradient, such as a running mean. dtype None is the network's."""

    shape: tuple[int, ...]
    initializer: Initializer = field(default_factory=Zeros)
    dtype: torch.dtype | None = None


class Operator(Settings, ABC):
    """What a node computes. A subclass is a frozen dataclass of settings; it owns no tensors.

    slots     the names of the inputs, in order; None for any number of inputs, at least one. An InputSlot in place of
              a name declares more: optional, integer or boolean, and its role in a loss
    family    the group of the operator in diagrams: "dense", "activation", "merge", "loss", ...
    inferred  the settings that may be left out (None), because `infer` can determine them
    keeps_shape  whether the output always has the shape of the first input, so that sizes are checked across it
    """

    slots: ClassVar[tuple[str, ...] | None] = ("input",)
    family: ClassVar[str] = "other"
    inferred: ClassVar[tuple[str, ...]] = ()
    keeps_shape: ClassVar[bool] = False

    def parameters(self) -> dict[str, Parameter]:
        """Name -> shape and initializer of each parameter."""
        return {}

    def buffers(self) -> dict[str, Buffer]:
        """Name -> shape and initializer of each buffer."""
        return {}

    def infer(self, *shapes: Any) -> Self:
        """Return this operator with the settings that follow from its inputs' shapes, which include the batch axis.

        The shape of an optional input that nothing feeds is None.
        """
        return self

    def propagate(self, *inputs: Any) -> Known:
        """What the settings say of the output's sizes, before there are data; by default nothing.

        inputs are KnownSizes, or tuples of them, and None for an optional input that nothing feeds. Raises MisfitError
        for sizes that forward refuses in any case. It is called for the operators of graphdl.
        """
        return inputs[0] if self.keeps_shape else KnownSizes()

    def draw(self, *inputs: Any, generator: Generator | None) -> Any:
        """Draw the random numbers that forward needs in a training pass; it gets them as the keyword `drawn`.

        Called only for operators that override it, whose forward takes drawn=None. The result of forward then depends
        on its arguments only, so that it can be compiled, recomputed and checked against differences.
        """
        raise TypeError(f"{type(self).__name__} does not draw random numbers.")

    @abstractmethod
    def forward(self, p: Values, *inputs: Any, **mode: Any) -> tuple[Any, Any]:
        """Compute (output, saved), where `saved` is everything that backward needs in addition to `p`.

        A subclass defines forward(self, p, x, *, training). p holds the parameters and the buffers by name. The output
        is a tensor, or a tuple of tensors, of which Item(k) selects one. It must not write into its inputs or its
        parameters; only buffers may change. If forward takes out=None, it may get any one of its inputs as `out`, to
        write the output into, when nothing reads that input again; it may ignore it.
        """

    @abstractmethod
    def backward(self, p: Values, saved: Any, dy: Any) -> Gradients:
        """Compute (gradients of the inputs, {name: gradient of a parameter}) from the output's gradient dy.

        The first element holds one gradient, or None, for each input. dy must not be changed in place: it may be a view
        of another gradient. If the output is a tuple, dy is one too, with None for the elements that nothing used. A
        backward that can skip work takes a fourth argument, needs=EVERYTHING: a mapping that contains the names of the
        slots and parameters whose gradients are required. needs["weight"] is the tensor into which the gradient of
        weight may be written, or None; both can be passed as `out=` to functions of torch.
        """

    @property
    def complete(self) -> bool:
        """Whether all settings are known, including those that may be inferred."""
        return all(getattr(self, name) is not None for name in self.inferred)

    @property
    def trains(self) -> bool:
        """Whether it has parameters, or will have some when its sizes are known."""
        try:
            return bool(self.parameters())
        except Exception:  # parameters() may need the sizes
            return True

    @property
    def differentiable(self) -> bool:
        """Whether backward returns gradients of the inputs. Slots declared integer or boolean have none in any case."""
        return True

    def describe(self) -> str:
        """A short text of the settings, for summaries and diagrams."""
        return ", ".join(described(self))

    def expects(self, *inputs: Any) -> str:
        """What the inputs must be, for the error message after forward failed on them."""
        return ""
