"""Reads every case of cases.jsonl, with limits, and prints what each gave: python -m tests.hostile.check.

A line of the output is {"name", "error": class and text, or null, "seconds", "bytes": what memory grew by at most,
"events": code that ran and files that were written, "commands": errors of the command line about files that load}.
Address space is limited, so that nothing large is allocated.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from graphdl import Network
from graphdl.__main__ import main
from tests.hostile.make import CASES, content_of

MEMORY, QUICK = 200 * 2**20, 0.02
FORBIDDEN = {
    "exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "marshal.loads", "pickle.find_class", "os.remove", "os.rename", "os.mkdir", "os.symlink", "ctypes.dlopen",
}  # fmt: skip
seen: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a file must not cause."""
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]!r} {arguments[1]}")
    elif event in FORBIDDEN:
        seen.append(f"{event} {arguments!r:.80}")


def memory(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def command(name: str, path: Path) -> str:
    """What a command prints about a file, on both streams."""
    text = io.StringIO()
    sys.argv = ["graphdl", name, str(path), *(["-o", str(path.with_suffix(".dot"))] if name == "draw" else [])]
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), contextlib.suppress(SystemExit):
        main()
    return text.getvalue()


def measured(path: Path) -> dict[str, Any]:
    """What loading a file gives. Code may be imported at the first time, for any file; so events are the second's."""
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory("VmRSS"), time.perf_counter()
    first = load(path)
    seconds, grown = time.perf_counter() - start, memory("VmHWM") - before
    seen.clear()
    again = load(path)
    events = list(seen)
    assert first == again
    return {"error": first, "seconds": seconds, "bytes": grown, "events": events}


def load(path: Path) -> str | None:
    """The error that loading a file gives; None if there is none."""
    try:
        net = Network.load(path, seed=0)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    assert all(isinstance(tensor.sum().item(), (int, float)) for tensor in net.state_dict().values())
    return None


def check() -> None:
    """Read every case."""
    with tempfile.TemporaryDirectory() as folder:
        for line in CASES.read_text().splitlines():
            case = json.loads(line)
            path = Path(folder, case["file"])
            path.write_bytes(content_of(case))
            found = measured(path)
            drawn = found["error"] is None and case["kind"] != "names"
            kinds = ("summary", "draw") if drawn else ("summary",)
            texts = [command(name, path) for name in kinds if found["seconds"] < QUICK]
            found["commands"] = [text for text in texts if found["error"] is None and "Error:" in text]
            print(json.dumps({"name": case["name"], **found}), flush=True)
            assert {each.name for each in Path(folder).iterdir()} <= {
                path.name,
                "model.dot",
                "model.json",
                "model.graphdl",
            }


if __name__ == "__main__":
    sys.addaudithook(watch)
    limit = memory("VmSize") + 2 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    check()
