"""Lines that repeat become the body of a loop, such as the steps of a recurrent operator."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOVING = re.compile(r"(?<=MOVING\()\d+(?=\))")
"""The integers that may move from turn to turn: where in memory, and which call of the tape. The text marks them."""
LEAST = 8
"""The least number of lines that a loop must save."""
CANDIDATES = 8
"""The distances that are tried: those to the next lines of the same kind."""


def rolled(lines: Sequence[str]) -> list[str]:
    """The lines, with loops for those that repeat.

    Lines repeat if they are equal but for moving numbers, each of which moves by a constant from turn to turn. A loop
    runs the same statements on the same memory, in the same order, whatever they do.
    """
    repetitions = _Repetitions(lines)
    found: list[str] = []
    k = 0
    while k < len(lines):
        period, count = repetitions.of(k)
        if count > 1:
            body = [repetitions.moving(j, period) for j in range(k, k + period)]
            found += [f"for (int64_t turn = 0; turn < {count}; turn++) {{", *body, "}"]
        else:
            found.append(lines[k])
        k += period * count
    return found


class _Repetitions:
    """Finds what repeats from a line on; asked for lines in their order, it takes linear time."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._texts = [MOVING.split(line) for line in lines]
        self._numbers = [[int(number) for number in MOVING.findall(line)] for line in lines]
        self._alike: dict[tuple[str, ...], list[int]] = {}  # the lines of a kind
        self._places: list[tuple[list[int], int]] = []  # for each line, those of its kind, and its place among them
        for k, text in enumerate(self._texts):
            alike = self._alike.setdefault(tuple(text), [])
            self._places.append((alike, len(alike)))
            alike.append(k)
        self._ends: dict[int, int] = {}  # period -> the end of the stretch of steady lines that was found last

    def of(self, k: int) -> tuple[int, int]:
        """The lines of a turn and the number of turns, from line k on, that save the most lines; (1, 1) if none do."""
        best, most = (1, 1), LEAST - 1
        alike, place = self._places[k]
        for other in alike[place + 1 : place + 1 + CANDIDATES]:
            period = other - k
            steady = self._steady_end(k, period) - k
            count = steady // period + 2 if steady >= period else 1
            if (count - 1) * period > most:
                best, most = (period, count), (count - 1) * period
        return best

    def _steady_end(self, k: int, period: int) -> int:
        """The first line from line k on that is not steady."""
        end = max(k, self._ends.get(period, 0))
        while self._steady(end, period):
            end += 1
        self._ends[period] = end
        return end

    def _steady(self, k: int, period: int) -> bool:
        """Whether line k repeats after a turn and after two, and each number moves twice by the same."""
        second, third = k + period, k + 2 * period
        if third >= len(self._places) or not self._places[k][0] is self._places[second][0] is self._places[third][0]:
            return False
        numbers = zip(self._numbers[k], self._numbers[second], self._numbers[third], strict=True)
        return all(b - a == c - b for a, b, c in numbers)

    def moving(self, k: int, period: int) -> str:
        """Line k, whose numbers move with the turns."""
        moves = zip(self._numbers[k], self._numbers[k + period], strict=True)
        numbers = [f"{a} + turn * {b - a}" if a != b else str(a) for a, b in moves]
        return "".join(text + number for text, number in zip(self._texts[k], [*numbers, ""], strict=True))
