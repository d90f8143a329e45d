"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from graphdl.errors import FileFormatError

try:
    import fcntl
except ImportError:  # pragma: no cover  # where files cannot be locked, unfinished ones of killed processes stay
    fcntl = None  # type: ignore[assignment]

UNFINISHED = re.compile(r"\.part-[0-9a-f]{16}(\..*)?")
"""The names of unfinished files."""

_cleared: set[Path] = set()
"""The folders from which this process has removed what others have left."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_cleared.clear)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """An empty file in the folder of `path`, with its suffix, that takes its place when the block ends.

    Readers see the old file or the new one, never a part of it, and after a power failure too: the file and the folder
    are flushed to the disk. The folder is created. If the block fails, `path` is as before and nothing is left behind.
    The new file's name cannot be foreseen, its permissions are those of any new file, and a link is followed. What a
    killed process leaves unfinished is removed when another one writes into the folder.
    Raises FileFormatError if the file cannot be written.
    """
    place = Path(path)
    try:
        place = place.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(place.parent)
        unfinished, handle = _new_file(place)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(path, error) from None
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, place)
        _flush(place.parent)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise
    finally:
        os.close(handle)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file as a whole. Raises FileFormatError if it cannot be written."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def remove_abandoned(folder: Path, again: bool = False) -> None:
    """Remove the unfinished files of killed processes from a folder, once in the life of a process, or `again`.

    Every process locks those that it writes, and the lock ends with the process.
    """
    if (folder in _cleared and not again) or fcntl is None:
        return
    _cleared.add(folder)
    with suppress(OSError):
        for path in [folder / name for name in os.listdir(folder) if UNFINISHED.fullmatch(name)]:
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(handle)


@contextmanager
def reading(path: str | Path) -> Iterator[BinaryIO]:
    """A file that is open for reading.

    Raises FileFormatError if it cannot be opened, and for what is not a file, such as a folder, a pipe or a device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or error) from None
    if not stat.S_ISREG(mode := os.fstat(handle).st_mode):
        os.close(handle)
        raise _unreadable(path, "Is a directory" if stat.S_ISDIR(mode) else "it is a pipe or a device")
    with os.fdopen(handle, "rb") as file:
        yield file


def read_bytes(path: str | Path, most: int) -> bytes:
    """The content of a file. Raises FileFormatError if it cannot be read, or is longer than `most` bytes."""
    with reading(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FileFormatError(f"{path} is longer than {most:,} bytes.")
    return content


def _new_file(place: Path) -> tuple[Path, int]:
    """A new, empty file beside another, that nobody else has opened, and its handle, by which it is locked."""
    if place.is_dir():
        raise IsADirectoryError(21, "it is a folder")
    if place.exists() and not place.is_file():
        raise OSError(22, "it is a pipe or a device")
    while True:
        path = place.with_name(f".part-{secrets.token_hex(8)}{place.suffix}")
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        if fcntl is not None:
            with suppress(OSError):  # some file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # another process has removed it as abandoned before it was locked


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk; errors of file systems that cannot flush folders are ignored."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():
            raise


def _unreadable(path: object, why: object) -> FileFormatError:
    return FileFormatError(f"{path} cannot be read: {why}.")


def _unwritable(path: object, error: Exception) -> FileFormatError:
    return FileFormatError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.")
