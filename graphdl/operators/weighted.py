"""A loss whose rows count with weights that come with the data."""

from __future__ import annotations

import inspect
from dataclasses import field, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import EVERYTHING, Buffer, Gradients, Needs, Operator, Parameter, Values
from graphdl.operators.shared.loss import PREDICTION, TARGET, Loss
from graphdl.registry import register
from graphdl.settings import Check, setting
from graphdl.slots import InputSlot

__all__ = ["Weighted"]

SAMPLE_WEIGHT = InputSlot("sample_weight")


def loss_by_rows() -> Check:
    """A loss that is not weighted by rows already, and draws no random numbers."""
    return Check(
        "a loss such as MSELoss()",
        lambda value: isinstance(value, Loss) and not isinstance(value, Weighted) and type(value).draw is Operator.draw,
        schema={"$ref": "#/$defs/operator"},
    )


@register
class Weighted(Loss):
    """Another loss, the part of each row in it times the row's weight: sum_n w_n a_n loss_n.

    The slots of the loss, and sample_weight w (n), or (n, ...) for weights of elements -> (). a_n is the factor of a
    row's loss in the loss without weights: for "mean" 1 / n, or 1 / sum_n w_target with class_weight, and for "sum" 1.
    So weights of 1 change nothing, and of 2 count a row twice. The weights are not divided by their sum: fit divides
    those of sample_weight= by their mean. With reduction "none", w_n loss_n.
    The gradients are those of the loss for dy w_n a_n in place of dy; dsample_weight_n = a_n loss_n dy.

    Settings are those of the loss, whose reduction and weight it takes. Kept for backward: what the loss keeps without
    a reduction, the losses, w and a.
    """

    loss: Loss = setting(loss_by_rows())
    reduction: str = field(init=False, repr=False)
    weight: float = field(init=False, repr=False)

    slots: ClassVar = (PREDICTION, TARGET, SAMPLE_WEIGHT)
    each: ClassVar[Loss]
    """The loss without a reduction."""
    takes_needs: ClassVar[bool]
    """Whether its backward can skip work."""

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = self.loss
        slots = (*(loss.slots or ()), SAMPLE_WEIGHT)
        taken = {
            name: getattr(loss, name) for name in ("reduction", "weight", "threshold", "target_threshold", "judged")
        }
        takes_needs = "needs" in inspect.signature(type(loss).backward).parameters
        own = {"slots": slots, "inferred": loss.inferred, "each": replace(loss, reduction="none")}
        for name, value in (taken | own | {"takes_needs": takes_needs}).items():
            object.__setattr__(self, name, value)

    @property
    def ignored(self) -> int | None:
        return self.loss.ignored

    @property
    def complete(self) -> bool:
        return self.loss.complete

    def parameters(self) -> dict[str, Parameter]:
        return self.loss.parameters()

    def buffers(self) -> dict[str, Buffer]:
        return self.loss.buffers()

    def infer(self, *shapes: Any) -> Self:
        return replace(self, loss=self.loss.infer(*shapes[:-1]))

    def forward(self, p: Values, *inputs: Any, training: bool) -> tuple[Tensor, Any]:
        *given, weight = inputs
        losses, kept = self.each.forward(p, *given, training=training)
        w = along(weight, losses)
        if self.reduction == "none":
            return losses * w, (kept, losses, weight, w, None)
        a = self.loss.part_of_each(p, losses, *given)
        y = (losses * w * a).sum() if a.dim() else (losses * w).sum() * a
        return y, (kept, losses, weight, w, a)

    def backward(self, p: Values, saved: Any, dy: Any, needs: Needs = EVERYTHING) -> Gradients:
        kept, losses, weight, w, a = saved
        dy = dy if a is None else dy * a
        dweight = None
        if "sample_weight" in needs and weight.is_floating_point():
            dweight = losses * dy
            dweight = dweight.flatten(weight.dim()).sum(-1) if losses.dim() > weight.dim() else dweight
        asked = {"needs": needs} if self.takes_needs else {}
        dxs, dp = self.each.backward(p, kept, (dy * w).expand_as(losses), **asked)
        return (*dxs, dweight), dp

    def describe(self) -> str:
        settings = self.loss.describe()
        return f"{type(self.loss).__name__}{settings and f': {settings}'}"

    def expects(self, *inputs: Any) -> str:
        loss = self.loss.expects(*inputs[:-1])
        return f"{loss}{', and ' * bool(loss)}weights (n) of its rows"


def along(weight: Tensor, losses: Tensor) -> Tensor:
    """Weights (n) or (n, ...) with the axes of the losses. Raises ShapeError if they do not begin with those."""
    if not weight.dim() or losses.shape[: weight.dim()] != weight.shape:
        raise ShapeError(f"the losses have the shape {tuple(losses.shape)} and sample_weight {tuple(weight.shape)}")
    return weight.to(losses.dtype).reshape(*weight.shape, *[1] * (losses.dim() - weight.dim()))
