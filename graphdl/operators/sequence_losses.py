"""Losses of unaligned sequences.

The target does not say which of its labels belongs to which step.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.operators.operator import Gradients, Values, constant
from graphdl.operators.shared.library import define
from graphdl.operators.shared.loss import INDICES, PREDICTION, Loss
from graphdl.registry import register
from graphdl.settings import flag, setting, size
from graphdl.slots import InputSlot

__all__ = ["CTCLoss"]

Kept: TypeAlias = tuple[list[Tensor], Tensor, Tensor, bool]

aten = torch.ops.aten


def ctc_loss(
    x: Tensor, target: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int, zero_infinity: bool
) -> tuple[Tensor, Tensor]:
    """torch's kernel, with its second result, which is as large as the longest target, in the size of any target.

    Only so can a recorded step, whose tensors keep their sizes, take targets of other lengths.
    """
    losses, alpha = aten._ctc_loss.Tensor(x, target, input_lengths, target_lengths, blank, zero_infinity)
    missing = 2 * target.shape[-1] + 1 - alpha.shape[2]
    return losses, aten.constant_pad_nd(alpha, [0, missing]) if missing else alpha


def hollow_ctc_loss(x: Tensor, target: Tensor, *settings: object) -> tuple[Tensor, Tensor]:
    """The same without data."""
    t, n, _ = x.shape
    return x.new_empty(n), x.new_empty(n, t, 2 * target.shape[-1] + 1)


define(
    "ctc_loss(Tensor x, Tensor target, Tensor input_lengths, Tensor target_lengths, int blank, bool zero_infinity) -> "
    "(Tensor, Tensor)",
    CompositeExplicitAutograd=ctc_loss,
    Meta=hollow_ctc_loss,
)


@register(kw_only=True)
class CTCLoss(Loss):
    """Connectionist temporal classification: -log of the sum of the probabilities of all alignments of the target.

    x (t, n, c) log-probabilities, as LogSoftmax returns them; target (n, s) class indices without the blank, or those
    of all rows one after another (sum of lengths); input_lengths (n), target_lengths (n) -> (), or (n) without
    reduction. Or for one sequence x (t, c), target (s) and lengths without axes.
    As in torch, the first axis is time, not the batch: exchange the axes of a batch (n, t, c) before, Transpose(0, 1).

    blank          the class that stands for no label
    reduction      "mean" divides the loss of each sequence by the length of its target (at least 1), then averages
    zero_infinity  whether losses of sequences too short for their targets, and their gradients, are 0, not infinite

    dx = (exp(x) - share of the alignments that pass through each class) dy: as in torch, this is the gradient with
    respect to the input of the LogSoftmax. It is correct for x too where exp(x) adds up to 1 and a LogSoftmax follows
    on the way back. Kept for backward: the inputs, the loss and the forward variables of each sequence.
    Source: Graves et al., "Connectionist temporal classification", 2006.
    """

    blank: int = setting(size(0), default=0)
    zero_infinity: bool = setting(flag(), default=False)

    slots: ClassVar = (
        PREDICTION,
        INDICES,
        InputSlot("input_lengths", kind="integer"),
        InputSlot("target_lengths", kind="integer"),
    )
    judged: ClassVar = "nothing"

    def forward(
        self, p: Values, x: Tensor, target: Tensor, input_lengths: Tensor, target_lengths: Tensor, *, training: bool
    ) -> tuple[Tensor, Kept]:
        if any(each.is_floating_point() and not each.is_meta for each in (input_lengths, target_lengths)):
            raise ShapeError("the lengths are floats: give integers, lengths.long()")
        lengths = [each.long().reshape(-1) for each in (input_lengths, target_lengths)]
        self.check(x, target, *lengths)
        single = x.dim() == 2
        if single:
            x, target = x.unsqueeze(1), target.unsqueeze(0)
        given = [x, target.long(), *lengths]
        losses, alpha = torch.ops.graphdl.ctc_loss(*given, self.blank, self.zero_infinity)
        found = losses
        if self.zero_infinity:
            found = torch.where(found == torch.inf, 0, found)
        if self.reduction == "mean":
            found = found / lengths[1].clamp_min(1)
        return self.reduce(found.squeeze(0) if single else found), (given, losses, alpha, single)

    def backward(self, p: Values, saved: Kept, dy: Tensor) -> Gradients:
        given, losses, alpha, single = saved
        if dy.is_meta:  # the kernel has no form without data
            dx = torch.empty_like(given[0])
            return (dx[:, 0] if single else dx, None, None, None), {}
        dlosses = (dy if self.reduction != "none" else dy.reshape(-1)).expand_as(losses)
        if self.reduction == "mean":
            dlosses = dlosses * constant(1 / max(len(losses), 1), dy) / given[3].clamp_min(1)
        dx = aten._ctc_loss_backward.Tensor(dlosses, *given, losses, alpha, self.blank, self.zero_infinity)
        return (dx[:, 0] if single else dx, None, None, None), {}

    def part_of_each(self, p: Values, losses: Tensor, *inputs: Any) -> Tensor:
        part = super().part_of_each(p, losses)
        return part / inputs[3].long().clamp_min(1) if self.reduction == "mean" else part

    def check(self, x: Tensor, target: Tensor, input_lengths: Tensor, target_lengths: Tensor) -> None:
        """Raise ShapeError for shapes that do not fit, and for a blank that is not a class."""
        if x.dim() not in (2, 3) or (x.dim() == 2 and target.dim() != 1) or target.dim() not in (1, 2):
            raise ShapeError("the axes of the prediction and of the target do not fit")
        rows = x.shape[1] if x.dim() == 3 else 1
        if len(input_lengths) != rows or len(target_lengths) != rows or (target.dim() == 2 and len(target) != rows):
            raise ShapeError(
                f"the prediction has {rows} sequences, which are on its axis 1, and the others not as many"
            )
        if self.blank >= x.shape[-1]:
            raise ShapeError(f"blank is {self.blank}, and the prediction has {x.shape[-1]} classes")
        if target.is_floating_point() and not target.is_meta:
            raise ShapeError("the target holds floats: give class indices, target.long()")

    def expects(self, *inputs: Tensor) -> str:
        return (
            "log-probabilities (t, n, c), targets (n, s) and lengths (n) of at most t and s; the first axis is the time"
        )
