"""Vectors of parameters with the same settings, and the call that updates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from graphdl.optim.numbers import Numbers, State, Variant
from graphdl.optim.writing import FirstUpdate, next_values, write
from graphdl.parameters import Extent, Name, ParameterStore


@dataclass
class Memory:
    """The tensors of an optimizer: the parameters' vector, and the state that it keeps between steps.

    state     vectors as long as the parameters' vector; of any shapes if the optimizer is joint
    variants  the settings of each parameter
    count     the number of updates, on the device
    width     how many numbers an update has; the last one is t
    """

    store: ParameterStore
    state: State
    variants: Mapping[Name, Variant]
    count: Tensor
    width: int
    first: FirstUpdate

    @property
    def joint(self) -> bool:
        """Whether an update couples all parameters."""
        return any(variant.optimizer.joint for variant in self.variants.values())

    def piece(self, variant: Variant) -> Piece:
        """A call, to which parameters of these settings can be added."""
        return (JointPiece if variant.optimizer.joint else Piece)(self, variant)

    def stretches(self, run: Iterable[Extent]) -> list[list[Extent]]:
        """Split adjacent parameters into stretches of the same settings, each of which one call can update."""

        def settings(extent: Extent) -> tuple[int, int]:
            variant = self.variants[extent.node, extent.name]
            joined = variant.optimizer.elementwise and not self.joint
            return id(variant), 0 if joined else extent.start

        return [list(piece) for _, piece in groupby(run, settings)]

    def variant(self, stretch: Sequence[Extent]) -> Variant:
        """The settings of a stretch."""
        return self.variants[stretch[0].node, stretch[0].name]

    def views(self, stretch: Sequence[Extent]) -> tuple[Tensor, State]:
        """The views of a stretch into the parameters' vector and into the state."""
        part, variant = slice(stretch[0].start, stretch[-1].stop), self.variant(stretch)
        w, *state = (vector[part] for vector in (self.store.flat, *self.state[: variant.kept]))
        if variant.optimizer.elementwise:
            return w, tuple(state)
        return w.view(stretch[0].shape), tuple(vector.view(stretch[0].shape) for vector in state)


class Piece:
    """Vectors of parameters that have the same settings, and the call that updates them."""

    def __init__(self, memory: Memory, variant: Variant) -> None:
        self._memory, self.variant, self._first = memory, variant, memory.first
        self._kernel, self._numbers = variant.kernel, variant.numbers
        if self._kernel is not None and memory.store.flat.is_meta:
            self._kernel = _on_meta  # not every kernel supports meta tensors
        self.w: list[Tensor] = []
        self.g: list[Tensor] = []
        self.state: list[list[Tensor]] = [[] for _ in range(variant.kept)]
        self._counts: list[Tensor] = []

    def add(self, stretch: Sequence[Extent], *g: Tensor) -> None:
        """Add parameters, with the memory of their gradients."""
        w, state = self._memory.views(stretch)
        self.w.append(w)
        self.g += [each.view_as(w) for each in g]
        self._counts.append(self._memory.count)
        for vectors, vector in zip(self.state, state, strict=True):
            vectors.append(vector)

    def __call__(self) -> None:
        """Make the update."""
        if self._first.open:
            self._first.watch(self.variant.name, self._numbers, self.w, self.g, self._move)
        elif self._kernel is not None:
            self._kernel(self.w, self.g, self.state, self._counts, self._numbers)
        else:
            self._move()

    def by(self, gradient: Tensor) -> None:
        """Make the update of a single parameter by its gradient, wherever that is stored."""
        (w,) = self.w
        self.g = [gradient.to(w.dtype).contiguous().view_as(w)]
        self()
        self.g = []

    def _move(self) -> None:
        if self._kernel is not None:
            return self._kernel(self.w, self.g, self.state, self._counts, self._numbers)
        for held, results in self._results(self._numbers):
            write(held, results)

    def _results(self, s: Numbers) -> Iterator[tuple[Sequence[Tensor], Sequence[Tensor]]]:
        """Parameters and state, and their next values, which are to be written there."""
        for w, g, *state in zip(self.w, self.g, *self.state, strict=True):
            yield (w, *state), next_values(self.variant.optimizer, w, g, tuple(state), s)

    def formula(self, row: Tensor, t: Tensor, due: Tensor | None) -> None:
        """Make the update by the formula, with numbers from a row of a table; no update if `due` is false."""
        for held, results in self._results(self.variant.read(row, t)):
            if due is not None:
                results = [torch.where(due, new, old) for new, old in zip(results, held, strict=True)]
            write(held, results)


class JointPiece(Piece):
    """Parameters that are updated as one vector, and the call that updates them."""

    def add(self, stretch: Sequence[Extent], *g: Tensor) -> None:
        """Add a parameter, with the memory of its gradient."""
        self.w += [self._memory.store.flat[extent.start : extent.stop] for extent in stretch]
        self.g += g

    def _results(self, s: Numbers) -> Iterator[tuple[Sequence[Tensor], Sequence[Tensor]]]:
        w, g, state = torch.cat(self.w), torch.cat(self.g), self._memory.state
        new, *following = next_values(self.variant.optimizer, w, g, state, s)
        yield (*self.w, *state), (*torch.split(new, [len(part) for part in self.w]), *following)


def _on_meta(w: list[Tensor], g: list[Tensor], states: list[list[Tensor]], counts: list[Tensor], s: Numbers) -> None:
    """The reads and writes of a kernel, on meta tensors, to plan the cost of a step."""
    for vectors in (w, *states):
        for vector, gradient in zip(vectors, g, strict=True):
            vector.add_(gradient)
