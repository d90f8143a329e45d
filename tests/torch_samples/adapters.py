"""How a module of torch.nn, and what it is given, are declared in graphdl."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import graphdl
from graphdl import Block, Operator

WITHOUT_MEANING = ("device", "dtype", "inplace", "size_average", "reduce")
"""Arguments of torch.nn that say where a module lies, or that torch has deprecated."""

PADS = {
    "Reflection": "reflect",
    "Replication": "replicate",
    "Circular": "circular",
    "Zero": "constant",
    "Constant": "constant",
}


class NotOfferedError(Exception):
    """What torch.nn has and graphdl has not, by intention."""


def arguments(module: type[nn.Module], given: Any) -> dict[str, Any]:
    """The arguments of a constructor by name, with tuples in place of lists and tensors."""
    bound = inspect.signature(module).bind(*given.args, **given.kwargs)
    named = bound.arguments | bound.kwargs
    return {name: plain(value) for name, value in named.items() if name not in (*WITHOUT_MEANING, "args", "kwargs")}


def plain(value: Any) -> Any:
    """A setting as graphdl takes it."""
    if value is functional.gelu:
        return graphdl.GELU()
    if isinstance(value, Tensor):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value


def declared(module: type[nn.Module], given: Any) -> Operator | Block:
    """The operator with the same settings."""
    settings = arguments(module, given)
    name = module.__name__.removeprefix("Lazy")
    if name[-5:-2] == "Pad":
        return pad(name, **settings)
    if settings.get("proj_size"):
        raise NotOfferedError("projections are refused")
    if issubclass(module, nn.modules.loss._Loss) and "weight" in settings:
        settings["class_weight"] = settings.pop("weight")
    if module is nn.MultiheadAttention:
        settings["need_weights"] = True  # an argument of the call in torch, whose default it is
    return getattr(graphdl, name)(**settings)


def pad(name: str, padding: Any, value: float = 0.0) -> Operator:
    """All modules that pad are one operator in graphdl."""
    axes, mode = int(name[-2]), PADS[name[:-5]]
    amounts = padding if isinstance(padding, tuple) else (padding,) * (2 * axes)
    return graphdl.Pad(amounts, mode, value) if mode == "constant" else graphdl.Pad(amounts, mode)


def inputs_by_slot(module: nn.Module, operator: Operator | Block, given: Any) -> dict[str | int, Tensor]:
    """The tensors that a module is called with, by the slots of the operator: in order, and those given by name."""
    bound = inspect.signature(module.forward).bind(*given.args, **given.kwargs).arguments
    slots, found = operator.slots or (), dict[str | int, Tensor]()
    for name, value in bound.items():
        for part in flat([value]):
            if isinstance(part, Tensor):
                found[name if name in slots else slots[len(found)] if slots else len(found)] = part
    return found


def flat(values: Any) -> Iterator[Any]:
    """The tensors of a call, those of a tuple one by one; numbers as a tensor of integers."""
    for value in values:
        if isinstance(value, (tuple, list)):
            if all(isinstance(each, int) for each in value):
                yield torch.tensor(value)
            else:
                yield from flat(value)
        else:
            yield value
