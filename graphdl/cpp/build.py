"""The C++ compiler, and the directory that keeps what it made."""

from __future__ import annotations

import ctypes
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
    "-O2", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math",
    "-ffp-contract=off", "-mprefer-vector-width=512", "-w",
)  # fmt: skip
VECTORS_AS_WRITTEN = {True: ("-fno-vectorize", "-fno-slp-vectorize"), False: ("-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-Wno-psabi")}


@cache
def version_of(compiler: str) -> str:
    try:
        return subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CompileError(f"the C++ compiler {compiler} does not run: {error}") from None


def find_compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++", "c++"]:
        if found := shutil.which(name):
            return found
    missing = f"there is no {wanted}, which $CXX names" if wanted else "there is no C++ compiler: install g++"
    raise CompileError(missing)


def build(source: str) -> ctypes.CDLL:
    compiler = find_compiler()
    flags = FLAGS + VECTORS_AS_WRITTEN["clang" in version_of(compiler)]
    with tempfile.TemporaryDirectory(prefix="build-") as folder:
        text, part = Path(folder, "step.cpp"), Path(folder, "step.so")
        text.write_text(source)
        vectors = ["-lmvec"] if sys.platform == "linux" and platform.machine() == "x86_64" else []
        command = [compiler, *flags, str(text), "-o", str(part), *vectors, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            Path("/tmp/failed.cpp").write_text(source)
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
            raise CompileError(f"the C++ compiler failed: {first.rpartition('error: ')[2]}")
        return ctypes.CDLL(str(part))
