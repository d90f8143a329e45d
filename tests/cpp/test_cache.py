from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from graphdl.cpp import build, cache
from graphdl.errors import CompileError
from tests.cpp.twins import Twin
from tests.twins import needs_compiler

pytestmark = needs_compiler


def double(x):
    return x * 2


def made(value: float = 3.0) -> list[float]:
    """What a compiled step computes."""
    twin = Twin(double, torch.full((5,), value))
    done, (found,) = twin.run()
    assert done == 1
    return found[0].tolist()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and nothing loaded."""
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_loaded", {})
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch):
    """A list that grows with every run of the compiler."""
    found, usual = [], cache.compile_library

    def counted(*arguments):
        found.append(arguments)
        return usual(*arguments)

    monkeypatch.setattr(cache, "compile_library", counted)
    return found


def forget() -> None:
    cache._loaded.clear()


def test_a_library_is_built_once_and_found_again(folder, compilations):
    assert made() == made() == [6.0] * 5
    forget()
    assert made() == [6.0] * 5
    assert len(compilations) == 1
    assert len(list(folder.glob("*.so"))) == len(list(folder.glob("*.sha256"))) == 1
    assert not [path for path in folder.iterdir() if path.name.startswith(("part-", "load-"))]


def test_in_the_cache_the_text_is_not_even_written(folder, monkeypatch):
    made()
    forget()
    monkeypatch.setattr("graphdl.cpp.compiled.written_step", lambda *_: pytest.fail("written"))
    assert made() == [6.0] * 5


def test_every_truncation_is_noticed(folder):
    made()
    (path,) = folder.glob("*.so")
    whole = path.read_bytes()
    for size in range(len(whole) - 1, -1, -1):
        os.truncate(path, size)
        assert cache._read(folder, path.stem) is None
    path.write_bytes(whole)
    assert cache._read(folder, path.stem) == whole


def test_flipped_bits_are_noticed(folder):
    made()
    (path,) = folder.glob("*.so")
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(1000):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        assert cache._read(folder, path.stem) is None


@pytest.mark.parametrize("damage", ["truncated", "empty", "zeroed", "flipped", "sum", "no sum", "folder"])
def test_what_is_damaged_is_built_anew(folder, compilations, damage):
    made()
    (path,) = folder.glob("*.so")
    whole = path.read_bytes()
    summary = path.with_suffix(".sha256")
    if damage == "sum":
        summary.write_text("0" * 64)
    elif damage == "no sum":
        summary.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        half = len(whole) // 2
        path.write_bytes({
            "truncated": whole[:half], "empty": b"", "zeroed": whole[:half] + bytes(len(whole) - half),
            "flipped": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
        }[damage])  # fmt: skip
    forget()
    assert made() == [6.0] * 5
    assert len(compilations) == 2
    if damage != "folder":
        assert path.read_bytes() == whole
        assert cache._read(folder, path.stem) == whole


def test_a_library_that_others_can_write_is_built_anew(folder, compilations):
    made()
    (path,) = folder.glob("*.so")
    path.chmod(0o666)
    forget()
    assert made() == [6.0] * 5
    assert len(compilations) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_can_write_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CompileError, match="others can write"):
        made()


@pytest.mark.parametrize("kind", ["a file", "in a file", "in nothing"])
def test_without_a_folder_it_works_too(tmp_path, monkeypatch, folder, kind):
    (tmp_path / "file").write_text("")
    place = {"a file": tmp_path / "file", "in a file": tmp_path / "file" / "x", "in nothing": Path("/proc/nothing")}[
        kind
    ]
    monkeypatch.setenv("GRAPHDL_CACHE", str(place))
    assert made() == [6.0] * 5


def test_on_a_full_disk_it_works_too(folder, monkeypatch):
    usual = cache.tempfile.mkstemp

    def full(*arguments, **named):
        if named.get("dir") == folder:
            raise OSError(28, "No space left on device")
        return usual(*arguments, **named)

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    assert made() == [6.0] * 5
    assert not list(folder.glob("*.so"))


def test_the_cache_is_bounded(folder, monkeypatch):
    made()
    (kept,) = folder.glob("*.so")
    for k in range(5):
        (folder / f"old{k}.so").write_bytes(b"x")
        os.utime(folder / f"old{k}.so", (k, k))
    monkeypatch.setattr(cache, "MOST_LIBRARIES", 3)
    cache._tidy(folder, kept.stem)
    assert {path.stem for path in folder.glob("*.so")} == {kept.stem, "old4", "old3"}
    monkeypatch.setattr(cache, "MOST_BYTES", 0)
    cache._tidy(folder, kept.stem)
    assert {path.stem for path in folder.glob("*.so")} == {kept.stem}


def test_threads_compile_at_once_each_library_once(folder, compilations):
    start = threading.Barrier(4)

    def work(k: int) -> list[float]:
        start.wait()
        return [Twin(lambda x, k=k: x * (k // 2 + 2), torch.ones(3)).run()[1][0].sum().item()]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [[6.0], [6.0], [9.0], [9.0]]
    assert len(compilations) == 2


def compiler(tmp_path: Path, monkeypatch, script: str) -> None:
    path = tmp_path / "c++"
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo strange && exit 0\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))


def test_a_compiler_that_never_ends_is_stopped(folder, tmp_path, monkeypatch):
    compiler(tmp_path, monkeypatch, "sleep 100")
    monkeypatch.setattr(build, "TIMEOUT", 0.2)
    start = time.monotonic()
    with pytest.raises(CompileError, match=r"took more than 0.2 seconds"):
        made()
    assert time.monotonic() - start < 20


def test_a_compiler_that_fails_says_why(folder, tmp_path, monkeypatch):
    compiler(tmp_path, monkeypatch, "echo 'step.cpp:1: error: no memory left' >&2; exit 1")
    with pytest.raises(CompileError, match="the C\\+\\+ compiler failed: no memory left"):
        made()


def test_a_compiler_that_does_not_exist(folder, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompileError, match="there is no no-such-compiler"):
        made()


def test_a_library_that_cannot_be_loaded(folder, tmp_path, monkeypatch):
    compiler(tmp_path, monkeypatch, 'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo text > "$2"; shift; done')
    with pytest.raises(CompileError, match="cannot be loaded"):
        made()


def test_a_compiler_that_has_just_ended_can_be_stopped():
    process = subprocess.Popen([sys.executable, "-c", ""], stderr=subprocess.PIPE, text=True, start_new_session=True)
    process.wait()
    build._stop(process)
