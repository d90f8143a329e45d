"""The compiler and the cache."""

import ctypes
import multiprocessing
import os

import pytest

from graphdl.errors import CompileError
from graphdl.execution.compiled import build as module
from graphdl.execution.compiled.build import build, cache_directory, find_compiler
from tests.execution.compiled.twins import needs_compiler

SOURCE = 'extern "C" int answer() { return %d; }\n'


@needs_compiler
def test_compiles_once(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path / "new" / "folder"))
    assert build(SOURCE % 42).answer() == 42
    monkeypatch.setattr(module, "_compile", lambda *_: pytest.fail("compiled again"))
    assert build(SOURCE % 42).answer() == 42
    assert [each.suffix for each in cache_directory().iterdir()] == [".so"]


def _answer(queue):
    queue.put(build(SOURCE % 7).answer())


@needs_compiler
def test_two_processes_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_answer, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for _ in processes] == [7, 7]
    for process in processes:
        process.join()
    assert len(list(tmp_path.iterdir())) == 1


@needs_compiler
def test_what_does_not_compile_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path))
    with pytest.raises(CompileError, match="the C\\+\\+ compiler failed"):
        build("this is no C++")
    assert not list(tmp_path.iterdir())


@needs_compiler
def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("GRAPHDL_CACHE", str(file / "cache"))
    with pytest.raises(CompileError, match="GRAPHDL_CACHE"):
        build(SOURCE % 1)


def test_the_directory(monkeypatch):
    monkeypatch.delenv("GRAPHDL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache_directory()).endswith("graphdl")


def test_the_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(CompileError, match=r"/no/such/compiler, which \$CXX names"):
        find_compiler()


@needs_compiler
def test_the_process_keeps_its_arithmetic(monkeypatch, tmp_path):
    """Loading a library does not make small numbers 0."""
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path))
    build(SOURCE % 2)
    assert ctypes.c_double(5e-324).value / 1 > 0
    assert 2.3e-308 / 4 > 0


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX")
def test_what_others_can_write_is_not_trusted(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAPHDL_CACHE", str(folder))
    assert build(SOURCE % 3).answer() == 3
    assert folder.stat().st_mode & 0o777 == 0o700
    (library,) = folder.iterdir()
    for path in (library, folder):
        path.chmod(0o720)
        with pytest.raises(CompileError, match="others can write"):
            build(SOURCE % 3)
        path.chmod(0o700)
    monkeypatch.setattr(module.os, "geteuid", lambda: library.stat().st_uid + 1)
    with pytest.raises(CompileError, match="belongs to another user"):
        build(SOURCE % 3)
