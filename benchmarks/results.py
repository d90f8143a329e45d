"""What a benchmark returns, and its file: figures of contestants in groups, in tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.environment import RESULTS, machine


@dataclass
class Measurement:
    """One contestant's figures, one a round.

    group  what was measured: a net, a size; "" where there is but one
    at     the group's place on a chart's horizontal axis
    """

    group: str
    contestant: str
    figures: list[float]
    at: float | None = None

    @property
    def median(self) -> float:
        """The middle figure."""
        return statistics.median(self.figures)


@dataclass
class Table:
    """Measurements in one unit. Ratios are a contestant's median to the reference's of the same group."""

    title: str
    unit: str
    reference: str
    measurements: list[Measurement] = field(default_factory=list)

    def add(self, group: str, seconds: dict[str, list[float]], scale: float = 1.0, at: float | None = None) -> None:
        """Append a group's figures, {contestant: figures}, in units of `scale`."""
        for contestant, figures in seconds.items():
            self.measurements.append(Measurement(group, contestant, [x / scale for x in figures], at))

    @property
    def groups(self) -> list[str]:
        """The groups, in order."""
        return list(dict.fromkeys(m.group for m in self.measurements))

    @property
    def contestants(self) -> list[str]:
        """The contestants, the reference first."""
        return list(dict.fromkeys([self.reference, *(m.contestant for m in self.measurements)]))

    def find(self, group: str, contestant: str) -> Measurement | None:
        """One measurement, if it was made."""
        wanted = (group, contestant)
        return next((m for m in self.measurements if (m.group, m.contestant) == wanted), None)

    def ratio(self, measurement: Measurement) -> float | None:
        """How many times the reference's figure this one is."""
        base = self.find(measurement.group, self.reference)
        return measurement.median / base.median if base and base.median else None


@dataclass
class Result:
    """What one benchmark found.

    skipped  contestant or group -> why it was not measured
    notes    sentences with what was checked and seen besides
    """

    name: str
    tables: list[Table]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine: str = field(default_factory=machine)

    def save(self, folder: Path = RESULTS) -> Path:
        """Write it as JSON; return the path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        return path


def load(name: str, folder: Path = RESULTS) -> Result | None:
    """What `save` wrote, or None."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    data = json.loads(path.read_text())
    tables = [Table(**{**table, "measurements": _measurements(table)}) for table in data.pop("tables")]
    return Result(tables=tables, **data)


def _measurements(table: dict[str, list[dict[str, object]]]) -> Iterable[Measurement]:
    return [Measurement(**measurement) for measurement in table["measurements"]]


def join_skipped(by_group: dict[str, dict[str, str]]) -> dict[str, str]:
    """{group: {contestant: reason}} -> {contestant, and in which groups if not in all: reason}."""
    groups: dict[tuple[str, str], list[str]] = {}
    for group, skipped in by_group.items():
        for contestant, reason in skipped.items():
            groups.setdefault((contestant, reason), []).append(group)
    everywhere = len(by_group)
    return {
        contestant if len(found) == everywhere else f"{contestant} ({', '.join(found)})": reason
        for (contestant, reason), found in groups.items()
    }
