"""graphdl sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphdl.commands.output import AsJSON, console, save_weights, tell_json, tell_written
from graphdl.plots import new_figure
from graphdl.search import sweep_file


def sweep(
    spec: Annotated[
        Path,
        typer.Argument(help="A .json or .toml file: data, network, settings and optimizer.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the results.")] = Path("out"),
    epochs: Annotated[int | None, typer.Option(help="Passes through the data, in place of those of the file.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads, or processes, to use.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A folder from which a sweep that was stopped continues.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Train networks over settings, seeds and folds; write the results as CSV, JSON and picture, and the best network.

    The best network of the best setting is best.json, which `graphdl summary` and `graphdl draw` read, with its weights
    in best.safetensors.
    """
    new_figure(1, 1)  # a missing package is reported before training, not after
    given = {"epochs": epochs, "threads": threads, "checkpoint": checkpoint}
    result = sweep_file(spec, **{name: value for name, value in given.items() if value is not None})
    written = [result.to_csv(out / "sweep.csv"), result.to_json(out / "sweep.json")]
    if result.trained:
        net = result.best_network
        written += [net.save(out / "best.json"), save_weights(net, out / "best.safetensors")]
        written.append(result.plot(out / "sweep.png"))
    if as_json:
        best = result.best if result.trained else None
        return tell_json({"members": len(result), "complete": result.complete, "best": best, "written": written})
    console.print(result.report(), markup=False)
    tell_written(written)
