"""Numbers, lists and arrays as tensors: the one place where they are converted."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn, TypeAlias

import numpy
import torch
from torch import Tensor

from graphdl.errors import SettingError, counted
from graphdl.intake.frames import frame_values, is_frame

Array: TypeAlias = numpy.ndarray[Any, Any]

FLOATS = {torch.float16: numpy.float16, torch.float32: numpy.float32, torch.float64: numpy.float64}
UNSIGNED = ("uint16", "uint32", "uint64")
"""Types for which torch has few functions: they become int64."""

LABELS = (
    "number them, labels for example by sklearn.preprocessing.LabelEncoder, or by "
    "graphdl.data.one_hot(labels, classes=[names in order])"
)


def as_tensor(value: Any, what: str, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of a number, a list, an array or a table of pandas; its memory is its own, and contiguous.

    Floating-point numbers take `dtype`, if it is given; integers and booleans keep their types. A tensor is returned as
    it is. Raises SettingError, which begins with `what`, for everything that is not numbers in a regular shape.
    """
    if isinstance(value, Tensor):
        check_tensor(value, what)
        return value
    if is_frame(value):
        value = frame_values(value, what)
    if isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) and each.dim() for each in value):
        tensor = _stacked(value, what)
        return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)
    if not isinstance(value, (numpy.ndarray, numpy.generic, list, tuple, int, float)) and not is_array_like(value):
        _refuse_kind(value, what)
    return _converted(_as_array(value, what), what, dtype)


def check_tensor(tensor: Tensor, what: str) -> None:
    """Raise SettingError for a tensor that is not laid out as rows of real numbers."""
    if tensor.is_nested:
        raise SettingError(
            f"{what} is a nested tensor, whose rows have different lengths: pad them, "
            "torch.nested.to_padded_tensor(x, 0.0), and give the lengths where they matter."
        )
    if tensor.layout is not torch.strided:
        raise SettingError(f"{what} is a sparse tensor ({tensor.layout}): give x.to_dense().")
    if tensor.is_complex():
        raise SettingError(f"{what} holds complex numbers: give real ones, for example torch.view_as_real(x).")
    if tensor.is_quantized:
        raise SettingError(f"{what} is a quantized tensor: give x.dequantize().")


def is_array_like(value: object) -> bool:
    """Whether an object of another package says how it is an array of numpy."""
    return hasattr(value, "__array__") and not isinstance(value, type)


def _stacked(value: Sequence[Any], what: str) -> Tensor:
    """A list of tensors of one shape as one tensor."""
    if isinstance(value, tuple):
        raise SettingError(
            f"{what} is a tuple of {len(value)} tensors; give one tensor: an element of it, or torch.stack(...) of all."
        )
    tensors = [as_tensor(each, f"{what}, element {k}") for k, each in enumerate(value)]
    for k, each in enumerate(tensors):
        if each.shape != tensors[0].shape:
            raise SettingError(
                f"{what} is a list of tensors of different shapes: element 0 has {tuple(tensors[0].shape)}, and "
                f"element {k} {tuple(each.shape)}. Give tensors of one shape."
            )
    return torch.stack(tensors)


def _as_array(value: Any, what: str) -> Array:
    if isinstance(value, numpy.ma.MaskedArray):
        masked = int(numpy.ma.getmaskarray(value).sum())
        raise SettingError(
            f"{what} is a masked array with {counted(masked, 'masked value')}: fill them, x.filled(0), or leave out "
            "their rows."
        )
    try:
        array = numpy.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        ragged = _raggedness(value)
        raise SettingError(
            f"{what} does not hold numbers in a regular shape: {ragged or error}; give rows of one length."
        ) from None
    if isinstance(array, numpy.ma.MaskedArray):
        return _as_array(array, what)
    return array


def _converted(array: Array, what: str, dtype: torch.dtype | None) -> Tensor:
    """An array as a tensor with its own memory, by one copy."""
    if array.dtype == object:
        array = _from_objects(array, what)
    if array.dtype.kind not in "biuf":
        _refuse_type(array, what)
    wanted = array.dtype.newbyteorder("=")
    if array.dtype.kind == "f":
        by_default = wanted if wanted.itemsize <= 8 else numpy.dtype(numpy.float64)
        wanted = numpy.dtype(FLOATS.get(dtype, numpy.float32)) if dtype is not None else by_default
    elif array.dtype.name in UNSIGNED:
        wanted = numpy.dtype(numpy.int64)
        if array.size and int(array.max()) > numpy.iinfo(wanted).max:
            raise SettingError(f"{what} holds the integer {int(array.max())}, and the largest one is {2**63 - 1}.")
    with numpy.errstate(over="ignore"):  # torch converts to infinity without a warning, too
        tensor = torch.from_numpy(numpy.array(array, dtype=wanted, order="C", copy=True, subok=False))
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _from_objects(array: Array, what: str) -> Array:
    """An array of Python numbers as one of numpy."""
    for position, each in numpy.ndenumerate(array):
        if isinstance(each, (numbers.Real, Decimal, numpy.bool_)):
            continue
        where = f" at {list(position)}" if position else ""
        if isinstance(each, str):
            raise SettingError(f"{what} holds strings, such as {each[:30]!r}{where}: {LABELS}.")
        if each is None:
            raise SettingError(f"{what} holds None{where}: fill missing values, or leave out their rows.")
        if isinstance(each, (list, tuple, numpy.ndarray, Tensor)):
            ragged = _raggedness(array.tolist()) or "its elements are arrays"
            raise SettingError(f"{what} does not hold numbers in a regular shape: {ragged}; give rows of one length.")
        raise SettingError(f"{what} does not hold numbers: there is a {type(each).__name__}{where}.")
    if all(isinstance(each, (bool, numpy.bool_)) for each in array.flat):
        return array.astype(bool)
    whole = all(isinstance(each, numbers.Integral) for each in array.flat)
    try:
        return array.astype(numpy.int64 if whole else numpy.float64)
    except OverflowError:
        raise SettingError(f"{what} holds an integer of more than 64 bits: give floating-point numbers.") from None


def _refuse_type(array: Array, what: str) -> NoReturn:
    """Raise SettingError for an array of a type that is not real numbers."""
    kind = array.dtype.kind
    if kind in "US":
        raise SettingError(f"{what} holds strings, such as {str(array.flat[0])[:30]!r}: {LABELS}.")
    if kind == "c":
        raise SettingError(
            f"{what} holds complex numbers: give real ones, for example numpy.stack([x.real, x.imag], -1)."
        )
    if kind in "mM":
        raise SettingError(f"{what} holds dates or durations ({array.dtype}): give numbers, such as seconds.")
    if array.dtype.names:
        raise SettingError(f"{what} has the fields {', '.join(array.dtype.names)}: give an array of one type.")
    raise SettingError(f"{what} holds {array.dtype}, which are not numbers: give a tensor or an array of numbers.")


def _refuse_kind(value: Any, what: str) -> NoReturn:
    """Raise SettingError for an object that is not an array."""
    if hasattr(value, "toarray"):
        raise SettingError(f"{what} is a sparse matrix ({type(value).__name__}): give x.toarray().")
    if isinstance(value, complex):
        raise SettingError(f"{what} is a complex number: give real ones.")
    raise SettingError(f"{what} is a {type(value).__name__}; give a tensor or an array of numbers.")


def _raggedness(value: Any) -> str:
    """Which two rows of a list differ in length, or ""."""
    if not isinstance(value, (list, tuple)) or not value:
        return ""
    for k, each in enumerate(value):
        lengths = [
            len(row) if hasattr(row, "__len__") and not isinstance(row, str) else None for row in (value[0], each)
        ]
        if lengths[0] != lengths[1]:
            first, other = ("a number" if n is None else counted(n, "value") for n in lengths)
            return f"row 0 has {first}, and row {k} {other}"
    return next((found for each in value if (found := _raggedness(each))), "")
