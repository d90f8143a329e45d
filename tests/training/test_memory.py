from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from graphdl.training import memory

PROGRAM = """
import resource, runpy, sys

keep_freed_memory = runpy.run_path(sys.argv[1])["keep_freed_memory"]
if sys.argv[2] == "keep":
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [b"1" * 2**22 for _ in range(20)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is a matter of glibc")
def test_freed_memory_is_not_given_back_to_the_system():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def faults(how: str, **more: str) -> int:
        command = [sys.executable, "-c", PROGRAM, memory.__file__, how]
        return int(subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True).stdout)

    pages = 20 * 2**22 // 4096
    assert faults("keep") < pages / 20 < pages / 2 < faults("leave")
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072") > pages / 2  # as the environment says
