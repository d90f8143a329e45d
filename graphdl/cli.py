"""The command line: parsing only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from safetensors.torch import save_file

from graphdl import systems
from graphdl.errors import GraphDLError, SettingError
from graphdl.experiments import EXPERIMENTS, Experiment, find_experiment
from graphdl.network import Network
from graphdl.plots import new_figure
from graphdl.rendering import DPI
from graphdl.scripts import Script, find_scripts
from graphdl.search import sweep_file

app = typer.Typer(
    name="graphdl",
    no_args_is_help=True,
    add_completion=False,
    help="A neural network is two dictionaries: what each node computes, and whom it feeds.\n\n"
    "Try `graphdl run disc`: it trains a classifier and draws its network, its decisions and its learning curves "
    "into out/. Then `graphdl summary out/model.json`, and edit that file.",
)
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Model = Annotated[Path, typer.Argument(help="A JSON file of the two dictionaries, as Network.save writes it.")]

SCRIPTS = {name: script for name, script in find_scripts().items() if name not in EXPERIMENTS}
EXAMPLES: dict[str, Experiment | Script] = {**EXPERIMENTS, **SCRIPTS}
TITLES = "\n\n".join(f"{name}: {example.title}." for name, example in EXAMPLES.items())

PUBLISHED = f"The experiments, which docs/systems.md describes: {', '.join(systems.EXPERIMENTS)}."


@app.command(help=f"Train an example, print its figures, and draw it.\n\n{TITLES}")
def run(
    example: Annotated[str, typer.Argument(help="What to train: " + ", ".join(EXAMPLES) + ".")],
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
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--out {out} cannot be made: {error.strerror}.") from None
    if experiment:
        _run(experiment, out, 2 if seed is None else seed, epochs)
    else:
        SCRIPTS[example].run({"epochs": epochs, "folder": str(out), "seed": seed})


def _run(experiment: Experiment, out: Path, seed: int, epochs: int | None) -> None:
    """Train an experiment, print its figures, and draw it."""
    console.print(f"[bold]{escape(experiment.title)}[/bold]  {escape(repr(experiment.network(seed)))}")
    result = experiment.run(seed, epochs=epochs)
    history = result.history
    console.print(
        f"{history.epochs} epochs in {history.seconds:.1f} s ({history.epochs / history.seconds:.0f} epochs/s), "
        f"loss {history['loss'][-1]:.4f}"
    )
    for name, accuracy in result.accuracies.items():
        console.print(f"{name:8}  accuracy {accuracy:7.2%}   error {1 - accuracy:6.2%}")
    console.print("drawn: " + ", ".join(escape(str(path)) for path in result.draw(out)))


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(help="A .json or .toml file: data, network, settings and optimizer.")],
    out: Annotated[Path, typer.Option(help="The folder for the results.")] = Path("out"),
    epochs: Annotated[int | None, typer.Option(help="Passes through the data, in place of those of the file.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads, or processes, to use.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A folder from which a sweep that was stopped continues.")
    ] = None,
) -> None:
    """Train networks over settings, seeds and folds; write the results as CSV, JSON and picture, and the best network.

    The best network of the best setting is best.json, which `graphdl summary` and `graphdl draw` read, with its weights
    in best.safetensors.
    """
    new_figure(1, 1)  # a missing package is reported before training, not after
    given = {"epochs": epochs, "threads": threads, "checkpoint": checkpoint}
    result = sweep_file(spec, **{name: value for name, value in given.items() if value is not None})
    written = [result.to_csv(out / "sweep.csv"), result.to_json(out / "sweep.json")]
    console.print(result.report(), markup=False)
    if result.trained:
        written += [*_saved(result.best_network, out / "best.json"), result.plot(out / "sweep.png")]
    console.print("written: " + ", ".join(escape(str(path)) for path in written))


def _saved(net: Network, path: Path) -> list[Path]:
    """Save a network and, beside it, its weights; return both files."""
    weights = path.with_suffix(".safetensors")
    net.save(path)
    save_file(net.state_dict(), weights)
    return [path, weights]


@app.command()
def draw(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .svg, .png, .pdf or .dot file.")] = Path(
        "network.svg"
    ),
    dark: Annotated[bool, typer.Option("--dark", help="Light colours on a dark background.")] = False,
    title: Annotated[str | None, typer.Option(help="The title; by default the file's name.")] = None,
    right: Annotated[bool, typer.Option("--right", help="From left to right instead of downwards.")] = False,
    unfolded: Annotated[bool, typer.Option("--unfolded", help="One box for each node.")] = False,
    dpi: Annotated[int, typer.Option(help="Pixels per inch of a .png.")] = DPI,
) -> None:
    """Draw the network of a JSON file: graphdl draw model.json -o model.svg."""
    net = Network.load(model)
    look = {"theme": "dark" if dark else "light", "direction": "right" if right else "down", "unfolded": unfolded}
    console.print(escape(str(net.render(output, dpi=dpi, title=title or model.stem, **look))))


@app.command()
def summary(model: Model) -> None:
    """Print the nodes of the network of a JSON file, and how many parameters each has."""
    console.print(Network.load(model).summary(), markup=False)


@app.command(help=f"Run published experiments, and write a page of their figures and pictures.\n\n{PUBLISHED}")
def reproduce(
    experiments: Annotated[list[str] | None, typer.Argument(help="Such as A1 C2; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for systems.md and its pictures.")] = Path("out"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Two seeds and few epochs: to see that everything runs.")
    ] = False,
) -> None:
    """Run published experiments, and write a page of their figures and pictures."""

    def tell(report: systems.Report, seconds: float) -> None:
        console.print(f"[bold]{report.name}[/bold]  {escape(report.title)}, {seconds:.0f} s")
        for result in report.results:
            console.print("    " + escape(result.text()))

    console.print(escape(str(systems.reproduce(experiments or (), out, quick=quick, tell=tell))))


def main() -> None:
    """Run the command line. An error of graphdl is printed as one line, with exit status 1."""
    try:
        app()
    except GraphDLError as error:
        errors.print(f"[bold red]{type(error).__name__}:[/bold red] {escape(str(error))}")
        raise SystemExit(1) from None
