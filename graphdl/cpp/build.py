"""The C++ compiler."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from graphdl.errors import CompileError

FLAGS = (
    "-O1", "-march=native", "-std=c++17", "-fPIC", "-shared", "-w", "-fno-math-errno", "-fno-trapping-math",
    "-ffp-contract=off",
)  # fmt: skip
"""None of these changes a value. All vectors are written in the text: the compiler adds, joins and splits none. Why
-O1: see decision 11."""
VECTORS_AS_WRITTEN = {
    "clang": ("-fno-vectorize", "-fno-slp-vectorize", "-mprefer-vector-width=512"),
    "gcc": ("-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-Wno-psabi"),
}
MORE_FLAGS = "GRAPHDL_CPP_FLAGS"
"""The environment variable with flags that tests add, those of sanitizers."""
TIMEOUT = 300.0
"""Seconds after which the compiler is stopped."""


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
    """What a compiler says about itself. CompileError if it does not run."""
    try:
        done = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"the C++ compiler {compiler} does not run: {error}") from None
    return done.stdout


@cache
def processor() -> str:
    """The machine, with the instructions that its processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return f"{platform.machine()} " + next((line for line in lines if line.startswith(("flags", "Features"))), "")


def flags_of(compiler: str) -> tuple[str, ...]:
    """The flags for a compiler, and the libraries."""
    kind = "clang" if "clang" in version_of(compiler) else "gcc"
    flags = [*FLAGS, *VECTORS_AS_WRITTEN[kind], *shlex.split(os.environ.get(MORE_FLAGS, ""))]
    if platform.machine() not in ("x86_64", "AMD64"):
        flags = [flag for flag in flags if not flag.startswith("-mprefer")]
    vectors = ["-lmvec"] if sys.platform == "linux" and platform.machine() == "x86_64" else []
    return (*flags, *vectors, "-lm")


def compile_library(compiler: str, source: str, folder: Path) -> Path:
    """The library of a source, in this folder. CompileError if the compiler fails or takes too long."""
    text, library = folder / "step.cpp", folder / "step.so"
    text.write_text(source)
    flags = flags_of(compiler)
    libraries = [flag for flag in flags if flag.startswith("-l")]
    command = [compiler, *(flag for flag in flags if flag not in libraries), str(text), "-o", str(library), *libraries]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=os.name == "posix"
    )
    try:
        _, errors = process.communicate(timeout=TIMEOUT)
    except BaseException as error:
        _stop(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise CompileError(f"the C++ compiler took more than {TIMEOUT:g} seconds and was stopped") from None
        raise
    if process.returncode:
        first = next((line for line in errors.splitlines() if "error" in line), errors[:200])
        raise CompileError(f"the C++ compiler failed: {first.rpartition('error: ')[2] or 'it says nothing'}")
    return library


def _stop(process: subprocess.Popen[str]) -> None:
    """Stop a compiler with the programs that it has started."""
    with suppress(ProcessLookupError):  # it has just ended
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.communicate()
