"""Losses in which the rows count with weights that come with the data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.graph import Feed
from graphdl.network import Network
from graphdl.operators import Loss
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Operator, Values
from graphdl.operators.shared.loss import PREDICTION, TARGET
from graphdl.settings import Check, setting
from graphdl.slots import InputSlot

SAMPLE_WEIGHT = "sample_weight"


def loss_by_rows() -> Check:
    """A loss that is the mean of those of the rows."""
    return Check(
        "a loss with reduction='mean', without class_weight and random numbers",
        lambda value: (
            isinstance(value, Loss)
            and value.reduction == "mean"
            and getattr(value, "class_weight", None) is None
            and type(value).draw is Operator.draw
        ),
        lambda value: "Give class_weight to the estimator" if getattr(value, "class_weight", None) is not None else "",
    )


@dataclass(frozen=True)
class Weighted(Loss):
    """Another loss, in which the rows have weights: mean(w_n loss_n).

    The slots of the loss, and sample_weight w (n) -> (). The mean is over the elements, and not divided by the weights.
    The gradients are those of the loss without a reduction, for w_n dy / count; dw_n = loss_n dy / count.
    Kept for backward: what the loss keeps, the losses, and w.
    """

    loss: Loss = setting(loss_by_rows())
    reduction: str = field(init=False, repr=False)
    weight: float = field(init=False, repr=False)

    slots: ClassVar = (PREDICTION, TARGET, InputSlot(SAMPLE_WEIGHT))

    def __post_init__(self) -> None:
        super().__post_init__()
        loss = self.loss
        object.__setattr__(self, "slots", (*(loss.slots or ()), InputSlot(SAMPLE_WEIGHT)))
        for name in ("reduction", "weight", "judged", "threshold", "target_threshold"):
            object.__setattr__(self, name, getattr(loss, name))

    @property
    def ignored(self) -> int | None:
        return self.loss.ignored

    def forward(self, p: Values, *inputs: Any, training: bool) -> tuple[Tensor, Any]:
        *given, weight = inputs
        losses, saved = replace(self.loss, reduction="none").forward(p, *given, training=training)
        if losses.shape[:1] != weight.shape:
            raise ShapeError(f"the losses have the shape {tuple(losses.shape)} and the weights {tuple(weight.shape)}")
        w = weight.view(-1, *[1] * (losses.dim() - 1))
        return (losses * w).mean(), (saved, losses, w)

    def backward(self, p: Values, saved: Any, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        kept, losses, w = saved
        dy = self.share(dy, losses.numel())
        dxs, dp = replace(self.loss, reduction="none").backward(p, kept, dy * w)
        dweight = (losses * dy).view(len(w), -1).sum(1) if SAMPLE_WEIGHT in needs else None
        return (*dxs, dweight), dp


def with_row_weights(net: Network) -> Network:
    """A copy of a network whose losses are weighted by a further input, "sample_weight" (n)."""
    flat = net.part(net.inputs, net.outputs)
    if SAMPLE_WEIGHT in net.graph:
        raise SettingError(f"The network has a node {SAMPLE_WEIGHT!r}, which is the name of the weights: rename it.")
    operators, connectivity = flat.operators, flat.connectivity
    for loss in net.losses:
        operators[loss] = Weighted(net.engine.loss(loss))
    weights = tuple(Feed(loss, slot=SAMPLE_WEIGHT) for loss in net.losses)
    weighted = Network(operators, {**connectivity, SAMPLE_WEIGHT: weights}, seed=0, device=net.device, dtype=net.dtype)
    weighted.engine.frozen = net.engine.frozen
    copy_state(net, weighted)
    return weighted


def copy_state(source: Network, target: Network) -> None:
    """Copy parameters, buffers and the state of the generator into a network with the same names."""
    target.load_state_dict(source.state_dict())
    target.generator.set_state(source.generator.get_state())
