"""graphdl train and graphdl resume."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import torch
import typer

from graphdl.commands import saved
from graphdl.commands.columns import read_table
from graphdl.commands.encoding import Encoding
from graphdl.commands.folder import Beginning, beginning, check_folder
from graphdl.commands.output import AsJSON, errors, tell, tell_figures, tell_json, tell_written
from graphdl.commands.roles import check_trains
from graphdl.errors import FileFormatError, SettingError, counted, did_you_mean, listing
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Optimizer
from graphdl.search.spec import kinds_of, read_optimizer
from graphdl.training import Callback, CSVLogger, EarlyStopping, History, fit
from graphdl.training.runs.folder import Manifest, RunFolder

Data = Mapping[Key, torch.Tensor]


@dataclass(frozen=True)
class Arguments:
    """The arguments of a training, as its folder stores them."""

    model: str
    data: str
    target: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    epochs: int = 100
    lr: float | None = None
    optimizer: str = "Adam"
    batch_size: int = 50
    validation: str | None = None
    metric: list[str] = field(default_factory=list)
    patience: int | None = None
    compile: bool = False
    seed: int = 0
    weights: str | None = None

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Arguments:
        """The arguments of a folder. Raises FileFormatError for others."""
        try:
            read = cls(**stored)
        except TypeError as error:
            raise FileFormatError(f"The stored arguments of a training are damaged: {error}.") from None
        for name, kind in get_type_hints(cls).items():
            if not _is_a(value := getattr(read, name), kind):
                raise FileFormatError(f"The stored arguments of a training are damaged: {name} is {value!r:.100}.")
        return read


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value has the type of a field."""
    if kind == list[str]:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    return isinstance(value, kind)


def train(
    model: Annotated[
        Path, typer.Argument(help="A network that Network.save wrote, with a loss; or a folder.", show_default=False)
    ],
    data: saved.Data,
    target: saved.Targets = None,
    input: saved.Inputs = None,  # noqa: A002  # the name of the option
    epochs: Annotated[int, typer.Option(help="Passes through the data.", min=1)] = 100,
    lr: Annotated[float | None, typer.Option(help="The learning rate; by default that of the optimizer.")] = None,
    optimizer: Annotated[
        str, typer.Option(help='Its name, or with settings in single quotes {"type": "SGD", "momentum": 0.9}.')
    ] = "Adam",
    batch_size: Annotated[int, typer.Option(help="Rows of a batch.", min=1)] = 50,
    validation: Annotated[
        str | None, typer.Option(help="A fraction of the rows, as 0.2, or another file with the same columns.")
    ] = None,
    metric: saved.Metrics = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a lower validation loss.", min=1)
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the steps to C++.")] = False,  # noqa: A002
    seed: Annotated[int, typer.Option(help="Of first parameters, batches and the rows of validation.", min=0)] = 0,
    weights: Annotated[Path | None, typer.Option(help="A safetensors file of weights to start from.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the training.")] = Path("run"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a training in that folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Train a network on a table: graphdl train model.json data.csv --target y.

    Columns are chosen by name, and classes may be texts; both are stored, so that evaluate and predict find them. The
    folder gets model.json, weights.safetensors, log.csv with a row for each epoch, and train.json with the arguments.
    """
    start = None if weights is None else str(weights.resolve())
    arguments = Arguments(
        str(model.resolve()), str(data.resolve()), target or [], input or [], epochs, lr, optimizer, batch_size,
        _resolved(validation), metric or [], patience, compile, seed, start,
    )  # fmt: skip
    read = (arguments.model, arguments.data, arguments.validation, arguments.weights)
    net, encoding, rows, validation_data = _prepared(arguments)
    fitting = _fitting(arguments, encoding)
    check_folder(out, overwrite, [Path(path) for path in read if path is not None])
    with beginning(out, partial(saved.write_record, out, asdict(arguments), encoding)) as first:
        _fit(net, rows, validation_data, out, first, fitting, quiet, as_json)


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a training that was stopped.", show_default=False)],
    epochs: Annotated[
        int | None, typer.Option(help="Passes through the data in all, to train longer than was asked for.", min=1)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Continue a training that was stopped, with the same result as if it had not been: graphdl resume run.

    It reads the model and the data again from where they were. A training that has ended goes on with more --epochs.
    """
    if not (run / saved.RECORD).exists():
        raise SettingError(
            f"{run} is not the folder of a graphdl train. A training of a script continues if the script calls "
            f"fit(..., checkpoint={str(run)!r}) again."
        )
    record = saved.read_record(run / saved.RECORD)
    arguments = Arguments.from_dict(record["arguments"])
    arguments = replace(arguments, epochs=epochs or arguments.epochs)
    net, encoding, rows, validation_data = _prepared(arguments)
    if encoding != Encoding.from_dict(record["encoding"]):
        raise FileFormatError(f"{arguments.data} has changed since the training began: other columns or classes.")
    manifest = RunFolder(run / saved.CHECKPOINTS).read()
    before = 0

    def begin(history: History) -> None:
        nonlocal before
        saved.write_record(run, asdict(arguments), encoding)
        before = history.epochs
        _tell_where(manifest, before, arguments.epochs)

    made = _fit(net, rows, validation_data, run, Beginning(begin), _fitting(arguments, encoding), quiet, as_json).epochs
    if made == before:
        errors.print(_has_ended(run, made), markup=False)


def _tell_where(manifest: Manifest | None, made: int, epochs: int) -> None:
    """Say from where training goes on, if it does."""
    if manifest is None or not manifest.checkpoints:
        errors.print("No checkpoint was written yet: training starts from the beginning.")
    elif made < epochs and not (manifest.ended and manifest.checkpoints[-1]["epoch"] == made):
        errors.print(f"Training continues in epoch {made + 1} of {epochs}.")


def _has_ended(run: Path, made: int) -> str:
    """That a training has ended after so many epochs, and how to train longer."""
    manifest = RunFolder(run / saved.CHECKPOINTS).read()
    if manifest is not None and manifest.ended:
        return (
            f"Early stopping has ended the training after {counted(made, 'epoch')}: train again with more --patience."
        )
    return f"The training has ended. To train longer: graphdl resume {shlex.quote(str(run))} --epochs {2 * made}"


def _prepared(arguments: Arguments) -> tuple[Network, Encoding, Data, Data | float | None]:
    """The network before training, the columns, and the data of training and validation."""
    start = None if arguments.weights is None else Path(arguments.weights)
    model = saved.open_saved(Path(arguments.model), start, trained=False, seed=arguments.seed)
    check_trains(model.net)
    table = read_table(Path(arguments.data))
    encoding = model.chosen(table, arguments.input, arguments.target, training=True)
    data = encoding.data(model.net, table)
    net = model.build(encoding.features(model.net, table))
    return net, encoding, data, _validation(arguments, net, encoding)


def _validation(arguments: Arguments, net: Network, encoding: Encoding) -> Data | float | None:
    """The validation data, or the share of the rows that is held out for it."""
    if arguments.validation is None:
        return None
    try:
        return float(arguments.validation)
    except ValueError:
        return encoding.data(net, read_table(Path(arguments.validation)))


def _fitting(arguments: Arguments, encoding: Encoding) -> dict[str, Any]:
    """The arguments of fit. Raises an error for one that is not valid, before anything is written."""
    if arguments.patience is not None and arguments.validation is None:
        raise SettingError("--patience needs validation data: add --validation 0.2.")
    callbacks: list[Callback] = [] if arguments.patience is None else [EarlyStopping(patience=arguments.patience)]
    return {
        "optimizer": _optimizer(arguments), "epochs": arguments.epochs, "batch_size": arguments.batch_size,
        "metrics": encoding.metrics(arguments.metric), "compile": arguments.compile,
        "callbacks": callbacks, "seed": arguments.seed,
    }  # fmt: skip


def _optimizer(arguments: Arguments) -> Optimizer:
    if arguments.lr is not None and not 0 <= arguments.lr < math.inf:
        raise SettingError(f"--lr must be a finite number, 0 or more, not {arguments.lr}.")
    text = arguments.optimizer.strip()
    try:
        stored = json.loads(text) if text.startswith("{") else {"type": text}
    except ValueError:
        raise SettingError(
            f"--optimizer {text:.100} is neither a name nor JSON: write Adam, or with settings, in single quotes, "
            """'{"type": "SGD", "momentum": 0.9}'."""
        ) from None
    if stored == {"type": text} and text not in (kinds := kinds_of(Optimizer)):
        raise SettingError(f"--optimizer {text:.100}: there is no such one.{did_you_mean(text, kinds)} "
                           f"There are {listing(kinds)}.")  # fmt: skip
    try:
        return read_optimizer(stored if arguments.lr is None else {**stored, "lr": arguments.lr})
    except FileFormatError as error:
        raise SettingError(f"--optimizer: {error}") from None


def _fit(
    net: Network,
    data: Data,
    validation: Data | float | None,
    out: Path,
    first: Beginning,
    fitting: dict[str, Any],
    quiet: bool,
    as_json: bool,
) -> History:
    """Train, write the results and print them. An interruption is followed by how to continue."""
    log = out / saved.LOG
    how = {**fitting, "callbacks": [first, *fitting["callbacks"], CSVLogger(log)], "progress": not quiet}
    try:
        history = fit(net, data, validation=validation, checkpoint=out / saved.CHECKPOINTS, **how)
    except KeyboardInterrupt:
        if (out / saved.RECORD).exists():
            errors.print(f"Interrupted: continue with graphdl resume {shlex.quote(str(out))}", markup=False)
        raise
    written = [*saved.save_trained(net, out), log, out / saved.RECORD]
    if as_json:
        tell_json({"epochs": history.epochs, "seconds": history.seconds, "figures": history.last, "written": written})
        return history
    tell(_sentence(history), bold=True)
    tell_figures(history.last, as_json=False)
    tell_written(written)
    return history


def _sentence(history: History) -> str:
    speed = f" ({history.epochs / history.seconds:.3g} epochs/s)" if history.seconds else ""
    return f"{history.epochs} epochs in {history.seconds:.1f} s{speed}"


def _resolved(validation: str | None) -> str | None:
    """A fraction as it is, and a file by its whole path."""
    try:
        float(validation or "0")
    except ValueError:
        return str(Path(str(validation)).resolve())
    return validation
