"""Kills processes by SIGKILL while they train, save, render or search: python -m tests.kills --count 1000.

After each kill everything must be readable, no checkpoint that was written may be lost, and at most one unfinished file
per folder may lie about, which the next process removes. Training and sweeps continue until they end, bit for bit as
one that was not killed. It ends with 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from graphdl import BatchNorm1d, Checkpoint, Dropout, EarlyStopping, Linear, MSELoss, Network, Tanh, fit, read_run
from graphdl.data import disc, one_hot
from graphdl.optim import L2, SGD, Adam, Cosine
from graphdl.search import checkpoint as search_checkpoint
from graphdl.search import sweep
from graphdl.training.runs.folder import RunFolder
from graphdl.training.runs.stored import digest_of_tensors, read_state

X, LABELS = disc(110, seed=0)
Y = one_hot(LABELS, 2)
EVEN = X[:100], Y[:100]
TIMEOUT = 60.0
"""The seconds after which a process that should have ended is a failure."""

Say = Callable[[str], None]


def network(width: int = 6, seed: int = 3) -> Network:
    operators = {"fc1": Linear(2, width), "norm": BatchNorm1d(width), "drop": Dropout(0.2), "tanh": Tanh(),
                 "fc2": Linear(width, 2), "loss": MSELoss()}  # fmt: skip
    chain = {"x": ["fc1"], "fc1": ["norm"], "norm": ["drop"], "drop": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"]}
    return Network(operators, {**chain, "target": ["loss"]}, seed=seed)


def digest(net: Network, *others: object) -> str:
    text = digest_of_tensors(net.state_dict()) + repr(others)
    return hashlib.sha256(text.encode()).hexdigest()


class Training:
    """fit with a checkpoint, in one of the ways of making steps."""

    def __init__(self, data: Any = (X, Y), epochs: int = 4, cadence: Any = None, **options: Any) -> None:
        self._data, self._epochs, self._options = data, epochs, options
        self._cadence = cadence or {"steps": 1}

    def work(self, folder: Path | None, say: Say) -> str:
        """Train to the end, and say where each checkpoint stands."""
        net = network()
        options = {"optimizer": Adam(lr=0.01), "batch_size": 20, **self._options}
        if folder is not None:
            write = RunFolder.write

            def telling(run: RunFolder, manifest: Any) -> None:
                write(run, manifest)
                say(str(place_of(manifest)))

            RunFolder.write = telling  # type: ignore[method-assign]
            options["checkpoint"] = Checkpoint(folder, **self._cadence)
        options["optimizer"] = options["optimizer"].bind(net)
        inputs, targets = self._data
        history = fit(net, inputs, targets, epochs=self._epochs, progress=False, **options)
        return digest(net, dict(history), net.generator.get_state().tolist(), options["optimizer"].steps)

    def check(self, folder: Path, said: list[str], before: Any) -> Any:
        """Where the last checkpoint stands, which must be readable and not before what was said."""
        if not (folder / "run.json").exists():
            assert not said, "a manifest is lost"
            return before
        run = read_run(folder)
        place = run.epoch, run.batch
        last = max([before or (0, 0), *(eval(each) for each in said)])
        assert place >= last, f"the checkpoint at {last} is lost: the last one is at {place}"
        return place


def place_of(manifest: Any) -> tuple[int, int]:
    entries = manifest.checkpoints
    return (entries[-1]["epoch"], entries[-1]["batch"]) if entries else (0, 0)


class Sweeping:
    """A sweep with a checkpoint."""

    def work(self, folder: Path | None, say: Say) -> str:
        search_checkpoint.SECONDS = 0.0
        result = sweep(
            build, X, Y, over={"width": [3, 4], "seed": range(2)}, optimizer=Adam(lr=0.01), epochs=6, batch_size=20,
            validation=(X[:30], Y[:30]), compile=False, progress=False, checkpoint=folder,
        )  # fmt: skip
        histories = [dict(history) for history in result.histories]
        return hashlib.sha256("".join(digest(net, histories) for net in result.networks).encode()).hexdigest()

    def check(self, folder: Path, said: list[str], before: Any) -> Any:
        """How many epochs each member has, none less than before."""
        files = folder.glob("[!.]*.safetensors") if folder.exists() else ()
        epochs = {path.name: read_state(path, search_checkpoint.FORMAT)["seconds"] for path in files}
        for name, seconds in (before or {}).items():
            assert epochs.get(name, 0) >= seconds, "epochs of a member are lost"
        return epochs


def build(setting: Any) -> Any:
    net = network(setting["width"])
    return net.operators, net.connectivity


class Writing:
    """Writes one of two contents again and again; what lies there is always one of them."""

    def __init__(self, name: str, write: Callable[[Network, Path], Any], read: Callable[[Path], Any]) -> None:
        self._name, self._write, self._read = name, write, read

    def work(self, folder: Path | None, say: Say) -> str:
        if folder is None:
            return ""
        nets = network(6), network(25)
        for k in range(10**6):
            self._write(nets[k % 2], folder / self._name)
            say("written")
        return ""

    def check(self, folder: Path, said: list[str], before: Any) -> Any:
        path = folder / self._name
        assert path.exists() or not (said or before), "the file is lost"
        if path.exists():
            self._read(path)
            before = True
        return before


def read_svg(path: Path) -> None:
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def read_model(path: Path) -> None:
    operators = Network.load(path).operators
    assert operators["fc1"] in (Linear(2, 6), Linear(2, 25))


TASKS: dict[str, Any] = {
    "operators": Training(compile=False, accumulate=4, seed=1),
    "replayed": Training(epochs=5, optimizer=SGD(lr=Cosine(0.1, steps=40), momentum=0.9), clip_norm=0.5),
    "compiled": Training(compile=True, validation=(X[:30], Y[:30]), callbacks=[EarlyStopping(patience=3)]),
    "compiled in blocks": Training(EVEN, 300, {"seconds": 0.0, "steps": 7}, compile=True, penalties=(L2(1e-3),)),
    "compiled ahead": Training(EVEN, 3000, {"epochs": 50}, compile=True, seed=2),
    "sweep": Sweeping(),
    "save": Writing("model.json", lambda net, path: net.save(path), read_model),
    "render": Writing("network.svg", lambda net, path: net.render(path), read_svg),
}


class Chain:
    """A task in a folder, in one process after another until it ends."""

    def __init__(self, name: str, task: Any, expected: str, folder: Path) -> None:
        self.name, self.task, self.expected, self.folder = name, task, expected, folder
        self.state: Any = None
        self.kills = 0

    def run(self, seconds: float | None) -> bool:
        """Run the task in a process, which is killed after some seconds; return whether it was."""
        process, pipe = spawn(self.task, self.folder)
        if seconds is not None:
            time.sleep(seconds)
            os.kill(process, signal.SIGKILL)
        said = read_pipe(pipe, process)
        _, status = os.waitpid(process, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        ended = [each.removeprefix("end ") for each in said if each.startswith("end ")]
        failures = [each for each in said if each.startswith("failed ")]
        assert not failures, failures[0]
        assert killed or ended, f"the process ended with {status}"
        self.state = self.task.check(self.folder, [each for each in said if not each.startswith("end ")], self.state)
        if ended:
            assert ended == [self.expected], "it ended with other numbers"
        self.check_litter(bool(ended))
        self.kills += killed
        return killed

    def check_litter(self, ended: bool) -> None:
        """At most one unfinished file is in each folder, and a run that has ended has no other files than its own."""
        found = Counter(path.parent for path in self.folder.rglob(".*"))
        assert all(count <= (not ended) for count in found.values()), f"unfinished files are left: {found}"
        if ended and isinstance(self.task, Training):
            manifest = RunFolder(self.folder).read()
            counting = {entry["file"] for entry in [*manifest.checkpoints, *filter(None, [manifest.best])]}
            held = set(os.listdir(self.folder / "checkpoints"))
            assert held == counting, f"the run has {held}, and {counting} count"


def spawn(task: Any, folder: Path | None) -> tuple[int, int]:
    """A process forked from this one, and a pipe of what it says, one text a line."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    os.close(reading)

    def say(text: str) -> None:
        os.write(writing, f"{text}\n".encode())

    try:
        warnings.simplefilter("error")
        say(f"end {task.work(folder, say)}")
    except BaseException:
        say("failed " + traceback.format_exc().replace("\n", " | "))
    finally:
        os._exit(0)


def read_pipe(pipe: int, process: int) -> list[str]:
    """The whole lines that a process has said until its end. It is killed if it takes too long."""
    content, deadline = b"", time.monotonic() + TIMEOUT
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(pipe, 2**16) if ready else b""
        if not ready:
            os.kill(process, signal.SIGKILL)
        if not piece:
            os.close(pipe)
            assert ready, "the process did not end"
            return content.decode().split("\n")[:-1]
        content += piece


def expected_of(task: Any) -> tuple[str, float]:
    """What the task ends with when it is not killed, and how long it takes."""
    for _ in range(2):  # the first one fills the cache of compiled steps
        start = time.monotonic()
        process, pipe = spawn(task, None)
        (said,) = read_pipe(pipe, process)
        os.waitpid(process, 0)
        assert said.startswith("end "), said
    return said.removeprefix("end "), time.monotonic() - start


def campaign(count: int, seed: int, names: list[str], tell: Callable[[str], None]) -> list[str]:
    """Kill so many processes; return what went wrong."""
    drawn, wrong, kills, ended = random.Random(seed), list[str](), Counter[str](), Counter[str]()
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    expected = {name: expected_of(TASKS[name])[0] for name in names}
    chains: dict[str, Chain] = {}
    number, start = 0, time.monotonic()
    while sum(kills.values()) < count:
        name = names[number % len(names)]
        number += 1
        chain = chains.setdefault(name, Chain(name, TASKS[name], expected[name], root / f"{number}"))
        try:
            lasting = drawn.randrange(6) == 0 and not isinstance(chain.task, Writing)
            killed = chain.run(None if lasting else drawn.uniform(0.0, 0.25))
            kills[name] += killed
            if not killed:
                ended[name] += 1
                del chains[name]
        except Exception as error:
            wrong.append(f"{name}, number {number} of seed {seed}: {type(error).__name__}: {error}")
            tell(f"WRONG {wrong[-1]}")
            kills[name] += 1
            chains.pop(name, None)
    for chain in chains.values():
        if not isinstance(chain.task, Writing):
            chain.run(None)
            ended[chain.name] += 1
    shutil.rmtree(root)
    seconds = time.monotonic() - start
    runs = sum(ended.values())
    tell(f"{sum(kills.values())} kills in {seconds:.0f} s, {runs} runs ended bit for bit, {len(wrong)} wrong")
    for name in names:
        tell(f"  {name:20} {kills[name]:5} kills {ended[name]:5} ended")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process cannot use the threads of another
    sys.exit(bool(campaign(options.count, options.seed, options.tasks, lambda text: print(text, flush=True))))


if __name__ == "__main__":
    main()
