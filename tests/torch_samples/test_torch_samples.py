"""PyTorch's own samples, in a process of their own: its table of samples locks flags of torch.backends."""

from __future__ import annotations

import re
import subprocess
import sys

SAMPLES, ERRORS = 1612, 84
"""How many pass with the version of torch in constraints.txt."""


def test_every_sample_passes():
    made = subprocess.run([sys.executable, "-m", "tests.torch_samples"], capture_output=True, text=True, timeout=600)
    print(made.stdout)
    assert made.returncode == 0, made.stdout + made.stderr
    passed = re.search(r"^(\d+) samples and (\d+) error inputs passed, 0 failed", made.stdout, re.MULTILINE)
    assert passed, made.stdout
    assert (int(passed[1]), int(passed[2])) == (SAMPLES, ERRORS)
