"""The published experiments of five small frameworks, A to E: what each reports, and what graphdl obtains.

Every experiment is a file over the public functions of graphdl, with a function run(seeds, epochs, folder) -> Report.
`graphdl reproduce` runs them and writes one page with their figures and pictures.
"""

from __future__ import annotations

from graphdl.systems.report import Report, Result
from graphdl.systems.reproduce import EXPERIMENTS, find_experiments, reproduce

__all__ = ["EXPERIMENTS", "Report", "Result", "find_experiments", "reproduce"]
