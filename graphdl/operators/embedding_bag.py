"""Bags of embeddings.

One vector for several indices.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import SettingError, ShapeError
from graphdl.initializers import Initializer, Normal
from graphdl.operators.operator import EVERYTHING, Gradients, Needs, Values
from graphdl.operators.shared.indices import as_indices
from graphdl.operators.shared.table import Table
from graphdl.registry import register
from graphdl.settings import any_number, choice, flag, initializer, integer, number, optional, setting, size
from graphdl.slots import InputSlot

__all__ = ["EmbeddingBag"]

aten = torch.ops.aten

Mode: TypeAlias = Literal["sum", "mean", "max"]
MODES = {"sum": 0, "mean": 1, "max": 2}  # the numbers that torch's kernels use


class Bags(NamedTuple):
    """What the backward of EmbeddingBag needs: the indices in one row, where each bag starts, notes of the kernel."""

    x: Tensor
    offsets: Tensor
    factors: Tensor | None
    shape: torch.Size
    bag_of: Tensor
    lengths: Tensor
    largest: Tensor


@register
class EmbeddingBag(Table):
    """The sum, the mean or the maximum of the rows of a table over each bag of indices.

    x (n, t) of integers from 0 to num_embeddings - 1, each row a bag -> y (n, o), o = embedding_dim; or x (t), all bags
    one after another, and offsets (n), the position at which each bag starts, in ascending order from 0.
    weight (num_embeddings, o). An empty bag gives 0.
    mode "sum": y = sum_t s_t weight[x_t], with the factors per_sample_weights s of the shape of x, or 1;
    "mean": the sum divided by the number of indices in the bag; "max": the maximum, for each element of the vector.
    dweight[k] = sum of the shares of dy where x = k: s dy, dy / t, or dy where the maximum is first found in row k;
    ds_t = sum dy weight[x_t]; x and offsets have no gradient.

    include_last_offset  offsets (n + 1) also hold the end of the last bag; indices after it are in no bag
    padding_idx          an index that counts in no bag, whose row starts at 0 and has no gradient
    max_norm, norm_type, scale_grad_by_freq, weight: as in Embedding

    torch.nn's sparse is not supported. As in torch.nn, the order of offsets is not checked.
    Errors: ShapeError for floats, and if offsets or per_sample_weights do not fit x.
    """

    num_embeddings: int = setting(size())
    embedding_dim: int = setting(size())
    max_norm: float | None = setting(optional(number(0)), default=None)
    norm_type: float = setting(any_number(), default=2.0)
    scale_grad_by_freq: bool = setting(flag(), default=False)
    mode: Mode = setting(choice(Mode), default="mean")
    include_last_offset: bool = setting(flag(), default=False, kw_only=True)
    padding_idx: int | None = setting(optional(integer()), default=None, kw_only=True)
    weight: Initializer = setting(initializer(), default=Normal(), kw_only=True)

    slots: ClassVar = (
        InputSlot("input", kind="integer"),
        InputSlot("offsets", kind="integer", optional=True),
        InputSlot("per_sample_weights", optional=True),
    )

    def check_settings(self) -> None:
        super().check_settings()
        if self.scale_grad_by_freq and self.mode == "max":
            raise SettingError('EmbeddingBag: scale_grad_by_freq needs mode "sum" or "mean", not "max"')

    def forward(
        self, p: Values, x: Tensor, offsets: Tensor | None = None, factors: Tensor | None = None, *, training: bool
    ) -> tuple[Tensor, Bags]:
        self.check_inputs(x, offsets, factors)
        row = as_indices(x).reshape(-1).contiguous()
        if offsets is None:
            starts = torch.arange(len(x), dtype=row.dtype, device=x.device).mul_(x.shape[1])
        else:
            starts = as_indices(offsets, "offsets").to(row.dtype).contiguous()
        factors = None if factors is None else factors.reshape(-1).contiguous()
        table, how = self.bounded(p["weight"]), (self.scale_grad_by_freq, MODES[self.mode], False)
        y, *notes = aten._embedding_bag(table, row, starts, *how, factors, False, self.skipped)
        ends = offsets is not None and self.include_last_offset
        return y[:-1] if ends else y, Bags(row, starts, factors, x.shape, *notes)

    def backward(self, p: Values, bags: Bags, dy: Tensor, needs: Needs = EVERYTHING) -> Gradients:
        x, offsets, factors, shape, *notes = bags
        dfactors, gradients, mode = None, {}, MODES[self.mode]
        if len(dy) < len(offsets):  # what follows the end of the last bag has no gradient; torch would read beyond dy
            dy = torch.cat([dy, dy.new_zeros(1, self.embedding_dim)])
        dy = dy.contiguous()
        if "weight" in needs:
            how = self.num_embeddings, self.scale_grad_by_freq, mode, False
            gradients["weight"] = aten._embedding_bag_backward(dy, x, offsets, *notes, *how, factors, self.skipped)
        if factors is not None and "per_sample_weights" in needs:
            table = self.bounded(p["weight"])
            dfactors = aten._embedding_bag_per_sample_weights_backward(
                dy, table, x, offsets, bags.bag_of, mode, self.skipped
            ).view(shape)
        return (None, None, dfactors), gradients

    @property
    def skipped(self) -> int:
        """The index of padding as the kernels take it."""
        return -1 if self.padding is None else self.padding

    def check_inputs(self, x: Tensor, offsets: Tensor | None, factors: Tensor | None) -> None:
        """Raise ShapeError for inputs that do not go together."""
        if x.dim() not in (1, 2):
            raise ShapeError("indices are (n, t), or (t) with offsets (n)")
        if x.dim() == 1 and (offsets is None or offsets.dim() != 1):
            raise ShapeError("indices in one row need offsets (n), where each bag starts; or give indices (n, t)")
        if x.dim() == 2 and offsets is not None:
            raise ShapeError("each row of indices is a bag, so there can be no offsets: give indices (t) to use them")
        if offsets is not None and self.include_last_offset and not len(offsets):
            raise ShapeError("with include_last_offset, offsets hold at least one number, the end of the last bag")
        if factors is not None and self.mode != "sum":
            raise ShapeError(f'per_sample_weights need mode "sum", not "{self.mode}"')
        if factors is not None and factors.shape != x.shape:
            raise ShapeError("per_sample_weights need the shape of the indices")

    def describe(self) -> str:
        return f"{super().describe()}, {self.mode}"

    def expects(self, *inputs: Any) -> str:
        if len(inputs) < 2 or inputs[1] is None:
            return super().expects(*inputs)
        return f"{super().expects(*inputs)}, and offsets that rise from 0 to at most the number of indices"
