"""Losses and metrics over several batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from graphdl.training.scoring import Pair, Score, Scorer


class Means:
    """The losses and metrics of a scorer over several batches.

    Losses are means weighted by the rows of the batches, and so are functions that are metrics. Accuracy is the share
    of all labels that count, and a metric of graphdl.metrics measures all rows together.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.rows = 0
        self._scorer = scorer
        self._sums: dict[str, float] = {}
        self._kept: list[Sequence[Pair]] = []

    def add(self, score: Score) -> None:
        """Add the score of a batch."""
        self.rows += score.rows
        self._sums["loss"] = self._sums.get("loss", 0.0) + score.loss * score.rows
        for name, figure in score.figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + figure * score.rows
        if score.kept:
            self._kept.append(score.kept)

    def add_all(self, rows: int, figures: Mapping[str, Sequence[float]], kept: Sequence[Pair] = ()) -> None:
        """Add several batches with the same number of rows: each entry as K numbers, kept pairs as (K, n, ...)."""
        for name, values in figures.items():
            total = self._sums.get(name, 0.0)
            for value in values:
                total += value * rows
            self._sums[name] = total
        self.rows += rows * len(figures["loss"])
        if kept:
            self._kept.append([(predictions.flatten(0, 1), targets.flatten(0, 1)) for predictions, targets in kept])

    def figures(self) -> dict[str, float]:
        """Name -> loss or metric; {} if there were no rows."""
        if not self.rows:
            return {}
        found = {name: total / self.rows for name, total in self._sums.items()}
        for name, (accuracy, entries) in self._scorer.in_parts.items():
            found[name] = accuracy.of_shares(*(found[entry] for entry in entries))
        for k, (name, metric) in enumerate(self._scorer.over_rows.items()):
            predictions, targets = zip(*(kept[k] for kept in self._kept), strict=True)
            found[name] = metric(torch.cat(predictions), torch.cat(targets))
        return {name: found[name] for name in self._scorer.names}

    def state_dict(self) -> dict[str, Any]:
        """What was added so far, to go on with."""
        return {"rows": self.rows, "sums": dict(self._sums), "kept": [list(kept) for kept in self._kept]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self.rows, self._sums, self._kept = state["rows"], dict(state["sums"]), list(state["kept"])


class EpochMeans:
    """The losses and metrics of successive epochs, each of so many batches."""

    def __init__(self, scorer: Scorer, epochs: int, batches: int) -> None:
        self._epochs, self._batches, self._added = [Means(scorer) for _ in range(epochs)], batches, 0

    @property
    def begun(self) -> int:
        """The number of epochs to which the batches that were added, and the next one, belong."""
        return min(len(self._epochs), self._added // self._batches + 1)

    def add(self, score: Score) -> None:
        """Add the score of a batch."""
        self._epochs[self._added // self._batches].add(score)
        self._added += 1

    def add_all(self, rows: int, figures: Mapping[str, Sequence[float]], kept: Sequence[Pair] = ()) -> None:
        """Add several batches with the same number of rows: each entry as K numbers, kept pairs as (K, n, ...)."""
        start, count = 0, len(figures["loss"])
        while start < count:
            epoch, made = divmod(self._added, self._batches)
            stop = min(count, start + self._batches - made)
            part = [(predictions[start:stop], targets[start:stop]) for predictions, targets in kept]
            self._epochs[epoch].add_all(rows, {name: values[start:stop] for name, values in figures.items()}, part)
            self._added += stop - start
            start = stop

    def figures(self) -> list[dict[str, float]]:
        """The losses and metrics of each epoch."""
        return [means.figures() for means in self._epochs]
