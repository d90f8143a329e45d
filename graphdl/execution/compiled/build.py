"""The C++ compiler, and the directory that keeps what it made."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from graphdl.errors import CompileError

FLAGS = (
    "-O3", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
    "-fassociative-math", "-fno-signed-zeros", "-freciprocal-math", "-ffp-contract=fast",
)  # fmt: skip
"""Sums may be reordered. -ffast-math would do more: it assumes that nothing is infinite, and linking with it makes the
whole process flush small numbers to 0."""


def cache_directory() -> Path:
    """Where compiled steps are kept: $GRAPHDL_CACHE, or "graphdl" where the platform keeps such files."""
    if chosen := os.environ.get("GRAPHDL_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "graphdl"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphdl"


def find_compiler() -> str:
    """The C++ compiler: $CXX, or the first that is installed. CompileError if there is none."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++", "c++"]:
        if found := shutil.which(name):
            return found
    missing = f"there is no {wanted}, which $CXX names" if wanted else "there is no C++ compiler: install g++"
    raise CompileError(missing)


@cache
def version_of(compiler: str) -> str:
    """What a compiler says about itself."""
    try:
        return subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CompileError(f"the C++ compiler {compiler} does not run: {error}") from None


@cache
def processor() -> str:
    """The machine, with the instructions that its processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return f"{platform.machine()} " + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def build(source: str) -> ctypes.CDLL:
    """The library of a source, from the cache if it was built before. CompileError if it cannot be built."""
    compiler = find_compiler()
    key = "\0".join([source, *FLAGS, version_of(compiler), processor()])
    folder = cache_directory()
    library = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_owner(folder)
        if not library.exists():
            _compile(compiler, source, library)
        _check_owner(library)
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompileError(f"the cache cannot be used, see $GRAPHDL_CACHE: {error}") from None


def _check_owner(path: Path) -> None:
    """Refuse what others can write: code is loaded from there."""
    if not hasattr(os, "geteuid"):
        return
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise CompileError(f"{path} belongs to another user: let $GRAPHDL_CACHE name a folder that is yours alone")
    if found.st_mode & 0o022:
        raise CompileError(f"others can write {path}: let $GRAPHDL_CACHE name a folder that is yours alone")


def _compile(compiler: str, source: str, library: Path) -> None:
    """Write the library under a name of its own, and then give it its name: another process may be doing the same."""
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as folder:
        text, part = Path(folder, "step.cpp"), Path(folder, "step.so")
        text.write_text(source)
        vectors = ["-lmvec"] if sys.platform == "linux" and platform.machine() == "x86_64" else []
        command = [compiler, *FLAGS, str(text), "-o", str(part), *vectors, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
            raise CompileError(f"the C++ compiler failed: {first.rpartition('error: ')[2]}")
        part.chmod(0o700)
        os.replace(part, library)
