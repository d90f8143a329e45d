"""Files are written as a whole or not at all."""

import os
import threading

import pytest

from graphdl.errors import FileFormatError
from graphdl.files import replacing, write_bytes


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


def test_threads_write_one_file(tmp_path):
    path, contents = tmp_path / "file", [bytes([k]) * 100_000 for k in range(4)]
    threads = [threading.Thread(target=lambda c=c: [write_bytes(path, c) for _ in range(20)]) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]
