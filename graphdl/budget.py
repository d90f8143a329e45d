"""What a declared network takes, counted from its dictionaries before anything is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from graphdl.errors import FileFormatError
from graphdl.graph import Block, Key, Shared, normalise_connectivity
from graphdl.graph.level import Level
from graphdl.operators import Buffer, Operator, Parameter
from graphdl.settings import chosen_settings

if TYPE_CHECKING:
    from graphdl.graph.build import Graph

MOST_BYTES = 2**30
"""The default of `max_bytes`: what a file that is read may take for its tensors."""
SHORT_TEXT, TEXT_SHARE = 2**20, 32
"""JSON may have so many bytes, or a share of max_bytes: its data take up to 32 times the memory of the text."""
FEW_NODES, FEW_TENSORS, EACH = 4_096, 16_384, 16
"""A file may make so many nodes and tensors, or EACH for every node that it writes: a Shared block repeats nodes."""


@dataclass
class Size:
    """What a network takes: nodes as written and in all, tensors and their bytes, and the largest tensor."""

    written: int = 0
    nodes: int = 0
    tensors: int = 0
    bytes: int = 0
    largest: tuple[int, str, tuple[int, ...]] = (0, "", ())


def most_text(max_bytes: int = MOST_BYTES) -> int:
    """The bytes of JSON that are read at most."""
    return max(SHORT_TEXT, max_bytes // TEXT_SHARE)


def check_size(
    operators: Mapping[Key, Any], connectivity: Mapping[Key, Any], dtype: torch.dtype, max_bytes: int
) -> None:
    """Raise FileFormatError if a network of these operators would take too much; only their settings are looked at."""
    size = Size(written=sum(1 for _ in _written(operators)))
    if any(isinstance(each, Block) for each in operators.values()):
        size.nodes = _nodes(Level(operators, normalise_connectivity(connectivity)), {})
    if size.nodes > max(FEW_NODES, EACH * size.written):
        raise FileFormatError(
            f"the network has {size.nodes:,} nodes and the file declares {size.written:,}: its blocks repeat "
            f"others by Shared. At most {FEW_NODES:,} nodes are made, or {EACH} for each that is declared."
        )
    for name, operator in _written(operators):
        _check_numbers(f"{name} ({type(operator).__name__})", operator, dtype)
        if isinstance(operator, Operator) and operator.complete:
            _add(size, name, operator, dtype)
    if size.bytes > max_bytes:
        _, name, shape = size.largest
        raise FileFormatError(
            f"its tensors take {size.bytes:,} bytes, and max_bytes is {max_bytes:,}. The largest is {name} with the "
            f"shape {shape}. If the file is trusted, load it with max_bytes={size.bytes}."
        )


def check_gradients(graph: Graph, dtype: torch.dtype) -> None:
    """Raise FileFormatError if the gradient factor of an edge, with those of the blocks around it, is too large."""
    for source, key, edge in graph.edges(data=True):
        if abs(edge["gradient"]) > (most := torch.finfo(dtype).max):
            factor = f"{edge['gradient']:g}, and the largest number of {dtype} is {most:.3g}"
            raise FileFormatError(f"the gradient factor from {source} to {key} is {factor}.")


def _written(operators: Mapping[Key, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The operators as they are declared, those in blocks after their block, by their full names."""
    for key, each in operators.items():
        yield f"{path}{key}", each
        if isinstance(each, Block):
            yield from _written(each.operators, f"{path}{key}/")


def _nodes(level: Level, known: dict[int, int]) -> int:
    """How many nodes a level has without its blocks; `known` are the blocks that were counted, by identity."""
    total = 0
    for each in level.computed.values():
        if isinstance(each, Block) and id(each) not in known:
            known[id(each)] = _nodes(each.level, known)
        total += known[id(each)] if isinstance(each, Block) else 1
    return total


def _add(size: Size, name: str, operator: Operator, dtype: torch.dtype) -> None:
    """Count the tensors of an operator."""
    declared: dict[str, Parameter | Buffer] = {**operator.parameters(), **operator.buffers()}
    size.tensors += len(declared)
    if size.tensors > max(FEW_TENSORS, EACH * size.written):
        raise FileFormatError(
            f"its {size.written:,} nodes have more than {size.tensors:,} tensors. At most {FEW_TENSORS:,} are made, or "
            f"{EACH} for each node."
        )
    for inner, each in declared.items():
        taken = math.prod(each.shape) * (getattr(each, "dtype", None) or dtype).itemsize
        size.bytes += taken
        size.largest = max(size.largest, (taken, f"{name}.{inner}", tuple(each.shape)))


def _check_numbers(name: str, operator: Any, dtype: torch.dtype) -> None:
    """Refuse numbers that the type of the tensors does not have."""
    most = torch.finfo(dtype).max
    for setting, value in _numbers(operator):
        if isinstance(value, float) and math.isfinite(value) and abs(value) > most:
            raise FileFormatError(f"{name}: {setting} is {value:g}, and the largest number of {dtype} is {most:.3g}.")


def _numbers(instance: Any) -> Iterator[tuple[str, Any]]:
    """The settings of an operator and of its initializers, those in tuples one by one."""
    if isinstance(instance, (Block, Shared)):
        return
    held = list(chosen_settings(instance).items())
    while held:
        name, value = held.pop()
        if isinstance(value, tuple):
            held += [(name, each) for each in value]
        elif isinstance(value, (int, float)):
            yield name, value
        else:
            yield from ((f"{name}, {inner}", number) for inner, number in _numbers(value))
