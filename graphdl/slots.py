"""The input slots that an operator declares."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from graphdl.errors import SettingError, did_you_mean

SlotKind: TypeAlias = Literal["integer", "boolean", "class"]
SlotRole: TypeAlias = Literal["prediction", "target"]

CHOICES = {"kind": get_args(SlotKind), "role": get_args(SlotRole)}


class InputSlot(str):
    """The name of an input slot with its properties. A plain string declares the name only.

    optional  whether the slot may stay unfed: the operator then gets None, and the network gets no input for it
    kind      "integer" or "boolean" values; "class": class indices, or probabilities of the prediction's shape
    role      of a loss: "prediction" or "target"

    >>> from graphdl import InputSlot
    >>> slots = ("query", "key", "value", InputSlot("mask", optional=True, kind="boolean"))
    >>> slots[3] == "mask", slots[3].optional
    (True, True)
    """

    __slots__ = ("kind", "optional", "role")

    optional: bool
    kind: SlotKind | None
    role: SlotRole | None

    def __new__(
        cls, name: str, *, optional: bool = False, kind: SlotKind | None = None, role: SlotRole | None = None
    ) -> InputSlot:
        """Name a slot. Raises SettingError for an unknown kind or role."""
        for setting, value in (("kind", kind), ("role", role)):
            known = CHOICES[setting]
            if value is not None and value not in known:
                raise SettingError(
                    f"InputSlot {name!r}: {setting} must be None or {' or '.join(map(repr, known))}, not {value!r}."
                    f"{did_you_mean(value, known)}"
                )
        slot = super().__new__(cls, name)
        slot.optional, slot.kind, slot.role = optional, kind, role
        return slot

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (str(self), self.optional, self.kind, self.role)


def _restored(name: str, optional: bool, kind: SlotKind | None, role: SlotRole | None) -> InputSlot:
    return InputSlot(name, optional=optional, kind=kind, role=role)


def is_optional(slot: str) -> bool:
    """Whether the slot may stay unfed."""
    return isinstance(slot, InputSlot) and slot.optional


def role_of(slot: str) -> SlotRole | None:
    """The role of a slot of a loss: "prediction", "target" or None."""
    return slot.role if isinstance(slot, InputSlot) else None


def kind_of(slot: str) -> SlotKind | None:
    """The kind of values that the slot takes; None if it takes any."""
    return slot.kind if isinstance(slot, InputSlot) else None
