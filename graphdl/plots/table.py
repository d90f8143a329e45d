"""Rows of a table, as a sweep returns them: their settings and figures, checked and put on axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any, TypeAlias

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.shown import received, visible

__all__ = [
    "Row",
    "check_names",
    "check_rows",
    "finite_or_nan",
    "is_number",
    "logarithmic",
    "plain",
    "spaced_logarithmically",
    "text",
    "values",
]

Row: TypeAlias = Mapping[str, Any]

DECADE = 10.0


def check_rows(rows: Sequence[Row], names: Iterable[str]) -> None:
    """Raise SettingError if there are no rows, they are not dictionaries, or a row lacks one of the names."""
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        raise SettingError(
            f"rows must be a list of dictionaries {{setting or figure: value}}, not {received(rows)}: give "
            "result.table. Of a DataFrame, give table.to_dict('records')."
        )
    if not rows:
        raise SettingError("There are no rows: there is nothing to draw.")
    for name in names:
        if not isinstance(name, str):
            raise SettingError(f"A column must be given by its name, a string, not {received(name)}.")
        for position, row in enumerate(rows):
            if name not in row:
                raise SettingError(f"Row {position} has no {name!r}.{did_you_mean(name, row)} It has {listing(row)}.")


def check_names(what: str, names: object) -> None:
    """Raise SettingError unless names are a list: a string would be taken letter by letter."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise SettingError(f"{what} must be a list of names, not {names!r:.100}: write [{names!r:.60}].")


def values(rows: Sequence[Row], name: str) -> list[Any]:
    """The distinct values of a setting: numbers in increasing order, others as they come."""
    distinct = list({repr(row[name]): row[name] for row in rows}.values())
    return sorted(distinct) if all(map(is_number, distinct)) else distinct


def is_number(value: object) -> bool:
    """Whether a setting is a number; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def finite_or_nan(value: object) -> float:
    """A figure as a number; NaN if it is none, or not finite."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


def logarithmic(name: str, figures: Iterable[float]) -> bool:
    """Whether figures of that name are drawn logarithmically: positive, over more than a decade, and no accuracies."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return "accuracy" not in name and bool(finite) and 0 < min(finite) * DECADE < max(finite)


def spaced_logarithmically(settings: Sequence[float]) -> bool:
    """Whether the steps between positive numbers, in increasing order, are more alike as factors than as differences.

    >>> spaced_logarithmically([1e-3, 1e-2, 1e-1]), spaced_logarithmically([1, 2, 3])
    (True, False)
    """
    if min(settings) <= 0 or len(settings) < 3:
        return min(settings) > 0 and max(settings) > DECADE * min(settings)
    return _unevenness([math.log(setting) for setting in settings]) < _unevenness(settings)


def _unevenness(numbers: Sequence[float]) -> float:
    steps = [b - a for a, b in pairwise(numbers)]
    return pstdev(steps) / fmean(steps)


def plain(name: str) -> str:
    """A name as it is shown."""
    return visible(name).replace("_", " ")


def text(value: object) -> str:
    """A setting as it is shown."""
    return f"{value:.3g}" if isinstance(value, float) else visible(value)
