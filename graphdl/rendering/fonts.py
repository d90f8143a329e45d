"""Whether the fonts of this machine have the letters of a diagram."""

from __future__ import annotations

import html
import shutil
import subprocess
import unicodedata
import warnings
from functools import cache

from graphdl.errors import GraphDLWarning, level_outside

__all__ = ["warn_of_missing_glyphs"]

AFTER_LATIN = "\u0250"


def warn_of_missing_glyphs(source: str) -> None:
    """Warn if no font has some letters of a DOT source. Nothing is known without fontconfig's program fc-list."""
    letters = {c for c in html.unescape(source) if c >= AFTER_LATIN and unicodedata.category(c)[0] in "LN"}
    covered = _covered() if letters else ()
    missing = sorted(c for c in letters if not any(ord(c) in part for part in covered))
    if covered and missing:
        first = "".join(missing[:8]) + ("..." if len(missing) > 8 else "")
        warnings.warn(
            f"No font of this machine has {first}: boxes are drawn in their place. Install a font that has them, such "
            "as the Debian package fonts-noto-cjk, or write a .svg file, for which the viewer's fonts are used.",
            GraphDLWarning,
            stacklevel=level_outside(),
        )


@cache
def _covered() -> tuple[range, ...]:
    """The characters of all fonts that fontconfig knows; () if its program is missing."""
    program = shutil.which("fc-list")
    if program is None:
        return ()
    listed = subprocess.run([program, ":", "charset"], capture_output=True, text=True, check=False).stdout
    parts = {part for line in listed.splitlines() for part in line.rpartition("charset=")[2].split()}
    ends = (part.partition("-") for part in parts)
    return tuple(range(int(first, 16), int(last or first, 16) + 1) for first, _, last in ends)
