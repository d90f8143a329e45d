"""The scripts of examples/: where they are, and how `graphdl run` runs them."""

from __future__ import annotations

import ast
import inspect
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphdl.errors import SettingError, listing

__all__ = ["Script", "find_scripts"]


@dataclass(frozen=True)
class Script:
    """A script with a function `main`, which trains, prints and draws.

    >>> find_scripts()["resnet"].title
    'A residual network for handwritten digits'
    """

    path: Path

    @property
    def title(self) -> str:
        """The first sentence of its docstring."""
        text = ast.get_docstring(ast.parse(self.path.read_text(encoding="utf-8"))) or self.path.stem
        return text.split(".")[0]

    def run(self, settings: Mapping[str, Any]) -> None:
        """Call main with those of the settings that are not None. Raises SettingError for one that it does not take."""
        main = runpy.run_path(str(self.path))["main"]
        given = {name: value for name, value in settings.items() if value is not None}
        taken = inspect.signature(main).parameters
        for name in given.keys() - taken.keys() - {"folder"}:
            raise SettingError(f"The example {self.path.stem} has no {name}: it takes {listing(taken)}.")
        main(**{name: value for name, value in given.items() if name in taken})


def find_scripts() -> dict[str, Script]:
    """The scripts by name: those installed with the package, or in a clone those of examples/, beside it."""
    package = Path(__file__).parent
    folders = (package / "examples", package.parent / "examples")
    folder = next((each for each in folders if each.is_dir()), None)
    return {path.stem: Script(path) for path in sorted(folder.glob("*.py"))} if folder else {}
