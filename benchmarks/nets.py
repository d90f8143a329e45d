"""A training step of ten nets, from a small perceptron to ResNet-18.

Each net is declared for graphdl by a program and written for torch as an nn.Module (benchmarks/zoo). Both get the same
parameters, and the losses of the first step are checked to be equal. A figure is one step on a given batch with Adam:
forward, backward, update, and the loss read in Python. graphdl's step is the one that fit repeats.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import charts
from benchmarks.results import Result, Table, join_skipped
from benchmarks.timing import Contestants, assemble, interleave
from benchmarks.training import Step, graphdl_compiled, graphdl_step, same_first_loss, torch_step
from benchmarks.zoo import NETS, TWINS, copy_parameters

REFERENCE = "graphdl"
COMPILED, FUSED, TORCH_COMPILED = (
    "graphdl, compiled",
    "torch eager, Adam(fused=True)",
    "torch.compile, Adam(fused=True)",
)
STEPS = 20  # of a compiled epoch

CHARTS = {"nets": charts.grouped_ratios}


def run(quick: bool = False) -> Result:
    """Every net, each contestant in every round."""
    table = Table("A training step of ten nets", "ms a step", REFERENCE)
    skipped: dict[str, dict[str, str]] = {}
    worst = 0.0
    for name in NETS:
        contestants, difference, skipped[name] = contest(name)
        worst = max(worst, difference)
        seconds = interleave(contestants, rounds=3 if quick else 5, seconds=0.1 if quick else 0.3)
        table.add(name, {key: _per_step(key, figures) for key, figures in seconds.items()}, 1e-3)
        del contestants
    return Result(
        "nets",
        [table],
        join_skipped(skipped),
        [f"The losses of the first steps differ by at most {worst:.1e} of the loss."],
    )


def contest(name: str) -> tuple[Contestants, float, dict[str, str]]:
    """The contestants of a net, the difference of the first losses, and the absent contestants."""
    absent: dict[str, str] = {}
    made = makers(name)
    difference = same_first_loss(made[REFERENCE](), made[FUSED]())
    return assemble(made, absent), difference, absent


def makers(name: str, compiled_steps: int = STEPS) -> dict[str, Callable[[], Step]]:
    """Contestant -> a function that makes its step on a net; the compiled one of graphdl makes several steps a call."""
    return {
        REFERENCE: lambda: graphdl_step(*NETS[name]()),
        COMPILED: lambda: graphdl_compiled(*NETS[name](), steps=compiled_steps),
        "torch eager, Adam": lambda: _torch(name, fused=False),
        FUSED: lambda: _torch(name),
        TORCH_COMPILED: lambda: _torch(name, compiled=True),
    }


def _torch(name: str, **settings: bool) -> Step:
    net, batch = NETS[name]()
    twin = TWINS[name]()
    copy_parameters(net, twin)
    return torch_step(twin, batch, **settings)


def _per_step(contestant: str, seconds: list[float]) -> list[float]:
    return [x / STEPS for x in seconds] if contestant == COMPILED else seconds
