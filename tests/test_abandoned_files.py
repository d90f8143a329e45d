"""Unfinished files of killed processes do not pile up."""

import os
import signal

from graphdl.files import replacing, write_bytes


def _die_halfway(path):
    with replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def _in_child(function, *arguments):
    child = os.fork()
    if not child:
        try:
            function(*arguments)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_unfinished_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    own = tmp_path / ".part-of mine"
    own.touch()
    with replacing(tmp_path / "slow") as unfinished:
        for _ in range(3):
            _in_child(_die_halfway, tmp_path / "file.json")
            left = {*tmp_path.iterdir()} - {own, unfinished}
            assert len(left) == 1  # the next one removes those of the one before
        _in_child(write_bytes, tmp_path / "file.json", b"whole")
        assert {*tmp_path.iterdir()} == {own, unfinished, tmp_path / "file.json"}
        unfinished.write_bytes(b"slow")
    assert (tmp_path / "slow").read_bytes() == b"slow"
    assert not _unfinished(tmp_path)


def _unfinished(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".part-") and " " not in path.name]
