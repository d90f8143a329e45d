"""Batches of rows for a training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch

from graphdl.data.checks import common_rows, whole_number
from graphdl.errors import SettingError

__all__ = ["Batches"]

BLOCK_BYTES = 2**20
"""The size of the blocks that are gathered at once: large enough that many small batches share the cost of a call, and
small enough to stay in the cache and to take little memory."""


class Batches:
    """The rows of a data set in batches; each iteration is one epoch.

    inputs {name: (n, ...)} -> ceil(n / batch_size) dicts {name: (batch_size, ...)}, the last one shorter
    if batch_size does not divide n

    With shuffle, each epoch has a new order, drawn when its first batch is requested, by torch.randperm on the CPU
    (from torch's global generator if none is given). It does not depend on the device or the dtype of the data. The
    tensors stay on their devices. Batches are views; without shuffle they are views of the data, which must not be
    changed in place.

    data    {name: (n, ...)}
    rows    the number of rows in an epoch
    chosen  the indices (m) of the rows that are used, in place of all, without a copy of them: the batches are those of
            the data {name: tensor[chosen]}

    Raises SettingError if batch_size is not a whole number of at least 1, the generator is not on the CPU, inputs is
    empty or a value is not a tensor; ShapeError if tensors have no rows or differ in length.

    >>> batches = Batches({"x": torch.arange(5), "target": torch.zeros(5, 1)}, batch_size=2, shuffle=False)
    >>> len(batches), batches.rows
    (3, 5)
    >>> [batch["x"].tolist() for batch in batches]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        inputs: Mapping[str | int, torch.Tensor],
        batch_size: int,
        shuffle: bool = True,
        generator: torch.Generator | None = None,
        chosen: torch.Tensor | None = None,
    ) -> None:
        if not isinstance(inputs, Mapping):
            raise SettingError(f"inputs must be a dict {{name: tensor}}, not a {type(inputs).__name__}.")
        if generator is not None and generator.device.type != "cpu":
            raise SettingError(
                f"The generator is on {generator.device}: give one on the CPU, torch.Generator(). The order of rows is "
                "drawn there, so that it does not depend on the device of the data."
            )
        self.batch_size = whole_number("batch_size", batch_size, least=1)
        self._held = common_rows({repr(name): tensor for name, tensor in inputs.items()})
        self.rows = self._held if chosen is None else len(chosen)
        self.shuffle = shuffle
        self.generator = generator
        self.data, self.chosen = dict(inputs), chosen
        self._step = min(self.batch_size, self.rows)
        self._block_rows = self._rows_of_a_block()

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str | int, torch.Tensor]]:
        names = tuple(self.data)
        for blocks in zip(*self._blocks(), strict=True):
            for batch in zip(*(torch.split(block, self._step) for block in blocks), strict=True):
                yield dict(zip(names, batch, strict=True))

    def blocks(self) -> Iterator[dict[str | int, torch.Tensor]]:
        """The batches of one epoch, several at a time: dicts {name: (K, batch_size, ...)}.

        A shorter last batch is a separate block.

        >>> [block["x"].tolist() for block in Batches({"x": torch.arange(5)}, batch_size=2, shuffle=False).blocks()]
        [[[0, 1], [2, 3]], [[4]]]
        """
        names = tuple(self.data)
        for blocks in zip(*self._blocks(), strict=True):
            whole = len(blocks[0]) // self._step * self._step
            if whole:
                yield {n: b[:whole].unflatten(0, (-1, self._step)) for n, b in zip(names, blocks, strict=True)}
            if whole < len(blocks[0]):
                yield {n: b[whole:][None] for n, b in zip(names, blocks, strict=True)}

    def _blocks(self) -> list[Iterable[torch.Tensor]]:
        """Return the successive blocks of whole batches of each tensor, in this epoch's order."""
        tensors = self.data.values()
        if self.shuffle:
            drawn = torch.randperm(self.rows, generator=self.generator, device="cpu")
            order = drawn if self.chosen is None else self.chosen[drawn]
        elif self.chosen is not None:
            order = self.chosen
        else:
            return [torch.split(tensor, self._block_rows) for tensor in tensors]
        return [_gather(tensor, order, self._block_rows) for tensor in tensors]

    def _rows_of_a_block(self) -> int:
        batch_bytes = sum(tensor.nbytes for tensor in self.data.values()) * self._step // self._held
        return max(1, BLOCK_BYTES // max(1, batch_bytes)) * self._step


def _gather(tensor: torch.Tensor, order: torch.Tensor, block_rows: int) -> Iterator[torch.Tensor]:
    for rows in torch.split(order.to(tensor.device), block_rows):
        yield tensor.index_select(0, rows)
