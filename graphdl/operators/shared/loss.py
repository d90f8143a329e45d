"""The base class of losses, and helpers of several losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.known_sizes import KnownSizes, equal
from graphdl.operators.operator import Buffer, Operator, Values, constant
from graphdl.operators.shared.nested import Given, Nested, as_nested, flat, is_nested, sizes_of
from graphdl.settings import Check, array_of, choice, number, optional, setting
from graphdl.slots import InputSlot

Reduction: TypeAlias = Literal["mean", "sum", "none"]

REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}  # the numbers that torch's kernels use
PREDICTION = InputSlot("prediction", role="prediction")
TARGET = InputSlot("target", role="target")
CLASSES = InputSlot("target", role="target", kind="class")
INDICES = InputSlot("target", role="target", kind="integer")

FACTOR = (
    "It is the factor of the loss in the network's total loss. What torch calls weight is class_weight=(1.0, 2.0), one "
    "number for each class, in the losses that have it"
)
BY_CLASS = "A setting holds no tensor: write tuple(weights.tolist())"


def factor() -> Check:
    """A finite number; the hint names the setting for weights of classes."""
    found = number()
    return Check(
        found.expected,
        found.holds,
        lambda value: FACTOR if isinstance(value, (list, tuple)) or is_array(value) else "",
        found.schema,
    )


def above(bound: float) -> Check:
    """A finite number above a bound."""
    return Check(
        f"a finite number above {bound:g}",
        lambda value: number(bound).holds(value) and value > bound,
        schema={"type": "number", "exclusiveMinimum": bound},
    )


def numbers() -> Check:
    """Finite numbers in a tuple, or in nested tuples of a regular shape."""
    return Check(
        "a tuple of finite numbers, such as (1.0, 2.0)",
        lambda value: (
            isinstance(value, tuple)
            and is_nested(value)
            and 0 not in sizes_of(value)
            and all(map(number().holds, flat(value)))
        ),
        lambda value: BY_CLASS if is_array(value) else "",
        array_of({"$ref": "#/$defs/nested"}),
    )


def is_array(value: object) -> bool:
    """Whether it is a tensor or an array."""
    return hasattr(value, "tolist")


def held(value: Nested) -> Buffer:
    """A buffer that holds the numbers of a setting."""
    return Buffer(sizes_of(value), Given(value))


@dataclass(frozen=True, kw_only=True)
class Loss(Operator):
    """prediction, target -> loss.

    reduction  "mean" or "sum" over the elements, or "none" for no reduction
    weight     the factor of the loss in the network's total loss. It scales the gradient, but not the node's value

    A loss with other inputs declares other slots, for example ("anchor", "positive", "negative"). What feeds
    slots with the role "prediction" is returned by net.predict; inputs that feed slots with the role "target" take the
    targets of fit. Metrics are computed for losses with one slot of each role.
    """

    reduction: str = setting(choice(Reduction), default="mean")
    weight: float = setting(factor(), default=1.0)

    slots: ClassVar[tuple[str, ...] | None] = (PREDICTION, TARGET)
    family: ClassVar = "loss"
    threshold: ClassVar[float] = 0.5
    """The value above which a single prediction counts as class 1."""
    target_threshold: ClassVar[float] = 0.5
    """The value above which a single target counts as class 1."""
    same_shapes: ClassVar[bool] = False
    """Whether the prediction and the target must have the same shape."""
    judged: ClassVar[Literal["class", "element", "nothing"]] = "class"
    """What accuracy counts: the class with the largest prediction, each element by itself, or nothing."""

    @property
    def ignored(self) -> int | None:
        """The class index that is left out of loss and accuracy, or None."""
        return None

    def propagate(self, *inputs: KnownSizes) -> KnownSizes:
        if self.same_shapes:
            equal(*inputs[:2])
        return KnownSizes()

    def check_target(self, target: Tensor) -> str:
        """Advice on the values of all targets, "" for none. Raises SettingError if the loss is not defined for them."""
        return ""

    def reduce(self, losses: Tensor) -> Tensor:
        """The mean or the sum of the losses, or the losses without a reduction."""
        if self.reduction == "mean":
            return losses.mean()
        return losses.sum() if self.reduction == "sum" else losses

    def part_of_each(self, p: Values, losses: Tensor, *inputs: Any) -> Tensor:
        """The factor of each of the losses without a reduction in the reduced loss, () or one for each row.

        A loss whose mean is not that of all its elements overrides it, so that `Weighted` can weight its rows.
        """
        return constant(per_element(losses.numel()) if self.reduction == "mean" else 1.0, losses)

    def share(self, dy: Tensor, count: int, factor: float = 1) -> Tensor:
        """The gradient of the loss of each of `count` elements, times a factor."""
        if self.reduction == "mean":
            return dy * constant(factor / max(count, 1), dy)
        return dy if factor == 1 else dy * constant(factor, dy)

    @property
    def kernel_reduction(self) -> int:
        """The number that torch's kernels take for the reduction."""
        return REDUCTIONS[self.reduction]

    def expects(self, *inputs: Tensor) -> str:
        return "a prediction and a target of the same shape"


@dataclass(frozen=True, kw_only=True)
class WeightedLoss(Loss):
    """A loss with weights of classes, which are a buffer named "weight", as in torch's state_dict.

    class_weight  a number for each class; None for equal weights. Lists are stored as tuples
    """

    class_weight: Nested | None = setting(optional(numbers()), default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_weight", as_nested(self.class_weight))
        super().__post_init__()

    def buffers(self) -> dict[str, Buffer]:
        return {} if self.class_weight is None else {"weight": held(self.class_weight)}

    @staticmethod
    def check_weight(weight: Tensor | None, classes: int) -> None:
        """Raise ShapeError unless there is one weight for each class."""
        if weight is not None and weight.shape != (classes,):
            raise ShapeError(
                f"class_weight has the shape {tuple(weight.shape)} and the prediction {classes} classes: give one "
                "number for each class"
            )


def check_equal(x: Tensor, target: Tensor, *others: Tensor) -> None:
    """Raise ShapeError for different shapes, which torch would broadcast."""
    if x.shape != target.shape:
        raise ShapeError(f"the prediction and the target differ in shape{_remedy(x, target)}")
    if any(other.shape != x.shape for other in others):
        raise ShapeError("the inputs differ in shape")


def _remedy(x: Tensor, target: Tensor) -> str:
    """What makes the target fit, if that is plain."""
    if x.dim() == target.dim() + 1 and x.shape[1:2] == (1,):
        return ": write target.unsqueeze(1)"
    if target.dim() == x.dim() + 1 and target.shape[1:2] == (1,):
        return ": write target.squeeze(1)"
    if x.dim() == target.dim() + 1 and not target.is_floating_point():
        return ": for class indices use CrossEntropyLoss, or give graphdl.data.one_hot(target, classes)"
    return ""


def check_spread(weight: Tensor | None, x: Tensor, name: str) -> None:
    """Raise ShapeError unless weights can be spread over the shape of x, aligned at the last axis."""
    if weight is None:
        return
    shape = tuple(weight.shape)
    if len(shape) > x.dim() or any(n not in (1, m) for n, m in zip(shape[::-1], x.shape[::-1], strict=False)):
        raise ShapeError(f"{name} has the shape {shape}, which cannot be spread over the prediction's {tuple(x.shape)}")


def per_element(count: int) -> float:
    """1 / count, and not a number where there is nothing to average, as in torch."""
    return 1 / count if count else math.nan


def part_of_counted(target: Tensor, weight: Tensor | None, ignored: int, losses: Tensor) -> Tensor:
    """1 / sum_n w_target, over the rows that count."""
    counted = target != ignored
    if weight is None:
        return counted.sum().to(losses.dtype).reciprocal()
    each = weight.index_select(0, target.long().masked_fill(~counted, 0).reshape(-1))
    return each.masked_fill(~counted.reshape(-1), 0).sum().reciprocal()
