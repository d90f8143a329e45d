"""The checkpoint of a sweep: a folder with a safetensors file for each member. It holds no code.

A file is named after a digest of all that a member's training depends on: see identity.py. So a sweep that is run
again, or a larger one, finds the members that it shares.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphdl.errors import FileFormatError, SettingError
from graphdl.files import write_bytes
from graphdl.search.identity import name_of
from graphdl.search.member import Member, Recipe
from graphdl.search.run import Run
from graphdl.search.state import RunState, can_continue, state_of
from graphdl.training.runs.stored import encoded, read_state

SECONDS = 10.0
"""How often a member that has not ended is stored."""

FORMAT = "graphdl sweep 2"


class Checkpoint:
    """Stores members when they have ended, and each every ten seconds at an epoch end; finds them again.

    Raises SettingError if the folder holds members of other sweeps only, or cannot be written.
    """

    def __init__(self, folder: str | Path, members: Sequence[Member], recipe: Recipe, digest: str) -> None:
        self._folder = Path(folder).absolute()
        self._paths = {member.number: self._folder / name_of(member, recipe, digest) for member in members}
        self._start, self._saved = time.monotonic(), dict[int, float]()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"checkpoint={str(folder)!r} cannot be made: {error.strerror or error}.") from None
        held = set(self._folder.glob("[!.]*.safetensors"))
        if held and not held & set(self._paths.values()):
            raise SettingError(
                f"checkpoint={str(folder)!r} holds {len(held)} members of other sweeps and none of this one: give "
                "another folder. Networks are recognised by their first parameters, so they need the same seeds."
            )

    def load(self, member: Member) -> RunState | None:
        """The stored state of a member; None if there is none. Raises FileFormatError for a damaged file."""
        path = self._paths[member.number]
        if not path.exists():
            return None
        try:
            return RunState(read_state(path, FORMAT))
        except FileFormatError as error:
            raise FileFormatError(f"{error} Remove it to train the member again.") from None

    def save(self, run: Run) -> None:
        """Store a run at an epoch end."""
        content, _ = encoded(FORMAT, state_of(run).values)
        write_bytes(self._paths[run.member.number], content)

    def save_if_due(self, runs: Iterable[Run]) -> None:
        """Store those of the runs, which are at an epoch end, that were not stored for ten seconds.

        Callbacks must allow it. Runs that have ended are stored by `save`.
        """
        now = time.monotonic()
        for run in runs:
            last = self._saved.get(run.member.number, self._start)
            if run.member.state == "training" and now - last >= SECONDS and can_continue(run):
                self.save(run)
                self._saved[run.member.number] = now
