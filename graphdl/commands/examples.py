"""graphdl run and graphdl reproduce: examples, and published experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphdl import systems
from graphdl.commands.output import AsJSON, make_folder, tell, tell_json, tell_written
from graphdl.experiments import EXPERIMENTS, Experiment, find_experiment
from graphdl.plots import new_figure
from graphdl.scripts import Script, find_scripts

SCRIPTS = {name: script for name, script in find_scripts().items() if name not in EXPERIMENTS}
EXAMPLES: dict[str, Experiment | Script] = {**EXPERIMENTS, **SCRIPTS}
TITLES = "\n\n".join(f"{name}: {example.title}." for name, example in EXAMPLES.items())
PUBLISHED = f"The experiments, which docs/systems.md describes: {', '.join(systems.EXPERIMENTS)}."


def run(
    example: Annotated[
        str,
        typer.Argument(
            help="What to train: " + ", ".join(EXAMPLES) + ".",
            autocompletion=lambda: list(EXAMPLES),
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("out"),
    seed: Annotated[
        int | None, typer.Option(help="The seed of the data, the first parameters and the batches.", min=0)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes through the data; the default depends on the example.", min=1)
    ] = None,
) -> None:
    """Train an example, print its figures, and draw it."""
    experiment = None if example in SCRIPTS else find_experiment(example, SCRIPTS)
    new_figure(1, 1)  # a missing package is reported before training, not after
    make_folder("--out", out)
    if experiment:
        _run(experiment, out, 2 if seed is None else seed, epochs)
    else:
        SCRIPTS[example].run({"epochs": epochs, "folder": str(out), "seed": seed})


def _run(experiment: Experiment, out: Path, seed: int, epochs: int | None) -> None:
    """Train an experiment, print its figures, and draw it."""
    tell(experiment.title, bold=True)
    tell(repr(experiment.network(seed)))
    result = experiment.run(seed, epochs=epochs)
    history = result.history
    tell(
        f"{history.epochs} epochs in {history.seconds:.1f} s ({history.epochs / history.seconds:.0f} epochs/s), "
        f"loss {history['loss'][-1]:.4f}"
    )
    for name, accuracy in result.accuracies.items():
        tell(f"{name:8}  accuracy {accuracy:7.2%}   error {1 - accuracy:6.2%}")
    tell_written(result.draw(out), "drawn")


def reproduce(
    experiments: Annotated[list[str] | None, typer.Argument(help="Such as A1 C2; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for systems.md and its pictures.")] = Path("out"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Two seeds and few epochs: to see that everything runs.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Run published experiments, and write a page of their figures and pictures."""

    def report(found: systems.Report, seconds: float) -> None:
        if not as_json:
            tell(f"{found.name}  {found.title}, {seconds:.0f} s", bold=True)
            for result in found.results:
                tell("    " + result.text())

    path = systems.reproduce(experiments or (), out, quick=quick, tell=report)
    tell_json({"written": [path]}) if as_json else tell(str(path))
