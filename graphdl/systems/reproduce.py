"""All experiments, and one page of what they report."""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.files import write_bytes
from graphdl.plots import new_figure
from graphdl.systems.report import Report

__all__ = ["EXPERIMENTS", "find_experiments", "reproduce"]

EXPERIMENTS = {
    "A1": "a1_optimizers",
    "A2": "a2_spread",
    "A3": "a3_batch_size",
    "A4": "a4_initialization",
    "A5": "a5_torch",
    "A6": "a6_baseline",
    "B1": "b1_search",
    "B2": "b2_activations",
    "B3": "b3_losses",
    "B4": "b4_xavier",
    "C1": "c1_batch_norm",
    "C2": "c2_convolution",
    "D1": "d1_line",
    "D2": "d2_disc_linear",
    "D3": "d3_disc_tanh",
    "E1": "e1_library",
}
"""The module of each experiment."""

PICTURES = Path("img", "systems")


def find_experiments(names: Iterable[str]) -> list[str]:
    """The experiments of these names, in order; all if there are none. Raises SettingError for an unknown name."""
    wanted = [name.upper() for name in names]
    for name in wanted:
        if name not in EXPERIMENTS:
            raise SettingError(
                f"No experiment is called {name!r}.{did_you_mean(name, EXPERIMENTS)} The experiments are "
                f"{listing(EXPERIMENTS, len(EXPERIMENTS))}."
            )
    return [name for name in EXPERIMENTS if name in wanted or not wanted]


def reproduce(
    names: Iterable[str] = (),
    folder: str | Path = "out",
    *,
    quick: bool = False,
    tell: Callable[[Report, float], None] = lambda report, seconds: None,
) -> Path:
    """Run experiments, write their figures and pictures into folder/systems.md and folder/img/systems; return the page.

    names  such as ["A1", "C2"]; none runs all
    quick  runs each with two seeds and few epochs, to see that it runs
    tell   called after each experiment, with its report and its seconds

    Raises SettingError for an unknown name, MissingPackageError without matplotlib or scikit-learn.
    """
    new_figure(1, 1)  # a missing package is reported before training, not after
    folder, sections, start = Path(folder), [], time.perf_counter()
    page = folder / "systems.md"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{page} cannot be written: {error.strerror}.") from None
    for name in find_experiments(names):
        experiment = importlib.import_module(f"graphdl.systems.{EXPERIMENTS[name]}")
        begun = time.perf_counter()
        report: Report = experiment.run(folder=folder / PICTURES, **(experiment.QUICK if quick else {}))
        seconds = time.perf_counter() - begun
        sections.append(report.markdown(folder, seconds))
        write_bytes(page, "\n".join([_opening(quick, time.perf_counter() - start), *sections]).encode())
        tell(report, seconds)
    return page


def _opening(quick: bool, seconds: float) -> str:
    few = "\n\nThese figures are of `--quick`: two seeds and few epochs, to see that all of it runs." if quick else ""
    return f"""# The five systems

Five small frameworks, A to E, published experiments with toy classifiers. This page is what graphdl obtains with their
networks and settings; `make reproduce` writes it.{few}

- Unless said otherwise, the points are those of the disc: 1000 for training and 1000 others for the test, uniform in
  [0, 1]², class 1 within 1/sqrt(2 pi) of (0.5, 0.5). Runs have the seeds 0, 1, 2, ..., which draw the points, the first
  parameters and the order of the rows; none was chosen for its result.
- A figure is the mean ± the standard deviation over the runs, after the last epoch. Settings that are not published, or
  that are called tuned, were found by a few trials on such points.
- In pictures, "validation" are the test points.
- "Difference" is obtained minus published, for published numbers.

Machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}.
Time: {seconds / 60:.1f} minutes in all.
"""
