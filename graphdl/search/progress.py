"""The progress of a sweep: members, epochs, and the best figure so far."""

from __future__ import annotations

from graphdl.search.member import Member
from graphdl.search.ranking import Figure
from graphdl.search.space import described
from graphdl.training.progress import Progress


class SweepProgress(Progress):
    """A context in which `advance` counts the epochs of members.

    figure  by which the best member so far is shown
    """

    def __init__(self, members: int, epochs: int, figure: Figure, shown: bool) -> None:
        super().__init__(members * epochs, shown)
        self._members, self._epochs, self._figure = members, epochs, figure
        self._ended, self._best = 0, ""
        self._value: float | None = None

    def advance(self, member: Member, epochs: int) -> None:
        """Count epochs of a member, and those that are not made because it has ended."""
        if self._display is None:
            return
        self._ended += member.ended
        skipped = self._epochs - member.history.epochs if member.ended else 0
        value = self._figure.of(member.figures)
        if value is not None and (self._value is None or self._figure.better(value, self._value)):
            self._value = value
            where = described(member.setting) or f"member {member.number}"
            self._best = f"best {self._figure.name.replace('_', ' ')} {value:.4g} ({where})"
        self._count(epochs + skipped, lambda: (f"{self._ended} of {self._members} members", self._best))
