"""Batches of rows for a training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch

from graphdl.bundles import Bundle
from graphdl.data.checks import common_rows, whole_number
from graphdl.errors import SettingError

__all__ = ["Batches"]

BLOCK_BYTES = 2**20
"""The size of the pieces that are gathered at once: large enough that many small batches share the cost of a call, and
small enough to stay in the cache and to take little memory."""


class Batches:
    """The rows of a data set in batches; each iteration is one epoch.

    inputs {name: (n, ...)} -> ceil(n / batch_size) dicts {name: (batch_size, ...)}, the last one shorter
    if batch_size does not divide n

    With shuffle, each epoch has a new order, drawn when its first batch is requested, by torch.randperm on the CPU
    (from torch's global generator if none is given). It does not depend on the device or the dtype of the data. The
    tensors stay on their devices. Batches are views; without shuffle they are views of the data, which must not be
    changed in place.

    rows       the number of rows in an epoch
    chosen     the indices (m) of the rows that are used, in place of all, without a copy of them: the batches are those
               of the data {name: tensor[chosen]}
    drop_last  leaves out a last batch with fewer rows: with shuffle, other rows are left out in every epoch

    Raises SettingError if batch_size is not a whole number of at least 1, drop_last leaves no batch, the generator is
    not on the CPU, inputs is empty or a value is not a tensor; ShapeError if tensors have no rows or differ in length.

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
        drop_last: bool = False,
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
        if drop_last:
            self.rows = self._without_the_last(self.rows)
        self.shuffle = shuffle
        self.generator = generator
        self._inputs, self._chosen = dict(inputs), chosen
        self._step = min(self.batch_size, self.rows)
        self._kept: list[Bundle] = []
        self._whole: dict[str | int, torch.Tensor] = {}
        self._block_rows = self._rows_of_a_block()

    @property
    def inputs(self) -> Mapping[str | int, torch.Tensor]:
        """The data, with the rows that are not chosen."""
        return self._inputs

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[dict[str | int, torch.Tensor]]:
        names = tuple(self._inputs)
        for pieces in zip(*self._split(), strict=True):
            for batch in zip(*(torch.split(piece, self._step) for piece in pieces), strict=True):
                yield dict(zip(names, batch, strict=True))

    def bundles(self) -> Iterator[Bundle]:
        """The batches of one epoch; a shorter last batch is a separate bundle.

        >>> bundles = Batches({"x": torch.arange(5)}, batch_size=2, shuffle=False).bundles()
        >>> [bundle.stacked("x").tolist() for bundle in bundles]
        [[[0, 1], [2, 3]], [[4]]]
        """
        if not self.shuffle and self._kept:
            return iter(self._kept)
        whole, order = self.rows // self._step * self._step, self._order()
        inputs, bundles = self._contiguous(), []
        for part, size in ((slice(0, whole), self._step), (slice(whole, self.rows), self.rows - whole)):
            if order is not None and size:
                bundles.append(Bundle(inputs, order[part].view(-1, size)))
            elif size:
                views = {name: torch.unflatten(tensor[part], 0, (-1, size)) for name, tensor in inputs.items()}
                bundles.append(Bundle(views))
        self._kept = [] if self.shuffle else bundles
        return iter(bundles)

    @property
    def uniform(self) -> bool:
        """Whether all batches have the same number of rows, and are gathered by their indices."""
        return self.rows % self._step == 0 and (self.shuffle or self._chosen is not None)

    def ahead(self, epochs: int) -> Bundle:
        """The batches of the next epochs as one bundle, if they are uniform.

        >>> bundle = Batches({"x": torch.arange(6)}, 2, shuffle=False, chosen=torch.tensor([4, 1, 3, 0])).ahead(2)
        >>> bundle.stacked("x").tolist()
        [[4, 1], [3, 0], [4, 1], [3, 0]]
        """
        self._before = torch.get_rng_state() if self.generator is None else self.generator.get_state()
        orders = [order for _ in range(epochs) if (order := self._order()) is not None]
        return Bundle(self._contiguous(), torch.cat(orders).view(-1, self._step))

    def keep(self, epochs: int) -> None:
        """Undo what the last `ahead` has drawn for other epochs than the first ones."""
        if self.generator is None:
            torch.set_rng_state(self._before)
        else:
            self.generator.set_state(self._before)
        for _ in range(epochs):
            self._order()

    def _contiguous(self) -> dict[str | int, torch.Tensor]:
        """The data without gaps in memory: made once."""
        if not self._whole:
            self._whole = {name: tensor.contiguous() for name, tensor in self._inputs.items()}
        return self._whole

    def _order(self) -> torch.Tensor | None:
        """The order of the rows in this epoch, drawn again each time; None if they stay as they are."""
        if not self.shuffle:
            return None if self._chosen is None else self._chosen[: self.rows]
        count = self._held if self._chosen is None else len(self._chosen)
        order = torch.randperm(count, generator=self.generator, device="cpu")[: self.rows]
        return order if self._chosen is None else self._chosen[order]

    def _split(self) -> list[Iterable[torch.Tensor]]:
        """The successive pieces of whole batches of each tensor, in this epoch's order."""
        tensors, order = self._inputs.values(), self._order()
        if order is None:
            return [torch.split(tensor[: self.rows], self._block_rows) for tensor in tensors]
        return [_gather(tensor, order, self._block_rows) for tensor in tensors]

    def _without_the_last(self, rows: int) -> int:
        """The rows of the batches that are full. Raises SettingError if there is none."""
        if rows < self.batch_size:
            raise SettingError(
                f"drop_last=True leaves no batch of {rows} rows: batch_size is {self.batch_size}. Give a smaller one, "
                "or remove drop_last."
            )
        return rows // self.batch_size * self.batch_size

    def _rows_of_a_block(self) -> int:
        batch_bytes = sum(tensor.nbytes for tensor in self._inputs.values()) * self._step // self._held
        return max(1, BLOCK_BYTES // max(1, batch_bytes)) * self._step


def _gather(tensor: torch.Tensor, order: torch.Tensor, block_rows: int) -> Iterator[torch.Tensor]:
    for rows in torch.split(order.to(tensor.device), block_rows):
        yield tensor.index_select(0, rows)
