"""Hostile model files are refused, or load rightly, at once: no memory, no code, no file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphdl import Network
from graphdl.errors import FileFormatError
from tests.hostile import make
from tests.hostile.check import MEMORY, seen, watch

ROOT = Path(__file__).parents[1]
CASES = {case["name"]: case for case in map(json.loads, make.CASES.read_text().splitlines())}


@pytest.fixture(scope="module")
def results():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.hostile.check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    found = {result["name"]: result for result in map(json.loads, done.stdout.splitlines())}
    slowest, largest = (max(found.values(), key=lambda each: each[name]) for name in ("seconds", "bytes"))
    print(f"{len(found)} files, slowest {slowest['seconds']:.2f} s ({slowest['name']}), "
          f"largest {largest['bytes'] / 2**20:.0f} MB ({largest['name']})")  # fmt: skip
    return found


def test_the_cases_are_many_and_small_and_as_the_script_writes_them():
    assert len(CASES) >= 250
    assert make.CASES.stat().st_size < 500_000
    written = {case["name"]: case for case in map(json.loads, make.lines())}
    assert written.keys() == CASES.keys()
    for name, case in written.items():
        assert case["gives"] == CASES[name]["gives"]
        if case["kind"] in ("no_json", "no_network", "operators", "edges", "names", "bombs"):
            assert make.content_of(case) == make.content_of(CASES[name]), "run python -m tests.hostile.make"


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_refused_with_its_text_or_loads(name, results):
    error, gives = results[name]["error"], CASES[name]["gives"]
    if gives is None:
        assert error is None
    else:
        assert error is not None
        assert error.startswith("FileFormatError: ")
        assert f"{CASES[name]['file']}" in error[:200]
        assert gives in error


def test_each_takes_a_second_and_200_mb_at_most(results):
    for name, result in results.items():
        assert result["seconds"] <= 1, name
        assert result["bytes"] <= MEMORY, name


def test_no_code_runs_and_no_file_is_written(results):
    assert {name: result["events"] for name, result in results.items() if result["events"]} == {}
    assert not Path("/tmp/graphdl-was-here").exists()


def test_the_command_line_shows_every_file_that_loads(results):
    assert {name: result["commands"] for name, result in results.items() if result["commands"]} == {}


def test_the_watch_sees_code_and_files():
    for event in (
        ("open", ("file", "w", 0)),
        ("open", ("file", "r", 0)),
        ("exec", ()),
        ("import", ("os",)),
        ("other", ()),
    ):
        watch(*event)
    assert seen == ["open 'file' w", "exec ()", "import ('os',)"]


BOTH = """
import resource, sys
from graphdl import cli
resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))
for arguments in [["summary", {0!r}], ["draw", {0!r}, "-o", {2!r}], ["summary", {1!r}], ["draw", {1!r}, "-o", {2!r}]]:
    sys.argv = ["graphdl", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        print("status", end.code)
"""


def test_the_command_line_takes_a_bad_file_in_one_line_and_a_large_one_without_memory(tmp_path):
    bad, large, drawn = tmp_path / "bad.json", tmp_path / "large.json", tmp_path / "network.dot"
    bad.write_text("[" * 10_000)
    large.write_bytes(make.text(make.network({**make.LINEAR, "in_features": 10**5, "out_features": 10**5})))
    script = BOTH.format(str(bad), str(large), str(drawn))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("status 1") == done.stderr.count("nested too deeply") == len(done.stderr.splitlines()) == 2
    assert "10,000,100,000 parameters" in done.stdout
    assert "linear" in drawn.read_text().lower()


def test_a_custom_operator_is_refused_until_it_is_registered(tmp_path):
    (tmp_path / "model.json").write_bytes(make.text(make.network({"type": "NobodyRegisteredThis"})))
    with pytest.raises(FileFormatError, match="is not a registered operator"):
        Network.load(tmp_path / "model.json")
