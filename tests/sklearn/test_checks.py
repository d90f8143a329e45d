import os
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = "OLDEST_SKLEARN"
ROOT = Path(__file__).parents[2]


def run_checks(*first):
    path = os.pathsep.join([*first, str(ROOT)])
    command = [sys.executable, "-m", "tests.sklearn.checks"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def assert_all_passed(done):
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == 2
    for line in lines:
        assert int(line.partition(": ")[2].split()[0]) > 50  # checks of scikit-learn 1.6 and later: 59 and more
        assert ", 0 failed, 0 skipped, 0 xfail" in line


def test_both_estimators_pass_all_checks():
    assert_all_passed(run_checks())


@pytest.mark.skipif(OLDEST not in os.environ, reason=f"{OLDEST} does not name a folder: see tests/sklearn/checks.py")
def test_they_pass_with_the_oldest_version():
    assert_all_passed(run_checks(os.environ[OLDEST]))
