"""Writes a call that goes element by element, by the formula of its function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphdl.cpp.activations import ACTIVATIONS
from graphdl.cpp.formulas import FORMULAS, LOGIC, UNCHANGED
from graphdl.cpp.values import Value, cast, number
from graphdl.cpp.writer import Writer, arguments, common_type
from graphdl.errors import CompileError
from graphdl.execution.tape import Call, Slot

POINTWISE: dict[str, Callable[..., Any]] = FORMULAS | ACTIVATIONS | LOGIC
"""The function's name, without the _ of its form in place -> the formula."""

IGNORED = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking", "grad_input", "out", "generator"}
"""Arguments that say where and how the result lies, which the result's slot says already."""


def plain_name(call_: Call) -> tuple[str, bool]:
    """The function's name without the _ of its form in place, and whether it goes through lists of tensors."""
    name = call_.name.removeprefix("_foreach_")
    return name if name.endswith("__") else name.removesuffix("_"), call_.name.startswith("_foreach_")


def pointwise(writer: Writer, call_: Call) -> None:
    """Write a function that goes element by element."""
    name, lists = plain_name(call_)
    given = arguments(call_, writer)
    keywords = {argument.name for argument in call_.function._schema.arguments if argument.kwarg_only}
    results = [writer.slot(slot) for slot in call_.results if slot is not None]
    if not lists:
        return _element(writer, name, given, keywords, results)
    many = {key: each for key, each in given.items() if isinstance(each, (list, tuple))}
    targets = results or list(next(iter(many.values())))
    for k, target in enumerate(targets):
        _element(writer, name, given | {key: each[k] for key, each in many.items()}, keywords, [target])


def _element(writer: Writer, name: str, given: dict[str, Any], keywords: set[str], targets: Sequence[Slot]) -> None:
    """Write one application of a formula, which gives a value for each target."""
    given = {key: each for key, each in given.items() if key not in IGNORED}
    compared = {key: each for key, each in given.items() if key not in ("condition", "mask")}
    common = common_type([each for each in compared.values() if isinstance(each, Slot)], _numbers(compared))
    compute = _computed(name, common, targets[0].dtype)

    def value(key: str, argument: Any) -> Any:
        if isinstance(argument, Slot):
            found = writer.read(argument)
            return found if key in ("condition", "mask") or name in UNCHANGED else cast(found, compute)
        return number(argument, compute) if name in LOGIC else argument

    values = [value(key, each) for key, each in given.items() if key not in keywords]
    named = {key: each for key, each in given.items() if key in keywords}
    if name == "where" and not any(isinstance(each, Value) for each in values[1:]):
        values[1] = number(values[1], compute)
    found = POINTWISE[name](*values, **named)
    for target, each in zip(targets, found if isinstance(found, tuple) else (found,), strict=True):
        writer.store(target, each)


def _numbers(given: dict[str, Any]) -> list[object]:
    return [each for key, each in given.items() if isinstance(each, (bool, int, float)) and key not in ("alpha",)]


def _computed(name: str, common: torch.dtype, result: torch.dtype) -> torch.dtype:
    """The type in which a formula is computed."""
    if name.startswith("logical"):
        return torch.bool
    if name == "bitwise_not" and common != torch.bool:
        raise CompileError("bits of integers have no form in C++ here")
    if not common.is_floating_point and (result.is_floating_point or (common == torch.bool and result != torch.bool)):
        return result
    return torch.int32 if common == torch.bool and name in ("add", "mul") else common
