"""Times with a limit: Ctrl-C in compiled training, a step from the cache of libraries, the first step of a long chain.

Ctrl-C: from the signal to KeyboardInterrupt in the process that trains, at moments drawn at random; the slowest of
several. From the cache: in a new process with torch and graphdl imported, from the network's construction to the end of
its first compiled step, whose library another process has compiled. The chain: 100,000 ReLU between a Linear layer and
a loss; its first training step, which plans the passes, against the median of later ones.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import torch

from benchmarks.environment import ROOT
from benchmarks.graph_growth import WIDTH, graphdl_chain
from benchmarks.results import Result, Table
from benchmarks.timing import timed

CHARTS: dict[str, object] = {}
INTERRUPTS = 5
NETS = ("perceptron", "residual", "lenet")

TRAIN = """
import signal, sys, time, torch
from benchmarks.zoo import NETS
from graphdl import fit
from graphdl.optim import Adam
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore Ctrl-C
net, batch = NETS[sys.argv[1]]()
rows = len(next(iter(batch.values())))
data = {name: torch.cat([tensor] * 400) for name, tensor in batch.items()}
def begun(net, history):
    if len(history["loss"]) == 1:
        print("ready", flush=True)
try:
    fit(net, data, optimizer=Adam(lr=1e-4), epochs=100000, batch_size=rows, compile=True, threads=1, callbacks=[begun])
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""

FROM_CACHE = """
import time, torch, graphdl, sys
from benchmarks.zoo import NETS
from graphdl.optim import Adam
start = time.perf_counter()
net, batch = NETS[sys.argv[1]]()
steps = net.compile(Adam(lr=1e-4), batch)
steps({name: tensor[None] for name, tensor in batch.items()})
print(time.perf_counter() - start)
"""


def run(quick: bool = False) -> Result:
    """All limits."""
    table = Table("Times with a limit", "s", "graphdl")
    with tempfile.TemporaryDirectory() as folder:
        for name in NETS[:1] if quick else NETS:
            slowest = max(interrupted(name, folder, seed) for seed in range(1 if quick else INTERRUPTS))
            table.add(f"Ctrl-C, {name} (limit 0.5)", {"graphdl": [slowest]})
        for name in ("perceptron",) if quick else ("perceptron", "residual"):
            _in_process(FROM_CACHE, name, folder)
            seconds = [float(_in_process(FROM_CACHE, name, folder)) for _ in range(1 if quick else 5)]
            table.add(f"compiled step from the cache, {name} (limit 0.4 for the perceptron)", {"graphdl": seconds})
    first, later = chain(1_000 if quick else 100_000)
    table.add("chain of 100,000 nodes, first step", {"graphdl": [first]})
    table.add("chain of 100,000 nodes, a later step", {"graphdl": [later]})
    note = f"The first step of the chain takes {first / later:.1f} times as long as a later one (limit 5)."
    return Result("limits", [table], {}, [note])


def interrupted(name: str, folder: str, seed: int) -> float:
    """Seconds from Ctrl-C to KeyboardInterrupt."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, name], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_environment(folder)
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    time.sleep(random.Random(seed).uniform(0.1, 1.0))
    sent = time.time()
    process.send_signal(signal.SIGINT)
    caught = float(process.stdout.readline())
    process.wait()
    return caught - sent


def _in_process(code: str, name: str, folder: str) -> str:
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, cwd=ROOT, env=_environment(folder), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _environment(folder: str) -> dict[str, str]:
    return {**os.environ, "GRAPHDL_CACHE": folder, "PYTHONPATH": str(ROOT)}


def chain(nodes: int) -> tuple[float, float]:
    """Seconds of the first step of a chain, and of a later one."""
    step = graphdl_chain(nodes, torch.rand(1, WIDTH))
    first = timed(step)
    return first, statistics.median(timed(step) for _ in range(3))
