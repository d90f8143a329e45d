"""How columns become the inputs and targets of a network, and its predictions become columns again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

from graphdl.commands.columns import Table
from graphdl.commands.roles import Answer, answers_of, needed_inputs
from graphdl.commands.target import Target, texts
from graphdl.errors import FileFormatError, GraphDLError, SettingError, did_you_mean, listing
from graphdl.graph import Key
from graphdl.network import Network

Held = TypeVar("Held")
MOST_SHOWN = 5


@dataclass(frozen=True)
class Encoding:
    """Which columns feed which inputs of a network.

    inputs   name of an input -> its columns
    targets  name of an input -> what it is made of
    """

    inputs: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, Target]

    def features(self, net: Network, table: Table, only: Collection[Key] | None = None) -> dict[Key, Tensor]:
        """The inputs that are not targets, (n, number of columns) each, or arrays as they are."""
        needed = needed_inputs(net)
        names = needed.features if only is None else only
        return {key: _stacked(table, _held(self.inputs, key), needed.kinds.get(key)) for key in names}

    def data(self, net: Network, table: Table) -> dict[Key, Tensor]:
        """All inputs and targets."""
        targets = {key: _held(self.targets, key).encoded(table) for key in needed_inputs(net).targets}
        return {**self.features(net, table), **targets}

    def metrics(self, given: Sequence[str] | None) -> list[str]:
        """The metrics of the option --metric; by default accuracy where a target names classes."""
        for text in given or ():
            if "," in text:
                raise SettingError(
                    f"--metric {text}: repeat the option: {' '.join(f'-m {m}' for m in text.split(','))}."
                )
        classes = any(target.of_classes for target in self.targets.values())
        return list(given or (["accuracy"] if classes else []))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Any) -> Encoding:
        """The encoding that `to_dict` described. Raises FileFormatError for anything else."""
        try:
            inputs = {name: texts(columns) for name, columns in stored["inputs"].items()}
            if not all(inputs.values()):
                raise ValueError("an input without columns")
            return cls(inputs, {name: Target.from_dict(held) for name, held in stored["targets"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(f"The stored columns of a run are damaged: {error!r}.") from None


def _held(stored: Mapping[str, Held], key: Key) -> Held:
    """What is stored for an input of the network. Raises FileFormatError if there is nothing."""
    if str(key) not in stored:
        raise FileFormatError(
            f"The stored columns have none for the input {key!r} of the network, but for {listing(stored) or 'none'}: "
            "they are damaged, or belong to another network."
        )
    return stored[str(key)]


def choose_encoding(
    net: Network,
    table: Table,
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    training: bool = False,
    predicting: bool = False,
) -> Encoding:
    """The encoding of a table, by the options --input and --target: "a,b", or "name=a,b" where there are several.

    An option that is given again for the same input adds columns.

    By default the single input gets all columns that are not targets, in the order of the file, and inputs that are
    called as a column get it. Raises SettingError for options that do not fit.

    training    labels of classes get numbers in their order; else they must be the numbers of classes
    predicting  only the inputs of predictions are needed
    """
    needed = needed_inputs(net, predicting=predicting)
    wanted = _assigned("--target", targets, needed.targets, table)
    for name in needed.targets:
        if str(name) not in wanted:
            if str(name) not in table.columns:
                few = f"{name}=COLUMN" if len(needed.targets) > 1 else "COLUMN"
                raise SettingError(
                    f"The network compares its prediction with the input {name!r}: say which column of {table.path} it "
                    f"is by --target {few}. The columns are {listing(table.columns)}."
                )
            wanted[str(name)] = (str(name),)
    used = {column for columns in wanted.values() for column in columns}
    if predicting:  # a table with the target is predicted as one without it
        used |= {str(name) for name in needed_inputs(net).targets}
    chosen = _assigned("--input", inputs, needed.features, table)
    for name in needed.features:
        if str(name) not in chosen:
            chosen[str(name)] = _default_columns(name, table, used, alone=len(needed.features) == 1)
    encoding = Encoding(chosen, {})
    answers = answers_of(net, encoding.features(net, table)) if needed.targets else {}
    found = {str(key): _target(table, wanted[str(key)], answers[key]) for key in needed.targets}
    for name, target in found.items() if not training else ():
        _check_numbered(table, name, target)
    return replace(encoding, targets=found)


def _check_numbered(table: Table, name: str, target: Target) -> None:
    """Raise SettingError for classes whose order only the training knows."""
    if target.classes != tuple(map(str, range(len(target.classes)))):
        raise SettingError(
            f"{table.path}: the column {target.columns[0]!r} has the classes {listing(target.classes[:MOST_SHOWN])}, "
            f"and a file of a network does not say which number of {name!r} each is: give numbers from 0, or the "
            "folder of a graphdl train, which stores the classes."
        )


def _assigned(option: str, given: Sequence[str], names: Sequence[Key], table: Table) -> dict[str, tuple[str, ...]]:
    """Name of an input -> columns, of an option such as "x=a,b"; the name may be left out if there is one input."""
    known = list(map(str, names))
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, separator, columns = text.partition("=")
        if not separator or name not in known:
            if separator and text not in table.columns and name not in table.columns:
                raise SettingError(
                    f"{option} {text}: {name!r} is not an input of this kind.{did_you_mean(name, known)} "
                    f"They are {listing(known) or 'none'}."
                )
            if len(known) != 1:
                raise SettingError(f"{option} {text}: there are {len(known)} such inputs, {listing(known)}: write "
                                   f"{option} {(known or ['name'])[0]}={text}.")  # fmt: skip
            name, columns = known[0], text
        chosen = tuple(columns.split(",")) if columns not in table.columns else (columns,)
        for column in chosen:
            table.column(column)
        found[name] = tuple(dict.fromkeys([*found.get(name, ()), *chosen]))
    return found


def _default_columns(name: Key, table: Table, used: set[str], alone: bool) -> tuple[str, ...]:
    """The columns of an input for which no option was given."""
    if str(name) in table.columns and str(name) not in used:
        return (str(name),)
    rest = tuple(column for column in table.columns if column not in used)
    if alone and any(not column.strip() for column in rest):
        raise FileFormatError(
            f"{table.path} has a column without a name, such as the index that pandas writes: write the file with "
            "index=False, or name the columns of the input by --input a,b."
        )
    if not alone or not rest:
        raise SettingError(
            f"Say which columns of {table.path} the input {name!r} takes: --input {name}=a,b. The columns are "
            f"{listing(table.columns)}."
        )
    return rest


def _stacked(table: Table, columns: Sequence[str], kind: str | None) -> Tensor:
    """Columns as one tensor (n, k), or the array of a single column as it is."""
    for name in columns:
        if not table.numeric(name):
            shown = listing([repr(text) for text in dict.fromkeys(table.column(name))][:MOST_SHOWN])
            raise FileFormatError(
                f"{table.path}: the column {name!r} holds texts such as {shown}, and inputs are numbers: choose other "
                "columns with --input, or write numbers in place of the texts."
            )
    read = table.floats if kind is None else table.numbers
    held = [numpy.asarray(read(name)) for name in columns]
    if len(held) > 1 and any(column.ndim > 1 for column in held):
        raise FileFormatError(f"{table.path}: {listing(columns)} are arrays of several axes: take one for an input.")
    array = held[0] if held[0].ndim > 1 or held[0].shape[0] != table.rows else numpy.stack(held, 1)
    if kind is None:
        return torch.from_numpy(array)
    with numpy.errstate(invalid="ignore"):
        whole = array.astype(numpy.int64)
    if (array != whole).any():
        raise FileFormatError(f"{table.path}: {listing(columns)} must hold whole numbers, which the network looks up.")
    return torch.from_numpy(whole)


def _target(table: Table, columns: tuple[str, ...], answer: Answer) -> Target:
    """How a target is made of columns, for what the network answers."""
    if answer.indices and len(columns) == 1:
        return Target(columns, "indices", _classes(table, columns[0], answer.size))
    named = [name for name in columns if not table.numeric(name)]
    if len(columns) > 1 and named:
        raise SettingError(f"--target: {named[0]!r} holds texts, and classes are one column, not {len(columns)}.")
    if named and answer.size == 1 and not answer.binary and len(set(table.column(named[0]))) != 2:
        table.numbers(named[0])  # raises an error with the line of the first text
    if len(columns) == 1 and answer.size == 1 and (named or answer.binary):
        return Target(columns, "binary", _classes(table, columns[0], 2, exact=True), -1.0 if answer.symmetric else 0.0)
    if not named and len(columns) == answer.size:
        low = -1.0 if answer.symmetric else 0.0
        labels = (f"{low:.0f}", "1")
        if answer.binary and all(set(table.labels(name)) <= set(labels) for name in columns):
            return Target(columns, "binary", labels, low)
        return Target(columns, "numbers")
    if len(columns) == 1:
        return Target(columns, "one-hot", _classes(table, columns[0], answer.size, exact=True))
    raise SettingError(f"--target names {len(columns)} columns, and the network predicts {answer.size} numbers a row.")


def _classes(table: Table, name: str, most: int, exact: bool = False) -> tuple[str, ...]:
    """The labels of a column: 0, 1, ... if all are such numbers, or else in their order.

    exact  there must be as many as the network has classes
    """
    try:
        labels = sorted(set(table.labels(name)), key=_order)
    except GraphDLError as error:
        raise FileFormatError(str(error)) from None
    numbers = [str(number) for number in range(most)]
    if set(labels) <= set(numbers):
        return tuple(numbers)
    if len(labels) > most or (exact and len(labels) < most):
        raise FileFormatError(
            f"{table.path}: the column {name!r} has {len(labels)} different values, such as "
            f"{listing(labels[:MOST_SHOWN])}, and the network predicts {most} classes."
        )
    return tuple(labels)


def _order(label: str) -> tuple[bool, float, str]:
    """Numbers by value, before texts."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
