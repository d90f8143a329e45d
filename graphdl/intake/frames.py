"""Tables and columns of pandas, which is never imported here: what is given has imported it."""

from __future__ import annotations

import sys
from typing import Any

import numpy

from graphdl.errors import SettingError, listing


def is_frame(value: object) -> bool:
    """Whether it is a DataFrame, a Series, or another array of pandas."""
    pandas = sys.modules.get("pandas")
    kinds = ("DataFrame", "Series", "Index")
    if pandas is None or not all(hasattr(pandas, kind) for kind in kinds):  # not imported, or being imported
        return False
    return isinstance(value, (*(getattr(pandas, kind) for kind in kinds), pandas.api.extensions.ExtensionArray))


def frame_values(value: Any, what: str) -> Any:
    """The values of a table (n, columns) or of a column (n,), in the order of its rows, as an array of numbers.

    Raises SettingError, which names the columns, for missing values and for columns that do not hold numbers.
    Categories are refused, also numeric ones, because their codes and their values are different numbers.
    """
    pandas: Any = sys.modules["pandas"]
    if isinstance(value, pandas.DataFrame):
        columns = [(f"column {name!r}", value.iloc[:, k]) for k, name in enumerate(value.columns)]
    else:
        column = pandas.Series(value)
        name = getattr(value, "name", None)
        columns = [("it" if name is None else f"column {name!r}", column)]
    _refuse_missing(columns, what)
    for name, column in columns:
        _refuse_others(name, column, what, pandas)
    if isinstance(value, pandas.DataFrame):
        return value.to_numpy(_common_type([column for _, column in columns]))
    return columns[0][1].to_numpy(_common_type([columns[0][1]]))


def _refuse_missing(columns: list[tuple[str, Any]], what: str) -> None:
    """Raise SettingError for missing values, counted by column."""
    missing = {name: column.isna() for name, column in columns}
    found = {name: each for name, each in missing.items() if each.any()}
    if found:
        counts = listing(f"{name} has {int(each.sum())}" for name, each in found.items())
        name, first = next(iter(found.items()))
        raise SettingError(
            f"{what} has missing values: {counts} (the first of {name} is at {first.index[int(first.argmax())]!r}). "
            "Fill them, for example x.fillna(x.median()), or leave out their rows, x.dropna()."
        )


def _refuse_others(name: str, column: Any, what: str, pandas: Any) -> None:
    """Raise SettingError for a column that does not hold real numbers or booleans."""
    types = pandas.api.types
    if isinstance(column.dtype, pandas.CategoricalDtype):
        raise SettingError(
            f"{what}: {name} is categorical. Give one column of 0 and 1 for each category, pandas.get_dummies(x); for "
            "class indices and for an Embedding, give .cat.codes; for numbers, .astype(float)."
        )
    if types.is_complex_dtype(column.dtype):
        raise SettingError(f"{what}: {name} holds complex numbers: give their real and imaginary parts.")
    numbers = types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype)
    if numbers or (column.dtype == object and types.infer_dtype(column) in NUMBERS):
        return
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        raise SettingError(f"{what}: {name} holds {column.dtype}: give numbers, such as seconds.")
    example = f", such as {column.iloc[0]!r:.30}" if len(column) else ""
    raise SettingError(
        f"{what}: {name} holds {column.dtype}{example}, not numbers. Use pandas.get_dummies(x) for features; number "
        "labels by sklearn.preprocessing.LabelEncoder, or graphdl.data.one_hot(labels, classes=[names in order])."
    )


NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
"""What pandas calls objects that are numbers."""


def _common_type(columns: list[Any]) -> Any:
    """The type of numpy that holds all columns: boolean, integer or floating-point."""
    found = [column.infer_objects() if column.dtype == object else column for column in columns]
    types = [getattr(column.dtype, "numpy_dtype", column.dtype) for column in found]
    kinds = {getattr(each, "kind", "O") for each in types}
    if kinds == {"b"}:
        return numpy.dtype(bool)
    if kinds <= {"b", "i", "u"}:
        return numpy.dtype(numpy.int64)
    same = set(types) == {numpy.dtype(numpy.float32)}
    return numpy.dtype(numpy.float32 if same else numpy.float64)
