"""Calls that lack an argument, or have one too many: reported with an example of how the function is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from graphdl.errors import CallError, did_you_mean

__all__ = ["check_call", "explained"]

P = ParamSpec("P")
R = TypeVar("R")


def explained(example: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function raise CallError, with an example, where its arguments are not those that it takes."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*given: P.args, **named: P.kwargs) -> R:
            try:
                return function(*given, **named)
            except TypeError as error:
                if error.__traceback__ is None or error.__traceback__.tb_next is None:  # the function has not begun
                    check_call(function, given, named, example)
                raise

        return called

    return decorate


def check_call(function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any], example: str = "") -> None:
    """Raise CallError if a function cannot be called with these arguments; the example is made of their names."""
    signature = inspect.signature(function)
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        name = function.__qualname__.removesuffix(".__init__")
        known = [each for each in signature.parameters if each != "self"]
        wrong, meant = str(error), ""
        if unknown := [each for each in named if each not in known]:  # often the one that seems to be missing
            wrong, meant = f"got an unexpected keyword argument {unknown[0]!r}", did_you_mean(unknown[0], known)
        example = example or f"{name}({', '.join(known)})"
        raise CallError(f"{name}: {wrong}.{meant} Write {example}.") from None
