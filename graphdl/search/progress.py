"""The progress bar of a sweep: members, epochs, and the best figure so far. It is shown on terminals only."""

from __future__ import annotations

from graphdl.search.member import Member
from graphdl.search.ranking import Figure
from graphdl.search.space import described
from graphdl.training.progress import TerminalBar


class SweepProgress(TerminalBar):
    """A context in which `advance` counts the epochs of members.

    figure  by which the best member so far is shown
    """

    def __init__(self, members: int, epochs: int, figure: Figure, shown: bool) -> None:
        self._members, self._epochs, self._figure = members, epochs, figure
        self._ended, self._best = 0, ""
        self._value: float | None = None
        before, after = "{task.fields[members]}, epoch", ["{task.fields[best]}"]
        super().__init__(shown, members * epochs, before, after, members=f"0 of {members} members", best="")

    def advance(self, member: Member, epochs: int) -> None:
        """Count epochs of a member, and those that are not made because it has ended."""
        if self._bar.disable:
            return
        self._ended += member.ended
        skipped = self._epochs - member.history.epochs if member.ended else 0
        value = self._figure.of(member.figures)
        if value is not None and (self._value is None or self._figure.better(value, self._value)):
            self._value = value
            where = described(member.setting) or f"member {member.number}"
            self._best = f"best {self._figure.name.replace('_', ' ')} {value:.4g} ({where})"
        text = f"{self._ended} of {self._members} members"
        self._bar.update(self._task, advance=epochs + skipped, members=text, best=self._best)
