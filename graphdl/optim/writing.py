"""Calls an optimizer's formula, checks its results and copies them into the parameters and the state."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphdl.errors import GraphDLError, GraphDLWarning, OperatorError, counted, level_outside
from graphdl.execution.agreement import same_numbers
from graphdl.optim.numbers import Numbers, State

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer


def initial_state(optimizer: Optimizer, w: Tensor) -> State:
    """The initial state of parameters. Raises OperatorError if `state` returns something else than tensors."""
    owner, found = type(optimizer).__name__, optimizer.state(w)
    if not isinstance(found, (tuple, list)):
        raise OperatorError(
            f"{owner}: state returned a {type(found).__name__}; it must return a tuple of tensors, (state,)."
        )
    _check_tensors(owner, "state", found, found if optimizer.joint else [w] * len(found))
    return tuple(found)


def owned(vectors: Sequence[Tensor], *others: Tensor) -> State:
    """The vectors, copied if they share memory with each other or with others."""
    found: list[Tensor] = []
    for vector in vectors:
        shared = any(_shares_memory(vector, other) for other in (*others, *found))
        found.append(vector.clone(memory_format=torch.contiguous_format) if shared else vector.contiguous())
    return tuple(found)


def next_values(optimizer: Optimizer, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, ...]:
    """The next parameters and the next state by the formula. Raises OperatorError if it fails or returns others."""
    owner = type(optimizer).__name__
    try:
        result: Any = optimizer.update(w, g, state, s)
    except GraphDLError:
        raise
    except Exception as error:
        size = counted(w.numel(), "element")
        raise OperatorError(f"{owner}: its update failed on {size}: {type(error).__name__}: {error}") from error
    pair = isinstance(result, (tuple, list)) and len(result) == 2 and isinstance(result[1], (tuple, list))
    if not pair:
        found = f"a {type(result).__name__}" if not isinstance(result, tuple) else f"{result!r:.100}"
        raise OperatorError(f"{owner}: update returned {found}; it must return (next w, (each next state, ...)).")
    new, following = result
    if len(following) != len(state):
        raise OperatorError(
            f"{owner}: update returned {counted(len(following), 'state')}, but `state` returned {len(state)}."
        )
    _check_tensors(owner, "update", (new, *following), (w, *state))
    return (new, *following)


def _check_tensors(owner: str, method: str, found: Sequence[Any], held: Sequence[Any]) -> None:
    for tensor, before in zip(found, held, strict=True):
        if not isinstance(tensor, Tensor):
            raise OperatorError(f"{owner}: {method} returned a {type(tensor).__name__} where a tensor is expected.")
        if tensor.shape != before.shape:
            raise OperatorError(
                f"{owner}: {method} returned a tensor of the shape {tuple(tensor.shape)}; it must have the shape "
                f"{tuple(before.shape)}."
            )


def write(targets: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Copy each result into its target. A result that shares memory with a target is cloned first."""
    safe = [
        result.clone() if any(_shares_memory(result, other) for other in targets) else result
        for result, target in zip(results, targets, strict=True)
        if result is not target
    ]
    changed = [target for result, target in zip(results, targets, strict=True) if result is not target]
    for target, result in zip(changed, safe, strict=True):
        target.copy_(result)


class FirstUpdate:
    """Checks the first update: it must change a parameter, and no formula may change the gradients.

    open  whether the first update is still to be checked
    """

    def __init__(self) -> None:
        self.open = True
        self._t: Any = None
        self._changed = False
        self._idle = ""

    def watch(self, owner: str, s: Numbers, w: Sequence[Tensor], g: Sequence[Tensor], move: Callable[[], None]) -> None:
        """Make an update and check what it changes."""
        if w[0].is_meta:
            return move()
        if self._t is not None and s.t != self._t:
            self.close()
            return move()
        self._t = s.t
        w_before, g_before = [each.clone() for each in w], [each.clone() for each in g]
        move()
        with torch._C.DisableTorchFunction():
            if not all(map(same_numbers, g, g_before)):
                raise OperatorError(f"{owner}: update changes the gradient g in place; it must return new tensors.")
            if not all(map(same_numbers, w, w_before)):
                self._changed = True
            elif any(_matters(each * s.lr, held) for each, held in zip(g, w, strict=True)):
                self._idle = owner

    def compare(self, owner: str, before: Tensor, after: Tensor, gradients: Tensor) -> None:
        """Check what updates by compiled code have changed, and close."""
        self._t = 0
        with torch._C.DisableTorchFunction():
            self._changed = not same_numbers(before, after)
            self._idle = owner if _matters(gradients, before) else ""
        self.close()

    def close(self) -> None:
        """End the check, if the first update was made; warn if it changed nothing."""
        self.open = self._t is None
        if self._idle and not self._changed:
            warnings.warn(
                f"{self._idle}: the first update changed no parameter, although gradients and learning rate are not 0. "
                "Check that `update` returns the next parameters.",
                GraphDLWarning,
                stacklevel=level_outside(),
            )


def _shares_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same storage, checked without a call that a recorder sees."""
    return bool(torch._C._is_alias_of(one, other))  # type: ignore[attr-defined]


def _matters(change: Tensor, w: Tensor) -> bool:
    """Whether a change is more than the rounding of what it would be added to."""
    return bool(change.abs().max() > torch.finfo(w.dtype).eps * w.abs().max())
