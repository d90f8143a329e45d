"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from graphdl.errors import FileFormatError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """An empty file in the folder of `path`, with its suffix, that takes its place when the block ends.

    Readers see the old file or the new one, never a part of it, and after a power failure too: the file and the folder
    are flushed to the disk. The folder is created. If the block fails, `path` is as before and nothing is left behind.
    The new file's name cannot be foreseen, its permissions are those of any new file, and a link is followed.
    Raises FileFormatError if the file cannot be written.
    """
    place = Path(path)
    try:
        place = place.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _new_file(place)
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


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file as a whole. Raises FileFormatError if it cannot be written."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


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


def _new_file(place: Path) -> Path:
    """A new, empty file beside another, that nobody else has opened."""
    if place.is_dir():
        raise IsADirectoryError(21, "it is a folder")
    path = place.with_name(f".part-{secrets.token_hex(8)}{place.suffix}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _flush(path: Path) -> None:
    """Wait until a file or a folder is on the disk; a file system that cannot flush folders is let pass."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def _unreadable(path: object, why: object) -> FileFormatError:
    return FileFormatError(f"{path} cannot be read: {why}.")


def _unwritable(path: object, error: Exception) -> FileFormatError:
    return FileFormatError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.")
