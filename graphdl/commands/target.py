"""Columns of a table as a target, and predictions as its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy
import torch
from torch import Tensor

from graphdl.commands.columns import Table
from graphdl.errors import FileFormatError, did_you_mean, listing

Form = Literal["indices", "one-hot", "binary", "numbers"]


@dataclass(frozen=True)
class Target:
    """Columns that are what a network should answer.

    form     class indices (n); one number for each class (n, c); a number of each column, low or 1, for two classes
             (n, k); or the numbers of the columns (n, k)
    classes  the labels of the classes, in the order of their indices
    """

    columns: tuple[str, ...]
    form: Form
    classes: tuple[str, ...] = ()
    low: float = 0.0

    @property
    def of_classes(self) -> bool:
        """Whether it names classes."""
        return self.form != "numbers"

    def encoded(self, table: Table) -> Tensor:
        """The target as the loss takes it."""
        if self.form == "numbers":
            return torch.from_numpy(numpy.stack([table.floats(name) for name in self.columns], 1))
        indices = torch.tensor([self._indices(table, name) for name in self.columns]).T.contiguous()
        if self.form == "binary":
            return torch.where(indices > 0, 1.0, self.low)
        if self.form == "indices":
            return indices[:, 0]
        return torch.nn.functional.one_hot(indices[:, 0], len(self.classes)).float()

    def _indices(self, table: Table, name: str) -> list[int]:
        """The numbers of the classes of a column."""
        labels = table.labels(name)
        for label in dict.fromkeys(labels):
            if label not in self.classes:
                raise FileFormatError(
                    f"{table.path}: the column {name!r} has {label!r}, which is not one of the classes that the "
                    f"network knows, {listing(self.classes)}.{did_you_mean(label, self.classes)}"
                )
        numbers = {label: number for number, label in enumerate(self.classes)}
        return [numbers[label] for label in labels]

    def decoded(self, prediction: Tensor, threshold: float) -> dict[str, list[Any]]:
        """Predictions by column: labels of classes, or numbers."""
        if self.form in ("indices", "one-hot"):
            return {self.columns[0]: [self._label(number) for number in prediction.argmax(1).flatten().tolist()]}
        columns = prediction.flatten(1).T.tolist() if prediction.dim() > 1 else [prediction.tolist()]
        if self.form == "binary":
            columns = [[self._label(int(number > threshold)) for number in column] for column in columns]
        names = self.columns if len(self.columns) == len(columns) else [f"{k}" for k in range(len(columns))]
        return dict(zip(names, columns, strict=True))

    def _label(self, number: int) -> str:
        """The label of a class; the number itself where the network has more classes than the training has seen."""
        return self.classes[number] if number < len(self.classes) else str(number)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Target:
        """The target of a stored dictionary. Raises TypeError or ValueError for one that is damaged."""
        held = cls(**{**stored, "columns": texts(stored["columns"]), "classes": texts(stored.get("classes", []))})
        if held.form not in get_args(Form) or not held.columns or held.of_classes != bool(held.classes):
            raise ValueError(f"{dict(stored)!r:.200} is not a target")
        if held.form in ("indices", "one-hot") and len(held.columns) > 1:
            raise ValueError("classes are one column")
        if isinstance(held.low, bool) or held.low not in (-1.0, 0.0):
            raise ValueError(f"low is {held.low!r:.100}")
        return held


def texts(stored: Any) -> tuple[str, ...]:
    """A stored list of texts. Raises TypeError for anything else."""
    if not isinstance(stored, (list, tuple)) or not all(isinstance(text, str) for text in stored):
        raise TypeError(f"{stored!r:.100} is not a list of texts")
    return tuple(stored)
