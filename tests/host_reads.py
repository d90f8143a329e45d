"""A context in which tensors on the CPU are treated as on a GPU, where to read a number means to wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READS = {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__", "nonzero"}
READING_CALLS = {"_local_scalar_dense", "is_nonzero", "item", "nonzero", "masked_select", "equal", "allclose"}


class RefusedMethods(TorchFunctionMode):
    """Refuses the methods of tensors that read numbers on the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in READS, f"{name} reads a number on the host"
        return func(*args, **(kwargs or {}))


class RefusedCalls(TorchDispatchMode):
    """Refuses the calls of torch that read numbers on the host, as an index by a mask does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        assert name not in READING_CALLS, f"{name} reads a number on the host"
        if name == "index":
            assert all(i is None or i.dtype != torch.bool for i in args[1]), "an index by a mask is read on the host"
        return func(*args, **(kwargs or {}))


@contextmanager
def host_reads_refused() -> Iterator[None]:
    """Raise AssertionError where a number is read on the host."""
    with RefusedMethods(), RefusedCalls():
        yield
