"""The command line: which commands there are, and how errors end them."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer
from rich.markup import escape

from graphdl import __version__
from graphdl.commands import examples, show, sweeps, train, use
from graphdl.commands.output import errors
from graphdl.errors import GraphDLError

app = typer.Typer(
    name="graphdl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A neural network is two dictionaries: what each node computes, and whom it feeds.\n\n"
    "Try `graphdl run disc`: it trains a classifier and draws its network, its decisions and its learning curves "
    "into out/. Then `graphdl summary out/model.json`, and edit that file. `graphdl train out/model.json data.csv "
    "--target y` trains it on a table.\n\n"
    "Exit status: 0 if all went well, 1 for an error of data, files or settings, 2 for wrong usage, 130 if it was "
    "interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"graphdl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all commands."""


app.command(help=f"Train an example, print its figures, and draw it.\n\n{examples.TITLES}")(examples.run)
for command in (train.train, train.resume, use.evaluate, use.predict, sweeps.sweep, show.draw, show.summary):
    app.command()(command)
app.command(help=f"Run published experiments, and write a page of their figures and pictures.\n\n{examples.PUBLISHED}")(
    examples.reproduce
)


def main() -> None:
    """Run the command line. Errors and warnings are printed as one line each; an error ends with exit status 1."""
    warnings.showwarning = lambda message, category, *place: _print("yellow", category.__name__, message)
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (GraphDLError, OSError) as error:
        _print("bold red", type(error).__name__, error)
        raise SystemExit(1) from None


def _print(style: str, kind: str, message: object) -> None:
    errors.print(f"[{style}]{kind}:[/{style}] {escape(' '.join(str(message).split()))}")
