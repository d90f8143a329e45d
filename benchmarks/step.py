"""One training step of a small perceptron: 2-25-25-25-2, batch 50, Adam.

ReLU, ReLU, ReLU, Tanh; mean squared error; 1000 points, so that an epoch is 20 steps, with a new permutation of the
points in every epoch. A figure is the time of 200 epochs divided by their 4000 steps: permutation, gathering of the
batches, forward, backward and update. The loss of every step is read in Python, as fit does to detect a loss that is
not finite; by `loss.item()` in torch. JAX's scan reads the losses of an epoch at once, the C program those of a call.
fit is called anew each time, and compiles and verifies its step. The steps of net.compile exist already, and are given
the batches of all epochs at once. scikit-learn's network has no Tanh at the end. "own loop" is net.forward,
net.backward and stepper.step, which record every value and every gradient. All start from the same parameters, and
their losses are checked to agree.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import charts
from benchmarks.peers import PEERS, REFERENCE
from benchmarks.perceptron import STEPS, Problem, Train, problem
from benchmarks.results import Result, Table
from benchmarks.timing import assemble, interleave

EPOCHS = 200  # of a call
UNLIKE = "scikit-learn MLPRegressor"  # another output and another loss
TOLERANCE = 1e-5

CHARTS = {"step": charts.bars}


def run(quick: bool = False) -> Result:
    """Check that all train alike, then measure."""
    skipped: dict[str, str] = {}
    note = check(skipped)
    makers = {name: lambda make=make: _many_epochs(make) for name, make in PEERS.items() if name not in skipped}
    contestants = assemble(makers, skipped)
    seconds = interleave(contestants, rounds=3 if quick else 11, seconds=0.1)
    table = Table("A training step of 2-25-25-25-2, batch 50", "µs a step", REFERENCE)
    table.add("", seconds, 1e-6 * STEPS * EPOCHS)
    return Result("step", [table], skipped, [note])


def _many_epochs(make: Callable[[Problem], Train]) -> Callable[[], list[float]]:
    train = make(problem())
    return lambda: train(EPOCHS)


def check(skipped: dict[str, str], epochs: int = 10) -> str:
    """Train every peer on batches in the same order; skip those whose losses differ from graphdl's."""
    trained = {name: (lambda make=make: _losses(make, epochs)) for name, make in PEERS.items()}
    losses = {name: call() for name, call in assemble(trained, skipped).items()}
    ours = losses[REFERENCE]
    worst = 0.0
    for name, theirs in losses.items():
        difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        if name != UNLIKE and difference >= TOLERANCE:
            skipped[name] = f"it trains otherwise: its losses differ from graphdl's by up to {difference:.1e}"
        elif name != UNLIKE:
            worst = max(worst, difference)
    order = f"Over {epochs} epochs in the same order"
    return f"{order}, the mean losses of all but scikit-learn differ from graphdl's by at most {worst:.1e}."


def _losses(make: Callable[[Problem], Train], epochs: int) -> Callable[[], list[float]]:
    losses = make(problem(shuffle=False))(epochs)
    return lambda: losses
