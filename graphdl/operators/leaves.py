"""Constants and learned tensors.

Leaves are operators without inputs, whose value is a tensor that the network holds.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError
from graphdl.initializers import Initializer, Normal
from graphdl.operators.known_sizes import KnownSizes
from graphdl.operators.operator import Buffer, Gradients, Operator, Parameter, Values
from graphdl.operators.shared.axes import by_sizes
from graphdl.operators.shared.nested import Given, Nested, flat, is_nested, sizes_of
from graphdl.registry import register
from graphdl.settings import Check, array_of, initializer, optional, setting, size

__all__ = ["Constant", "Weight"]

Shape: TypeAlias = tuple[int, ...]


def is_shape(value: object) -> bool:
    """Whether a value is a tuple of whole numbers that are not negative."""
    return isinstance(value, tuple) and all(type(size) is int and size >= 0 for size in value)


SHAPE = Check("a tuple of sizes, such as (1, 3)", is_shape, schema=array_of(size(0).schema, least=0))
VALUE = Check("a number, or nested tuples of numbers of a regular shape", is_nested, schema={"$ref": "#/$defs/nested"})


class Leaf(Operator):
    """An operator without inputs. Its value has no batch axis unless its shape begins with one of length 1."""

    slots: ClassVar[tuple[str, ...] | None] = ()
    family: ClassVar[str] = "leaf"


@register
class Weight(Leaf):
    """A learned tensor that has no input: y = weight.

    y and weight have the given shape; dweight = dy.

    Operators that read the same Weight share the parameter, and their gradients add up: tied embeddings, learned
    queries, learned positions. Its value is the parameter itself, without a copy. The shape has no batch axis; to add
    it to a batch, write one of length 1, as in (1, t, c).

    initializer  of its first values, Normal(0, 1) as in torch.nn.Embedding

    >>> from graphdl import Network, Sum, Weight
    >>> net = Network({"bias": Weight((1, 3)), "sum": Sum()}, {"x": ["sum"], "bias": ["sum"]})
    >>> net.predict(torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    shape: Shape = setting(SHAPE)
    initializer: Initializer = setting(initializer(), default=Normal())

    def parameters(self) -> dict[str, Parameter]:
        return {"weight": Parameter(self.shape, self.initializer)}

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        return KnownSizes({axis: self.shape[axis] for axis in range(-len(self.shape), 0)})

    def forward(self, p: Values, *, training: bool) -> tuple[Tensor, None]:
        return p["weight"], None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (), {"weight": dy}

    def describe(self) -> str:
        return by_sizes(self.shape) or "scalar"


@register(within="operators")
class Constant(Leaf):
    """A tensor that is not learned: y = value.

    value  a number, or nested tuples of numbers: ((1.0, 0.0), (0.0, 1.0)) is a matrix
    shape  fills a tensor of this shape with a number; None takes the shape of the value

    Numbers with a decimal point have the network's type, whole numbers are int64, True and False are booleans. The
    tensor is the buffer "value" of the node: it is saved with the network and moves with it. It has no batch axis; to
    add it to a batch, write one of length 1, as in ((1.0, 2.0),).

    Errors: SettingError for tuples of different lengths, and for a shape together with a tuple.
    """

    value: Nested = setting(VALUE)
    shape: Shape | None = setting(optional(SHAPE), default=None)

    def check_settings(self) -> None:
        if self.shape is not None and isinstance(self.value, tuple):
            raise SettingError(f"Constant: shape {self.shape} fills a tensor with one number, but value is a tuple")

    def buffers(self) -> dict[str, Buffer]:
        found = torch.tensor(self.value).dtype
        shape = sizes_of(self.value) if self.shape is None else self.shape
        return {"value": Buffer(shape, Given(self.value), None if found.is_floating_point else found)}

    def forward(self, p: Values, *, training: bool) -> tuple[Tensor, None]:
        return p["value"], None

    def backward(self, p: Values, saved: None, dy: Tensor) -> Gradients:
        return (), {}

    def describe(self) -> str:
        sizes = sizes_of(self.value) if self.shape is None else self.shape
        numbers = list(flat(self.value))
        given = [", ".join(map(str, numbers))] if len(numbers) <= 4 else []
        return ", ".join([*given, *([by_sizes(sizes)] if self.shape or not given else [])])
