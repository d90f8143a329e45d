"""What a pass recorded, by name."""

from __future__ import annotations

from typing import Any

from graphdl.errors import UnknownNodeError, did_you_mean, listing


class Recorded(dict[Any, Any]):
    """What a pass recorded, by name; a name under which nothing was recorded is explained."""

    def __missing__(self, name: object) -> Any:
        held = f"Recorded are {listing(map(repr, self))}." if self else "Call forward, and backward, first."
        raise UnknownNodeError(f"No value was recorded for {name!r}.{did_you_mean(name, self)} {held}")
