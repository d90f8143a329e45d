"""Compiled libraries, kept on disk. What is loaded has been checked: damaged files are rebuilt."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from graphdl.cpp.build import compile_library, find_compiler, flags_of, processor, version_of
from graphdl.errors import CompileError

MOST_BYTES, MOST_LIBRARIES = 512 * 2**20, 500
"""What the cache holds at most; what has not been used for longest goes first."""

MOST_LOADED = 256
"""The number of libraries that a process keeps at hand; others are loaded again from the folder."""

_loaded: dict[str, ctypes.CDLL] = {}
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def cache_directory() -> Path:
    """Where compiled steps are kept: $GRAPHDL_CACHE, or "graphdl" where the platform keeps such files."""
    if chosen := os.environ.get("GRAPHDL_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "graphdl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphdl"


@cache
def writer_version() -> str:
    """A digest of the code that writes C++: another version has another one."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".h"):
            found.update(path.read_bytes())
    return found.hexdigest()


def library(description: str, source: Callable[[], str]) -> ctypes.CDLL:
    """The library of a step that this text describes; its source is only asked for if it must be built.

    Several threads may ask at once; each library is built by one. Raises CompileError if it cannot be built.
    """
    compiler = find_compiler()
    parts = [description, writer_version(), *flags_of(compiler), version_of(compiler), processor()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        found = _loaded.get(key)
        return _hold(key, _find(key, compiler, source)) if found is None else found


def _hold(key: str, found: ctypes.CDLL) -> ctypes.CDLL:
    """Keep a library for the next step that needs it, in place of the oldest."""
    with _guard:
        _loaded[key] = found
        for oldest in list(_loaded)[:-MOST_LOADED]:
            del _loaded[oldest]
            _locks.pop(oldest, None)
    return found


def _find(key: str, compiler: str, source: Callable[[], str]) -> ctypes.CDLL:
    folder = cache_directory()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_dir():
        _check_owner(folder)
        content = _read(folder, key)
        if content is not None and (found := _load(content, folder)) is not None:
            return found
    text = source()
    try:
        with tempfile.TemporaryDirectory(prefix="graphdl-", ignore_cleanup_errors=True) as place:
            content = compile_library(compiler, text, Path(place)).read_bytes()
    except OSError as error:
        raise CompileError(f"the C++ compiler cannot be run: {error}") from None
    with suppress(OSError):  # read-only, or full: it works without
        _keep(folder, key, content)
        _tidy(folder, key)
    found = _load(content, folder)
    if found is None:
        raise CompileError("the compiled library cannot be loaded")
    return found


def _check_owner(path: Path) -> None:
    """Refuse what others can write: code is loaded from there."""
    if not hasattr(os, "geteuid"):
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise CompileError(f"{path} belongs to another user: let $GRAPHDL_CACHE name a folder that is yours alone")
    if found.st_mode & 0o022:
        raise CompileError(f"others can write {path}: let $GRAPHDL_CACHE name a folder that is yours alone")


def _read(folder: Path, key: str) -> bytes | None:
    """The content of a library, if it is whole and no other user can have written it."""
    path = folder / f"{key}.so"
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read()
        expected = path.with_suffix(".sha256").read_text()
    except (OSError, ValueError):
        return None
    strange = hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022)
    if strange or not stat.S_ISREG(found.st_mode) or expected != _summary(content):
        return None
    with suppress(OSError):
        os.utime(path)
    return content


def _summary(content: bytes) -> str:
    """The length and digest by which a damaged library is recognised."""
    return f"{hashlib.sha256(content).hexdigest()} {len(content)}\n"


def _load(content: bytes, folder: Path) -> ctypes.CDLL | None:
    """Load a library from a private copy, so that what has been checked is what is loaded."""
    for parent in (folder, None):
        try:
            with tempfile.TemporaryDirectory(prefix="load-", dir=parent) as place:
                path = Path(place, "step.so")
                path.write_bytes(content)
                return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None


def _keep(folder: Path, key: str, content: bytes) -> None:
    """Write a library and its checksum; a process that reads meanwhile finds the old or the new one."""
    for name, data in ((f"{key}.so", content), (f"{key}.sha256", _summary(content).encode())):
        handle, part = tempfile.mkstemp(prefix="part-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, folder / name)
        except OSError:
            Path(part).unlink(missing_ok=True)
            raise
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _tidy(folder: Path, key: str) -> None:
    """Remove what has not been used for longest, and what a process that died left."""
    found = []
    for path in folder.glob("*.so"):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    found.sort(reverse=True)
    total = 0
    for count, (_, size, path) in enumerate(found, 1):
        total += size
        if (total > MOST_BYTES or count > MOST_LIBRARIES) and path.stem != key:
            path.unlink(missing_ok=True)
            path.with_suffix(".sha256").unlink(missing_ok=True)
    if not found:
        return
    for path in (*folder.glob("part-*"), *folder.glob("load-*")):
        with suppress(OSError):
            if path.stat().st_mtime < found[0][0] - 3600:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
