"""The base class of recurrent operators: what cells and layers over sequences have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from graphdl.errors import SettingError
from graphdl.initializers import Initializer
from graphdl.operators.operator import Operator
from graphdl.operators.recurrence.recurrences import Recurrence
from graphdl.settings import described


class Recurrent(Operator):
    """A recurrent operator with the settings that all of them have, described at LSTM."""

    slots: ClassVar[tuple[str, ...]]
    family: ClassVar = "recurrent"
    inferred: ClassVar = ("input_size",)

    input_size: int | None
    hidden_size: int | None
    bias: bool | Initializer
    weight: Initializer | None

    @property
    @abstractmethod
    def recurrence(self) -> Recurrence:
        """What is computed at each step."""

    def check_settings(self) -> None:
        if self.hidden_size is None:
            name = type(self).__name__
            raise SettingError(f"{name}: hidden_size is missing; write {name}(2, 25) or {name}(hidden_size=25)")

    def describe(self) -> str:
        return ", ".join(
            [f"{self.input_size or '?'} → {self.hidden_size}", *described(self, "input_size", "hidden_size")]
        )
