"""Trained networks in files: those of `graphdl train` and `graphdl run`, and files that Network.save writes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from graphdl.commands.columns import SUFFIXES, Table
from graphdl.commands.encoding import Encoding, choose_encoding
from graphdl.commands.output import load_weights, save_weights
from graphdl.errors import FileFormatError, SettingError
from graphdl.files import write_bytes
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.serialization import read_json
from graphdl.training.runs.folder import RunFolder

RECORD, MODEL, WEIGHTS, LOG, CHECKPOINTS = "train.json", "model.json", "weights.safetensors", "log.csv", "checkpoints"
"""The files in the folder of a training: its arguments and columns, the network, its weights, a row for each epoch, and
the checkpoints."""

FORMAT, VERSION = "graphdl train", 1

Trained = Annotated[
    Path, typer.Argument(help="The folder of a training, or a file of a network with its weights.", show_default=False)
]
Data = Annotated[Path, typer.Argument(help="A .csv, .tsv, .npz or .parquet file.", show_default=False)]
Weights = Annotated[Path | None, typer.Option(help="A safetensors file: the weights of a model.json.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", "-t", help="Columns of a target: y, or p,q; name=y if the network has several. -t p -t q is -t p,q."
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="Columns of an input: a,b,c, or name=a,b,c. By default all but the targets."),
]


Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", "-m", help="Such as accuracy, the default for classes; several as -m accuracy -m f1."),
]


@dataclass(frozen=True)
class Saved:
    """A network of a file, and what its training has stored of columns and classes, if it was `graphdl train`."""

    net: Network
    encoding: Encoding | None
    weights: Path | None

    def chosen(self, table: Table, inputs: Sequence[str], targets: Sequence[str], training: bool = False) -> Encoding:
        """The encoding of the training; without one, that of the options."""
        if self.encoding is None:
            return choose_encoding(self.net, table, inputs, targets, training=training)
        if inputs or targets:
            raise SettingError("The training has stored which columns it used: leave out --input and --target.")
        return self.encoding

    def build(self, features: Mapping[Key, torch.Tensor]) -> Network:
        """Infer sizes that were left out, and read the weights."""
        if not self.net.engine.built:
            self.net.build({name: tuple(tensor.shape[1:]) for name, tensor in features.items()})
        if self.weights is not None:
            load_weights(self.net, self.weights)
        return self.net


def open_saved(path: Path, weights: Path | None, *, trained: bool = True, seed: int | None = None) -> Saved:
    """The network of a folder or a file. Raises SettingError if it has no weights and they are needed.

    Weights stand in weights.safetensors in the folder, in the file of `weights`, or in the file of the network itself.
    """
    if path.is_dir():
        record = read_record(path / RECORD)["encoding"] if (path / RECORD).exists() else None
        found = weights or (path / WEIGHTS if (path / WEIGHTS).exists() else None)
        if trained and found is None:
            where = _how_to_end(path) if record else "it holds no weights.safetensors"
            raise SettingError(f"{path} cannot be used yet: {where}.")
        encoding = None if record is None else Encoding.from_dict(record)
        return Saved(Network.load(path / MODEL, seed=seed), encoding, found)
    if path.suffix.lower() in SUFFIXES:
        raise SettingError(f"{path} is a table, and the first argument is the network: model.json data.csv.")
    net = Network.load(path, seed=seed)
    if trained and weights is None and path.suffix.lower() == ".json":
        raise SettingError(
            f"{path} holds no weights: add --weights weights.safetensors, or give the folder of a training."
        )
    return Saved(net, None, weights)


def _how_to_end(run: Path) -> str:
    """How a training that was stopped is continued, or ended after the epochs that were begun."""
    resume, manifest = f"graphdl resume {shlex.quote(str(run))}", RunFolder(run / CHECKPOINTS).read()
    if manifest is None or not manifest.checkpoints:
        return f"training has not ended: {resume}"
    begun = manifest.checkpoints[-1]["epoch"] + (manifest.checkpoints[-1]["batch"] > 0)
    return f"training has not ended: {resume} continues it, and {resume} --epochs {begun} ends it there"


def save_trained(net: Network, folder: Path) -> list[Path]:
    """Write a network and its weights into the folder of its training."""
    return [net.save(folder / MODEL), save_weights(net, folder / WEIGHTS)]


def write_record(folder: Path, arguments: Mapping[str, Any], encoding: Encoding) -> Path:
    """Write the arguments of a training, and how columns were used."""
    record = {"format": FORMAT, "version": VERSION, "arguments": dict(arguments), "encoding": encoding.to_dict()}
    write_bytes(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return folder / RECORD


def read_record(path: Path) -> dict[str, Any]:
    """Read what `write_record` wrote. Raises FileFormatError for anything else."""
    record = read_json(path)
    if not isinstance(record, dict) or (record.get("format"), record.get("version")) != (FORMAT, VERSION):
        raise FileFormatError(f"{path} was not written by graphdl train, or by another version of it.")
    if not all(isinstance(record.get(name), dict) for name in ("arguments", "encoding")):
        raise FileFormatError(f"{path} is damaged: it has no arguments or no encoding.")
    return record
