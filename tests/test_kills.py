"""Processes that are killed lose nothing: some of the kills of python -m tests.kills --count 1000."""

import subprocess
import sys
from pathlib import Path


def test_processes_that_are_killed():
    command = [sys.executable, "-m", "tests.kills", "--count", "50"]
    result = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "50 kills" in result.stdout
    assert "0 wrong" in result.stdout
