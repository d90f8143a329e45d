"""Files are written as a whole or not at all."""

import ast
import multiprocessing
import os
import stat
import threading
from functools import cache
from pathlib import Path

import pytest
import torch

from graphdl import Linear, MSELoss, Network, fit
from graphdl.errors import FileFormatError, GraphDLError
from graphdl.files import read_bytes, replacing, write_bytes
from graphdl.optim import SGD
from graphdl.plots import plot_points
from graphdl.search import sweep

PACKAGE = Path(__file__).parents[1] / "graphdl"
X = torch.linspace(-1, 1, 20).reshape(10, 2)


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "folder" / "figure.svg"
    write_bytes(path, b"old")
    with replacing(path) as unfinished:
        assert unfinished.suffix == ".svg"
        unfinished.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["figure.svg"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_if_the_block_fails(tmp_path, error):
    path = tmp_path / "model.json"
    write_bytes(path, b"old")
    with pytest.raises(error):
        _fail_halfway(path, error)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.json"]


def _fail_halfway(path, error):
    with replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise error


def test_a_link_is_followed_and_permissions_are_those_of_new_files(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "link", b"content")
    finally:
        os.umask(old)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be written: it is a folder"):
        write_bytes(tmp_path, b"")
    write_bytes(tmp_path / "file", b"")
    with pytest.raises(FileFormatError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "inside", b"")
    with pytest.raises(FileFormatError, match="cannot be written"):
        write_bytes("with\0null", b"")


def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError, match="pipe cannot be written: it is a pipe or a device"):
        write_bytes(tmp_path / "pipe", b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_threads_write_one_file(tmp_path):
    path, contents = tmp_path / "file", [bytes([k]) * 100_000 for k in range(4)]
    threads = [threading.Thread(target=lambda c=c: [write_bytes(path, c) for _ in range(20)]) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]


def net():
    operators = {"fc": Linear(2, 1), "loss": MSELoss()}
    return Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0)


@cache
def trained_history():
    return fit(net(), X, X[:, :1], optimizer=SGD(lr=0.1), epochs=2, batch_size=5, progress=False)


@cache
def small_sweep():
    data, optimizer = {"x": X, "target": X[:, :1]}, lambda setting: SGD(lr=setting["lr"])
    settings = {"over": {"lr": [0.1, 0.2]}, "optimizer": optimizer, "epochs": 1, "batch_size": 5, "progress": False}
    return sweep(lambda setting: net(), data, **settings)


WRITERS = {
    "model.json": lambda path: net().save(path),
    "model.graphdl": lambda path: net().save(path),
    "network.dot": lambda path: net().render(path),
    "network.svg": lambda path: net().render(path),
    "history.png": lambda path: trained_history().plot(path),
    "points.pdf": lambda path: plot_points(path, {"all": (X, torch.arange(10) % 2)}, lambda x: (x[:, 0] > 0).long()),
    "sweep.csv": lambda path: small_sweep().to_csv(path),
    "sweep.json": lambda path: small_sweep().to_json(path),
    "sweep.svg": lambda path: small_sweep().plot(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_keeps_the_old_file_if_it_fails(name, tmp_path, monkeypatch):
    path = tmp_path / name
    assert WRITERS[name](path) == path
    new = path.read_bytes()
    path.write_bytes(b"old")

    def full(*paths):
        assert Path(paths[0]).stat().st_size == len(new)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GraphDLError, match=r"cannot be written.*No space left on device"):
        WRITERS[name](path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


WRITING = {
    "write_text",
    "write_bytes",
    "savefig",
    "save_file",
    "to_csv",
    "to_json",
    "touch",
    "replace",
    "rename",
    "dump",
}
BY_OTHER_MEANS = {
    "files.py": "the one place that writes",
    "cpp/build.py": "a private folder of the compiler",
    "cpp/cache.py": "the cache, which checks what it reads",
    "commands/folder.py": "a folder that is set aside and put back",
    "commands/use.py": "a member of an archive in memory",
    "rendering/drawing.py": "nothing: it discards the complaints of libraries",
    "plots/figures.py": "memory, for notebooks",
    "training/logging/files.py": "a line at the end of a log; one that was cut off is left out when it is read",
}


def writes(call: ast.Call) -> bool:
    """Whether a call writes a file: a method such as path.write_text(...), or open(..., "w")."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("open", "fdopen"):
        return any(isinstance(each, ast.Constant) and set("wax+") & set(str(each.value)) for each in call.args[-1:])
    if not isinstance(call.func, ast.Attribute) or name not in WRITING:
        return name == "save_file"
    if name in ("replace", "to_csv", "to_json"):  # of a text, and methods of a Sweep
        return name == "replace" and len(call.args) == 1
    return True


def test_no_module_writes_otherwise():
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and writes(node):
                found.add((file.relative_to(PACKAGE).as_posix(), node.lineno, ast.unparse(node)))
    allowed = {each for each in found if each[0] in BY_OTHER_MEANS}
    assert {name for name, *_ in allowed} >= {"files.py", "cpp/cache.py"}
    inside = {each for each in found - allowed if "unfinished" in each[2]}
    print(f"{len(allowed)} writing calls by other means, {len(inside)} into a file that replaces another")
    assert found - allowed - inside == set()


def save_often(net, path):
    for _ in range(20):
        net.save(path)


def test_threads_and_processes_save_to_one_path(tmp_path):
    path, nets = tmp_path / "model.graphdl", [net(), net()]
    nets[1].parameters["fc.bias"] = torch.ones(1)
    whole = [each.save(tmp_path / f"{k}.graphdl").read_bytes() for k, each in enumerate(nets)]
    fork = multiprocessing.get_context("fork")
    workers = [threading.Thread(target=save_often, args=(each, path)) for each in nets]
    workers += [fork.Process(target=save_often, args=(each, path)) for each in nets]
    for worker in reversed(workers):  # the processes first: no thread runs while they fork
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if path.exists():
            assert path.read_bytes() in whole
    for worker in workers:
        worker.join()
    assert Network.load(path).to_dict() == net().to_dict()
    assert sorted(os.listdir(tmp_path)) == ["0.graphdl", "1.graphdl", "model.graphdl"]


def test_names_of_unfinished_files_cannot_be_foreseen(tmp_path):
    names = set()
    for _ in range(20):
        with replacing(tmp_path / "file.svg") as unfinished:
            names.add(unfinished.name)
    assert len(names) == 20
    assert min(map(len, names)) >= 16


def test_only_files_of_a_bounded_length_are_read(tmp_path):
    write_bytes(tmp_path / "file", b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(FileFormatError, match="file is longer than 4 bytes"):
        read_bytes(tmp_path / "file", 4)
    os.mkfifo(tmp_path / "pipe")
    for path, text in ((tmp_path / "pipe", "a pipe or a device"), ("/dev/zero", "a pipe or"), (tmp_path, "directory")):
        with pytest.raises(FileFormatError, match=f"cannot be read: .*{text}"):
            read_bytes(path, 100)
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_bytes("with\0null", 1)
