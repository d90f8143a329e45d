"""docs/benchmarks.md and its charts, from the stored results alone."""

from __future__ import annotations

import inspect
from pathlib import Path

from benchmarks import tables
from benchmarks.environment import RESULTS, ROOT
from benchmarks.registry import BENCHMARKS, module
from benchmarks.results import Result, load

INTRODUCTION = """\
# Benchmarks

`make bench` measures everything here and writes this page. All contestants of a benchmark take turns in one run of
several rounds, on one thread. A figure is the median of the rounds, with the fastest and the slowest round in
parentheses, and its ratio to the reference, which is the first column or the one with 1.00×. Sections may be of
different days; each names its machine.

    make bench                              # everything, then this page: about half an hour
    .venv/bin/python -m benchmarks step     # one of: {names}
    .venv/bin/python -m benchmarks report   # this page from out/benchmarks; sections without results stay

Peers that are not installed are skipped and listed; `pip install '.[bench]'` installs them, except the C compiler.
"""


def write(results: Path = RESULTS, docs: Path = ROOT / "docs") -> list[str]:
    """Write the page and the charts; return their names. Raises FileNotFoundError if nothing is stored.

    A benchmark whose results are not stored keeps its section of the page as it is.
    """
    found = {name: result for name in BENCHMARKS if (result := load(name, results))}
    if not found:
        raise FileNotFoundError(f"{results.name} holds no results: run python -m benchmarks NAME first")
    head = INTRODUCTION.format(names=", ".join(BENCHMARKS))
    written = ["benchmarks.md"]
    sections = _sections(docs / "benchmarks.md")
    for name, result in found.items():
        charts = draw(result, docs / "img")
        written += charts
        sections[name] = section(result, charts)
    (docs / "benchmarks.md").write_text("\n".join([head, *(sections[name] for name in BENCHMARKS if name in sections)]))
    return written


def _sections(page: Path) -> dict[str, str]:
    """The sections of a page by benchmark; none if there is no page."""
    parts = page.read_text().split("\n## ")[1:] if page.exists() else []
    return {part.partition(":")[0]: f"## {part.rstrip()}\n" for part in parts}


def draw(result: Result, folder: Path) -> list[str]:
    """Draw the charts of a benchmark, a table each; return the names of the files."""
    names = []
    for (name, chart), table in zip(module(result.name).CHARTS.items(), result.tables, strict=False):
        if table.measurements:
            chart(table, folder / f"benchmark_{name}.svg")
            names.append(f"benchmark_{name}.svg")
    return names


def section(result: Result, charts: list[str]) -> str:
    """Heading, explanation, charts, tables and notes of a benchmark."""
    heading, _, explanation = (inspect.getdoc(module(result.name)) or result.name).partition("\n\n")
    parts = [f"## {result.name}: {heading.rstrip('.')}", explanation.strip()]
    parts += [f"![{result.tables[k].title}](img/{chart})" for k, chart in enumerate(charts)]
    for table in result.tables:
        parts += [f"**{table.title}**", tables.markdown(table)]
    lines = [
        f"Machine: {result.machine}.",
        *result.notes,
        *(f"Skipped: {what}: {reason}." for what, reason in result.skipped.items()),
    ]
    parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(part for part in parts if part) + "\n"
