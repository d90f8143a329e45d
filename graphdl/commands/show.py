"""graphdl draw and graphdl summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphdl.commands.output import AsJSON, console, tell, tell_json
from graphdl.commands.saved import CHECKPOINTS, MODEL
from graphdl.facts import node_facts
from graphdl.network import Network
from graphdl.rendering import DPI

Model = Annotated[
    Path,
    typer.Argument(help="A file of a network, as Network.save writes it; or the folder of one.", show_default=False),
]


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
    as_json: AsJSON = False,
) -> None:
    """Draw the network of a file: graphdl draw model.json -o model.svg."""
    net = _loaded(model)
    path = net.render(
        output, dpi=dpi, title=title or model.stem, theme="dark" if dark else "light",
        direction="right" if right else "down", unfolded=unfolded,
    )  # fmt: skip
    tell_json({"written": [path]}) if as_json else tell(str(path))


def _loaded(model: Path) -> Network:
    """The network of a file, or of the folder of `graphdl train` or `graphdl run`, without tensors."""
    if model.is_dir():
        ended = (model / MODEL).exists() or not (model / CHECKPOINTS / MODEL).exists()
        model = model / MODEL if ended else model / CHECKPOINTS / MODEL
    return Network.load(model, device="meta")


def summary(model: Model, as_json: AsJSON = False) -> None:
    """Print the nodes of the network of a file, and how many parameters each has."""
    net = _loaded(model)
    if not as_json:
        return console.print(net.summary(), markup=False)
    facts = node_facts(net.engine)
    nodes = [
        {"node": key, "operator": facts[key].operator or "input", "parameters": facts[key].own_parameters}
        for key in net.order
    ]
    total = sum(each.own_parameters for each in facts.values())
    tell_json({"nodes": nodes, "parameters": total, "inputs": net.inputs, "outputs": net.outputs})
