"""Successive halving: settings that perform poorly early are dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from graphdl.search.member import Member
from graphdl.search.ranking import Figure
from graphdl.settings import Settings, setting, size


@dataclass(frozen=True)
class Halving(Settings):
    """Successive halving: after some epochs only the best settings are trained further.

    After `first`, `first` · factor, `first` · factor², ... epochs, 1 of `factor` settings continues, rounded up.
    Settings are compared by the mean of their members over seeds and folds; those with a member that failed come last.

    Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.

    >>> Halving(factor=3, first=5).rungs(100)
    [5, 15, 45, 100]
    """

    factor: int = setting(size(2), default=3)
    first: int = setting(size(1), default=1)

    def rungs(self, epochs: int) -> list[int]:
        """The numbers of epochs after which settings are dropped, and at last all epochs."""
        found, rung = [], self.first
        while rung < epochs:
            found.append(rung)
            rung *= self.factor
        return [*found, epochs]

    def survivors(self, members: Sequence[Member], epochs: int, figure: Figure) -> list[Member]:
        """The members of the best settings after so many epochs."""
        candidates: dict[int, list[Member]] = {}
        for member in members:
            candidates.setdefault(member.candidate, []).append(member)
        worth = {candidate: _worth(held, epochs, figure) for candidate, held in candidates.items()}
        ranked = sorted(candidates, key=lambda candidate: worth[candidate])
        chosen = set(ranked[: math.ceil(len(ranked) / self.factor)])
        return [member for member in members if member.candidate in chosen]


def _worth(members: Sequence[Member], epochs: int, figure: Figure) -> tuple[int, float]:
    """The number of members without a figure, and the mean of the others; less is better."""
    values = [_value(member, epochs, figure) for member in members]
    known = [value for value in values if not math.isnan(value)]
    return len(values) - len(known), fmean(known) if known else math.inf


def _value(member: Member, epochs: int, figure: Figure) -> float:
    """The figure after so many epochs, or where training ended before; nan if it failed before."""
    made = dict(member.history).get(figure.name, [])
    if member.ended and len(made) <= epochs:
        value = math.nan if member.state == "failed" else member.figures.get(figure.name, math.nan)
    else:
        value = made[epochs - 1]
    return -value if figure.maximise else value
