"""What commands print: text for people, or JSON for machines; and the files that they read and write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from graphdl.errors import FileFormatError, SettingError
from graphdl.files import write_bytes
from graphdl.json_text import plain
from graphdl.network import Network
from graphdl.training.progress import described_figures

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

AsJSON = Annotated[bool, typer.Option("--json", help="Print one line of JSON, for programs.")]


def tell(text: str, *, bold: bool = False) -> None:
    """Print a line as it is."""
    console.print(f"[bold]{escape(text)}[/bold]" if bold else escape(text))


def tell_json(data: Mapping[str, Any]) -> None:
    """Print a line of JSON, as `json_line` writes it."""
    typer.echo(json_line(data))


def json_line(data: Mapping[str, Any]) -> str:
    """Data as JSON in one line; numbers that are infinite or not a number are null."""
    return json.dumps(plain(data), allow_nan=False)


def tell_figures(figures: Mapping[str, float], as_json: bool, **more: Any) -> None:
    """Print losses and metrics."""
    if as_json:
        tell_json({**more, "figures": dict(figures)})
    else:
        tell(described_figures(figures))


def tell_written(paths: Iterable[Path], word: str = "written") -> None:
    """Print which files were written."""
    tell(f"{word}: " + ", ".join(map(str, paths)))


def make_folder(option: str, folder: Path) -> None:
    """Create a folder. Raises SettingError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{option} {folder} cannot be made: {error.strerror}.") from None


def save_weights(net: Network, path: Path) -> Path:
    """Write parameters and buffers as a safetensors file."""
    write_bytes(path, save(net.state_dict()))
    return path


def load_weights(net: Network, path: Path) -> None:
    """Read what `save_weights` wrote. Raises FileFormatError for another file or network."""
    try:
        state = load_file(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise FileFormatError(f"{path} is not a safetensors file: {error}.") from None
    net.load_state_dict(state)
