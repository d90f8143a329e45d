"""What a caller gives a network: operators, seed, device and type are checked, inputs become tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, SettingError, ShapeError, UnknownNodeError, did_you_mean, listing
from graphdl.graph import Block, Key, Shared, not_an_operator
from graphdl.graph.reading import InputKind
from graphdl.intake import as_tensor, check_tensor
from graphdl.operators import Operator
from graphdl.settings import is_whole_number

Device: TypeAlias = str | torch.device

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The types that parameters may have: torch does not compute with smaller ones."""

KINDS = {"integer": torch.int64, "boolean": torch.bool}
"""The types of inputs that are known by their shapes alone."""


def gather_inputs(
    given: object,
    needed: Collection[Key],
    known: Mapping[Key, str],
    operators: Collection[Key],
    device: torch.device,
    dtype: torch.dtype,
    computes_with: Callable[[Key], bool] = lambda name: False,
) -> dict[Key, Tensor]:
    """Take {name: tensor or array}, or one tensor where one input is needed, onto the device.

    Floating-point values take the network's type, integers keep theirs; those of lists, arrays and tables take the
    network's type where it computes with them. Inputs that are known and not needed are left out. known says of each
    input of the network why it is one; a missing input may be a misspelt operator.

    Errors: MissingInputError, UnknownNodeError, and SettingError for what is not a tensor.
    """
    if not isinstance(given, Mapping):
        if not needed:
            raise MissingInputError("A tensor was given, and no input is needed. Give an empty dictionary, {}.")
        if len(needed) != 1:
            raise MissingInputError(
                f"One tensor was given, and {len(needed)} inputs are needed: {listing(map(repr, needed))}. "
                "Give a dictionary from their names to tensors."
            )
        given = {next(iter(needed)): given}
    _check_names(given, known)
    inputs = {}
    for name in needed:
        if name not in given:
            meant = did_you_mean(name, set(operators) - {name})
            raise MissingInputError(
                f"The input {name!r} is missing: it is an input because {known[name]}.{meant} Give it a value."
            )
        value = given[name]
        tensor = to_tensor(value, f"The input {name!r}", device, dtype)
        if not isinstance(value, Tensor) and not tensor.is_floating_point() and computes_with(name):
            tensor = tensor.to(dtype)
        inputs[name] = tensor
    return inputs


def meta_inputs(
    given: Mapping[Key, Any],
    known: Mapping[Key, str],
    dtype: torch.dtype,
    batch: int | None = None,
    kinds: Mapping[Key, InputKind] | None = None,
) -> dict[Key, Tensor]:
    """Shapes or tensors -> meta tensors.

    batch  is put before shapes that are given without their batch axis
    kinds  of the inputs that are integers or booleans where only their shape is given
    """
    if not isinstance(given, Mapping):
        raise ShapeError(
            f"Shapes are given by name, {{input: shape}}, not as {given!r}. The inputs are {listing(known)}."
        )
    _check_names(given, known)
    hollow = {}
    for name, value in given.items():
        if isinstance(value, Tensor):
            kept = value.dtype if not value.is_floating_point() else dtype
            hollow[name] = torch.empty(value.shape, dtype=kept, device="meta")
            continue
        if not isinstance(value, (tuple, list)) or not all(type(n) is int and n >= 0 for n in value):
            raise ShapeError(f"The shape of input {name!r} is a tuple of sizes, or a tensor, not {value!r}.")
        sizes = tuple(value) if batch is None else (batch, *value)
        found = KINDS[kinds[name]] if kinds and name in kinds else dtype
        hollow[name] = torch.empty(sizes, dtype=found, device="meta")
    return hollow


def _check_names(given: Iterable[Key], known: Mapping[Key, str]) -> None:
    """Refuse a name that is not an input of the network; `known` says why each input is one."""
    for name in given:
        if name not in known:
            unfed = [f" {each!r} is one because {why}." for each, why in known.items() if why.startswith("nothing")]
            raise UnknownNodeError(
                f"The network has no input {name!r}.{did_you_mean(name, known)} Its inputs are "
                f"{listing(map(repr, known))}.{''.join(unfed[:3])}"
            )


def compilable(net: object, optimizer: Any, inputs: object) -> tuple[Any, object]:
    """A stepper of the network, and example tensors. Raises SettingError for anything else, such as shapes."""
    for name, value in inputs.items() if isinstance(inputs, Mapping) else ():
        if isinstance(value, (tuple, list)) and all(isinstance(size, int) for size in value):
            shape = ", ".join(map(str, value))
            raise SettingError(
                f"compile takes example tensors, and the input {name!r} is {value!r}: if this is its shape, give "
                f"torch.zeros({shape}), or torch.zeros({shape}, dtype=torch.long) for indices."
            )
    stepper = optimizer.bind(net) if hasattr(optimizer, "bind") else optimizer
    if getattr(stepper, "net", None) is not net:
        raise SettingError(
            "optimizer must be an optimizer of graphdl.optim such as Adam(lr=1e-3), or a stepper of this network, not "
            f"{type(optimizer).__module__}.{type(optimizer).__name__}."
        )
    return stepper, inputs


def to_tensor(value: Any, what: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor on the device; floating-point numbers in the given type."""
    if isinstance(value, Tensor):
        check_tensor(value, what)
        if value.dtype is dtype and value.device == device:
            return value
        if value.is_meta and device.type != "meta":
            raise SettingError(
                f"{what} is a tensor on the meta device, which has a shape and no data: give its numbers."
            )
    tensor = as_tensor(value, what, dtype)
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)


def check_operators(operators: Mapping[Key, object]) -> None:
    """Refuse what is not an operator; the likely mistake is a class without its parentheses."""
    for key, operator in operators.items():
        if isinstance(operator, Block):
            check_operators({f"{key}/{inner}": each for inner, each in operator.operators.items()})
        elif isinstance(operator, type) or not isinstance(operator, (Operator, Shared)):
            raise SettingError(not_an_operator(key, operator))


def new_generator(seed: object) -> torch.Generator:
    """A random generator on the CPU; without a seed it takes one from torch's global generator."""
    if seed is None:
        seed = int(torch.randint(2**62, (), device="cpu"))
    if not is_whole_number(seed):
        raise SettingError(f"seed must be a whole number or None, not {seed!r}.")
    try:
        return torch.Generator("cpu").manual_seed(int(seed))
    except (RuntimeError, ValueError, OverflowError):
        raise SettingError(f"seed must be a whole number of 64 bits, not {seed}.") from None


def usable_device(device: Device) -> torch.device:
    """The device, once it has been seen to hold a tensor."""
    if isinstance(device, torch.dtype):
        raise SettingError(f"device={device} is a type: write dtype={device}.")
    try:
        return torch.zeros((), device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        why = "" if isinstance(error, NotImplementedError) else str(error).splitlines()[0].rstrip(".")
        why = why.partition("Expected one of")[0] or "there is no such device"
        raise SettingError(
            f'device={device!r} cannot be used: {why}. Take "cpu", or "cuda" where torch.cuda.is_available().'
        ) from None


def floating_type(dtype: object) -> torch.dtype:
    """A floating-point type in which torch computes."""
    if not isinstance(dtype, torch.dtype) or dtype not in FLOATING:
        raise SettingError(
            f"dtype is the floating-point type of the parameters, such as torch.float64, not {dtype!r}. There are "
            f"{listing(map(str, FLOATING))}."
        )
    return dtype
