"""The tensors of a network: all parameters in one vector, and a view of it for each."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self, TypeAlias
from weakref import WeakSet

import torch
from torch import Generator, Tensor

from graphdl.errors import (
    MissingInputError,
    OperatorError,
    SettingError,
    ShapeError,
    UnknownNodeError,
    did_you_mean,
    listing,
)
from graphdl.graph import Key, enclosing
from graphdl.initializers import fill
from graphdl.operators import Buffer, Operator, Parameter

Name: TypeAlias = tuple[Key, str]
"""A parameter's node and its name there."""

ALIGNMENT = 16  # elements: a cache line in float32, and what the fastest kernels ask for


def padded(size: int) -> int:
    """The elements that a tensor takes with the gap after it."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class NamedTensors(dict[str, Tensor]):
    """A dictionary of a network's tensors: to assign to a name copies into its tensor."""

    def __setitem__(self, name: str, value: Any) -> None:
        """Copy `value` into the tensor of that name."""
        with torch.no_grad():
            self[name].copy_(like(name, self[name], value))

    def __missing__(self, name: str) -> Tensor:
        raise UnknownNodeError(f"The network has no tensor {name!r}.{did_you_mean(name, self)}")

    def _refuse(self, *_: Any) -> Any:
        raise SettingError("A network's tensors are neither added nor removed by hand: change operators instead.")

    def __call__(self, *_: Any) -> NoReturn:
        """Raise SettingError: in torch, `parameters` is a method."""
        raise SettingError(
            "net.parameters and net.buffers are dictionaries {'node.name': tensor}, not methods as in torch: use "
            "net.parameters.values(). An optimizer is bound to the whole network: Adam(lr=1e-3).bind(net)."
        )

    __delitem__ = pop = popitem = clear = setdefault = _refuse

    def update(self, *others: Any, **named: Any) -> None:
        """Assign to several names."""
        for name, value in dict(*others, **named).items():
            self[name] = value

    def __ior__(self, others: Any) -> Self:  # type: ignore[misc,override]
        self.update(others)
        return self


def like(name: str, held: Tensor, value: Any) -> Tensor:
    """The value as a tensor; one of another shape than the tensor that is to take it is refused."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"{name} takes a tensor or an array of numbers, not {value!r}.") from None
    if tensor.shape != held.shape:
        raise ShapeError(f"{name} has the shape {tuple(held.shape)}, and the value given {tuple(tensor.shape)}.")
    return tensor


@dataclass(frozen=True)
class Extent:
    """Where a parameter lies in the vector; `blocks` are the names of the blocks around its node."""

    node: Key
    name: str
    shape: torch.Size
    start: int
    blocks: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name by which the network lists it: "node.name"."""
        return f"{self.node}.{self.name}"

    @property
    def stop(self) -> int:
        """The first element after it."""
        return self.start + self.shape.numel()

    def view(self, flat: Tensor, origin: int = 0) -> Tensor:
        """This parameter's part of a vector laid out as the parameters from `origin` on are."""
        return flat[self.start - origin : self.stop - origin].view(self.shape)


class ParameterStore:
    """The parameters and buffers of some operators.

    flat        one vector with every parameter, each at an aligned offset; the gaps are 0
    extents     where each parameter lies in it
    parameters  "node.name" -> its view
    buffers     "node.name" -> tensor
    by_node     node -> {name: tensor}: what its operator is given
    family      this store and those that hold some of the same tensors, as long as they are used
    """

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(
        self,
        operators: Mapping[Key, Operator],
        generator: Generator | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        declared, size = self._lay_out(operators)
        flat = self._allocate(size, dtype, "cpu")
        for extent in self.extents:
            fill(extent.full_name, extent.view(flat), declared[extent.node][extent.name].initializer, generator)
        buffers = _buffers(operators, dtype, "cpu").items()
        self._hold(flat.to(device), {k: buffer.initializer(x, generator).to(device) for k, (buffer, x) in buffers})

    @classmethod
    def hollow(cls, operators: Mapping[Key, Operator], dtype: torch.dtype) -> Self:
        """The same of tensors without data, on the device "meta"."""
        store = cls.__new__(cls)
        _, size = store._lay_out(operators)
        buffers = _buffers(operators, dtype, "meta")
        store._hold(store._allocate(size, dtype, "meta"), {place: tensor for place, (_, tensor) in buffers.items()})
        return store

    def part(self, owners: Mapping[Key, Key]) -> Self:
        """The same tensors of some nodes under other names: {node of the part: node of this store}."""
        store = type(self).__new__(type(self))
        store.parameters, store.buffers = NamedTensors(), NamedTensors()
        store.flat, store.family = self.flat, self.family
        store.family.add(store)
        store.by_node = {key: {} for key in owners}
        held: dict[Key, list[Extent]] = {}
        for extent in self.extents:
            held.setdefault(extent.node, []).append(extent)
        store.extents = [
            replace(extent, node=key, blocks=_blocks(key, owners))
            for key, owner in owners.items()
            for extent in held.get(owner, ())
        ]
        for key, owner in owners.items():
            for name, tensor in self.by_node[owner].items():
                names = store.parameters if f"{owner}.{name}" in self.parameters else store.buffers
                store._enter(names, key, name, tensor)
        return store

    def _lay_out(self, operators: Mapping[Key, Operator]) -> tuple[dict[Key, dict[str, Parameter]], int]:
        """Give every parameter its place; return what is declared, and the size of the vector."""
        self.family: WeakSet[ParameterStore] = WeakSet([self])
        self.parameters, self.buffers = NamedTensors(), NamedTensors()
        self.by_node: dict[Key, dict[str, Tensor]] = {key: {} for key in operators}
        self.extents: list[Extent] = []
        self.flat = torch.empty(0, device="cpu")
        declared = {key: _declared(key, operator) for key, operator in operators.items()}
        size = 0
        for key, parameters in declared.items():
            blocks = _blocks(key, operators)
            for name, parameter in parameters.items():
                self.extents.append(Extent(key, name, _size(f"{key}.{name}", parameter.shape), size, blocks))
                size += padded(self.extents[-1].shape.numel())
        return declared, size

    def _allocate(self, size: int, dtype: torch.dtype, device: str) -> Tensor:
        try:
            return torch.zeros(size, dtype=dtype, device=device)
        except (RuntimeError, ValueError, OverflowError):
            largest = max(self.extents, key=lambda extent: extent.shape.numel())
            raise SettingError(
                f"The parameters do not fit into memory: they are {size:,} numbers of {dtype.itemsize} bytes. The "
                f"largest is {largest.full_name} with the shape {tuple(largest.shape)}."
            ) from None

    def _hold(self, flat: Tensor, buffers: Mapping[tuple[Key, str], Tensor]) -> None:
        """Take these tensors and name them."""
        self.flat = flat
        dict.clear(self.parameters)
        dict.clear(self.buffers)
        for extent in self.extents:
            self._enter(self.parameters, extent.node, extent.name, extent.view(flat))
        for (key, name), buffer in buffers.items():
            self._enter(self.buffers, key, name, buffer)

    def _enter(self, names: NamedTensors, key: Key, name: str, tensor: Tensor) -> None:
        full = f"{key}.{name}"
        if full in self.parameters or full in self.buffers:
            raise SettingError(f"Two tensors are called {full!r}; rename a node, for example one of 1 and '1'.")
        dict.__setitem__(names, full, tensor)
        self.by_node[key][name] = tensor

    @torch.inference_mode(False)
    @torch.no_grad()
    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move every tensor, from "meta" as zeros; integers keep their type. SettingError if networks share them."""
        if (self.flat.device, self.flat.dtype) == (device, dtype):
            return
        if len(self.family) > 1:
            gc.collect()  # a part that is no longer used may still be there
        if len(self.family) > 1:
            raise SettingError(
                "to: the tensors cannot be moved, because a part of the network, or the network that it is a part of, "
                "holds the same ones. Move the whole network first, and make its parts then."
            )
        buffers = {
            (key, name): _moved(tensor, device, dtype if tensor.is_floating_point() else tensor.dtype)
            for key, tensors in self.by_node.items()
            for name, tensor in tensors.items()
            if f"{key}.{name}" in self.buffers
        }
        self._hold(_moved(self.flat, device, dtype), buffers)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the values of all parameters and buffers; nothing is changed if a name or a shape is wrong."""
        if not isinstance(state, Mapping):
            raise SettingError(f"load_state_dict takes {{name: tensor}}, as state_dict returns it, not {state!r}.")
        held = {**self.parameters, **self.buffers}
        for name in state:
            if name not in held:
                raise UnknownNodeError(f"load_state_dict: no tensor is called {name!r}.{did_you_mean(name, held)}")
        if missing := [name for name in held if name not in state]:
            raise MissingInputError(f"load_state_dict: the state lacks {listing(missing)}.")
        values = {name: like(name, held[name], value) for name, value in state.items()}
        for names in (self.parameters, self.buffers):
            names.update({name: values[name] for name in names})

    @property
    def count(self) -> int:
        """How many numbers training changes."""
        return sum(extent.shape.numel() for extent in self.extents)

    def runs(self, nodes: Collection[Key]) -> list[list[Extent]]:
        """The parameters of these nodes, those that lie side by side together."""
        return neighbours([extent for extent in self.extents if extent.node in nodes])


def _blocks(key: Key, nodes: Collection[Key]) -> tuple[str, ...]:
    """The blocks around a node, by its name; a name that is a node is not a block."""
    return tuple(name for name in enclosing(key) if name not in nodes)


def neighbours(extents: Iterable[Extent]) -> list[list[Extent]]:
    """The extents by where they lie, those side by side together."""
    runs: list[list[Extent]] = []
    end = -1
    for extent in sorted(extents, key=lambda extent: (extent.start, extent.stop)):
        if extent.start != end:
            runs.append([])
        runs[-1].append(extent)
        end = extent.start + padded(extent.shape.numel())
    return runs


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    from_nothing = tensor.is_meta and device.type != "meta"
    return torch.zeros(tensor.shape, device=device, dtype=dtype) if from_nothing else tensor.to(device, dtype)


def _buffers(operators: Mapping[Key, Operator], dtype: torch.dtype, device: str) -> dict[Name, tuple[Buffer, Tensor]]:
    return {
        (key, name): (buffer, torch.empty(buffer.shape, dtype=buffer.dtype or dtype, device=device))
        for key, operator in operators.items()
        for name, buffer in operator.buffers().items()
    }


def _declared(key: Key, operator: Operator) -> dict[str, Parameter]:
    """What the operator declares as its parameters."""
    parameters = operator.parameters()
    for name, parameter in parameters.items():
        if not isinstance(parameter, Parameter):
            raise OperatorError(
                f"{key} ({type(operator).__name__}): parameters() declares {name!r} as a {type(parameter).__name__}; "
                "it returns {name: Parameter(shape, initializer)}, since the network owns the tensors."
            )
    return parameters


def _size(name: str, shape: tuple[int, ...]) -> torch.Size:
    try:
        size = torch.Size(shape)
        size.numel()
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise SettingError(f"{name} cannot have the shape {shape!r}: write sizes that memory holds.") from None
    return size
