"""The folder of a run: its files, which of them count, and the lock of the process that trains.

run.json      the manifest: settings, digests, and which checkpoints count; replaced last, after every other file
model.json    the network, which Network.load reads
checkpoints/  epoch-0003-<digest>.safetensors after 3 epochs, epoch-0003+00012-<digest>.safetensors after 12 batches of
              the next one, best-0002-<digest>.safetensors with the network of the best epoch
lock          locked by the process that trains
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphdl.budget import most_text
from graphdl.errors import FileFormatError, SettingError, listing
from graphdl.files import read_bytes, remove_abandoned, write_bytes
from graphdl.model_file import DTYPES
from graphdl.training.runs.stored import encoded, read_state

try:
    import fcntl
except ImportError:  # pragma: no cover  # where files cannot be locked, two processes are not told apart
    fcntl = None  # type: ignore[assignment]

FORMAT, VERSION = "graphdl run", 2
KIND = f"graphdl checkpoint {VERSION}"

FILE = re.compile(r"(epoch|best)-[-+0-9a-f]+\.safetensors")
"""The names of checkpoints."""

PLACE = {"file": str, "sha256": str, "epoch": int}
CHECKPOINT = {**PLACE, "batch": int, "steps": int}
BEST = {**PLACE, "monitor": str, "value": (int, float)}
"""What an entry of the manifest holds."""


@dataclass
class Manifest:
    """What run.json holds.

    settings     what the numbers of the run depend on beside the network
    about        what the caller of fit has stored
    model        the sha256 of model.json
    checkpoints  the files that count, the oldest first: file, sha256, epoch, batch, steps
    best         the file of the best epoch: file, sha256, epoch, monitor, value
    ended        whether a callback has ended the run
    """

    settings: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    ended: bool = False


class RunFolder:
    """The files of a run. Raises FileFormatError for damaged files."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).absolute()  # a callback may change the directory
        self._manifest, self._model, self._files = self.path / "run.json", self.path / "model.json", "checkpoints"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A context in which no other process or thread trains into the folder, which is created if needed.

        What killed processes have left is removed. Raises SettingError if another one trains.
        """
        try:
            (self.path / self._files).mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise SettingError(f"checkpoint={str(self.path)!r} cannot be made: {why}.") from None
        with _locked(handle, self.path):
            for each in (self.path, self.path / self._files):
                remove_abandoned(each.resolve(), again=True)
            yield

    def read(self) -> Manifest | None:
        """The manifest; None if there is none. Raises FileFormatError if it is damaged."""
        if not self._manifest.exists():
            return None
        content = read_bytes(self._manifest, most_text())
        try:
            held = json.loads(content)
            digest, held["sha256"] = held["sha256"], ""
            if content != _text({**held, "sha256": digest}) or digest != hashlib.sha256(_text(held)).hexdigest():
                raise ValueError("its content is not that of its sha256")
            if (found := (held["format"], held["version"])) == (FORMAT, VERSION):
                return _checked(held["run"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileFormatError(f"{self._manifest} is damaged: {error}.") from None
        raise FileFormatError(
            f"{self._manifest} was written by another version of graphdl: its format is {found[0]!r:.40} "
            f"{found[1]!r:.40}, not {FORMAT!r} {VERSION}. Train again in another folder, or continue with that version."
        )

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest, and remove the checkpoints that it does not list."""
        held = {"format": FORMAT, "version": VERSION, "sha256": "", "run": vars(manifest)}
        content = _text({**held, "sha256": hashlib.sha256(_text(held)).hexdigest()})
        write_bytes(self._manifest, _bounded(content, "what describes the run, with `about`,"))
        self.clear(manifest)

    def clear(self, manifest: Manifest) -> None:
        """Remove the checkpoints that the manifest does not list."""
        counting = {entry["file"] for entry in [*manifest.checkpoints, manifest.best or {"file": ""}]}
        for path in (self.path / self._files).glob("[!.]*.safetensors"):
            if path.name not in counting:
                with suppress(OSError):
                    path.unlink()

    def write_model(self, stored: Mapping[str, Any]) -> str:
        """Write model.json; return its sha256. Raises SettingError if there is one that belongs to no run."""
        try:
            content = _bounded((json.dumps(stored, indent=1, allow_nan=False) + "\n").encode(), "the network")
        except ValueError:
            text = "checkpoint: a setting of the network is infinite or not a number, which JSON cannot hold."
            raise SettingError(text) from None
        if self._model.exists() and read_bytes(self._model, most_text()) != content:
            raise SettingError(f"{self.path} holds a model.json that belongs to no run: give another folder.")
        write_bytes(self._model, content)
        return hashlib.sha256(content).hexdigest()

    def read_model(self, manifest: Manifest) -> dict[str, Any]:
        """The network of model.json, as to_dict returned it."""
        content = read_bytes(self._model, most_text())
        if hashlib.sha256(content).hexdigest() != manifest.model:
            raise FileFormatError(f"{self._model} is damaged: its content is not that of the sha256 in run.json.")
        stored: dict[str, Any] = json.loads(content)
        return stored

    def write_checkpoint(self, name: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """Write a state; return its entry for the manifest, which has to be written next.

        The file is named by its content too, so that no file that counts is ever replaced by another.
        Raises FileFormatError if the folder has been removed since it was locked.
        """
        if not self._model.exists():
            raise FileFormatError(f"{self.path} was removed, or its model.json, while the run was stored in it.")
        content, digest = encoded(KIND, state)
        file = f"{name}-{digest[:8]}.safetensors"
        write_bytes(self.path / self._files / file, content)
        return {"file": file, "sha256": digest}

    def read_checkpoint(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The state of an entry of the manifest."""
        return read_state(self.path / self._files / entry["file"], KIND, entry["sha256"])


def _checked(held: Mapping[str, Any]) -> Manifest:
    """The manifest, if its fields are as they are written. Raises TypeError or ValueError if not."""
    if held.keys() != vars(manifest := Manifest()).keys():
        raise ValueError(f"its fields are {listing(held)}")
    vars(manifest).update(held)
    kinds = {"settings": dict, "about": dict, "model": str, "checkpoints": list, "ended": bool}
    wrong = [name for name, kind in kinds.items() if type(getattr(manifest, name)) is not kind]
    if not wrong and str(manifest.settings.get("dtype")).removeprefix("torch.") not in DTYPES:
        wrong = ["settings: dtype"]
    if not wrong and not all(_is_entry(each, CHECKPOINT) for each in manifest.checkpoints):
        wrong = ["checkpoints"]
    if manifest.best is not None and not _is_entry(manifest.best, BEST):
        wrong.append("best")
    if wrong:
        raise ValueError(f"{listing(wrong)} is not what fit writes")
    return manifest


def _is_entry(entry: object, kinds: Mapping[str, Any]) -> bool:
    """Whether an entry has these fields, and a file in the folder."""
    if not isinstance(entry, dict) or entry.keys() != kinds.keys():
        return False
    if not all(isinstance(entry[name], kind) for name, kind in kinds.items()):
        return False
    return entry["epoch"] >= 0 and entry.get("batch", 0) >= 0 and FILE.fullmatch(entry["file"]) is not None


_locks: set[int] = set()
"""The handles by which this process holds locks."""


def _release() -> None:
    """Close the handles that a forked process has inherited: else a lock would last as long as that process."""
    for handle in _locks:
        os.close(handle)
    _locks.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_release)


@contextmanager
def _locked(handle: int, folder: Path) -> Iterator[None]:
    """A context in which an open file is locked. Raises SettingError if another process or thread has locked it."""
    _locks.add(handle)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(handle, 20).decode("ascii", "replace")
                raise SettingError(
                    f"Another training run, in process {owner or 'unknown'}, writes into {folder}: wait for its "
                    "end, or give another folder."
                ) from None
            except OSError:  # some file systems have no locks
                pass
        with suppress(OSError):  # on a full disk
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        if handle in _locks:
            _locks.remove(handle)
            if fcntl is not None:
                with suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_UN)  # a process that was just forked may hold the file open
            os.close(handle)


def _bounded(content: bytes, what: str) -> bytes:
    """JSON that is to be written, if it can be read again. Raises SettingError if not."""
    if len(content) > (most := most_text()):
        raise SettingError(
            f"checkpoint: {what} takes {len(content):,} bytes as JSON, and at most {most:,} can be read."
        )
    return content


def _text(held: Mapping[str, Any]) -> bytes:
    return (json.dumps(held, indent=1) + "\n").encode()
