"""Writes docs/operators.md, the list of operators, from classes and test cases: python -m docs.catalogue."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from graphdl import Identity, Operator, operators
from graphdl.cpp import form_of
from graphdl.execution.recorder import recording
from graphdl.slots import is_optional
from tests.operators.case import Case, upstream

PAGE = Path(__file__).parent / "operators.md"
HEAD = """# Operators

<!-- Written by python -m docs.catalogue from the classes: change their docstrings instead. -->

All are imported from `graphdl`. Settings carry the names, order and defaults of torch.nn wherever torch has the
operator. n is the batch, c channels, i and o features that go in and out, h and w space, t and s time.

**Compiled** says how `fit(..., compile=True)` makes a step of an operator's test cases: *yes* if all calls of its
forward and backward are written in C++, else the calls that torch makes between the compiled parts.
"""


def families() -> dict[str, list[type[Operator]]]:
    """Module -> the operators that it exports."""
    found: dict[str, list[type[Operator]]] = {}
    for module in pkgutil.iter_modules(operators.__path__):
        names = getattr(importlib.import_module(f"graphdl.operators.{module.name}"), "__all__", ())
        classes = [getattr(operators, name) for name in names]
        concrete = [cls for cls in classes if inspect.isclass(cls) and issubclass(cls, Operator)]
        concrete = [cls for cls in concrete if not inspect.isabstract(cls) and cls is not Operator]
        if concrete:
            found[module.name] = concrete
    return found


def cases() -> dict[type[Operator], list[Case]]:
    """The test cases of each operator."""
    found: dict[type[Operator], list[Case]] = {}
    for family in families():
        for case in importlib.import_module(f"tests.operators.test_{family}").CASES:
            found.setdefault(type(case.operator), []).append(case)
    return found


def left_to_torch(case: Case) -> set[str]:
    """The calls of an operator that have no form in C++."""
    p, xs = case.draw(torch.float32)
    operator = case.complete()
    chance = case.chance(xs)
    dy = upstream(case.forward(p, xs)[0])
    with torch.inference_mode(), recording() as recorder:
        _, saved = operator.forward(p, *xs, training=case.training, **chance)
        operator.backward(p, saved, dy)
    return {call.name.removesuffix(".default") for call in recorder.tape().calls if form_of(call) is None}


def compiled(of: list[Case]) -> str:
    """Whether all calls are written in C++, or which are not."""
    left = sorted(set().union(*map(left_to_torch, of)))
    return "calls " + ", ".join(f"`{name}`" for name in left) if left else "yes"


def signature(cls: type[Operator]) -> str:
    """How the operator is written."""
    texts, keywords = [], False
    for name, each in inspect.signature(cls).parameters.items():
        if each.kind is each.KEYWORD_ONLY and not keywords:
            texts, keywords = [*texts, "*"], True
        texts.append(name if each.default is each.empty else f"{name}={each.default!r}")
    return f"{cls.__name__}({', '.join(texts)})"


def inputs(cls: type[Operator]) -> str:
    """The slots, optional ones in brackets."""
    slots: Any = cls.slots
    if slots is None:
        return "any number of inputs"
    return ", ".join(f"[{slot}]" if is_optional(slot) else str(slot) for slot in slots) or "no inputs"


def entry(cls: type[Operator], of: list[Case]) -> Iterator[str]:
    """What the page says about one operator."""
    complete = of[0].complete() if of else Identity()  # Item has no case: it makes no calls
    yield f"### {cls.__name__}\n"
    yield f"```python no-run\n{signature(cls)}\n```\n"
    yield f"```text\n{inspect.cleandoc(cls.__doc__ or '')}\n```\n"
    facts = [f"Inputs: {inputs(cls)}."]
    for title, held in (("Parameters", complete.parameters()), ("Buffers", complete.buffers())):
        facts += [f"{title}: {', '.join(held)}."] if held else []
    yield " ".join([*facts, f"Compiled: {compiled(of)}."]) + "\n"


def page() -> str:
    """The whole page."""
    known, lines = cases(), [HEAD]
    for family, classes in families().items():
        about = importlib.import_module(f"graphdl.operators.{family}").__doc__ or ""
        lines.append(f"- **{about.splitlines()[0].rstrip('.')}**: {', '.join(link(cls) for cls in classes)}")
    for family, classes in families().items():
        about = importlib.import_module(f"graphdl.operators.{family}").__doc__ or ""
        lines.append(f"\n## {about.splitlines()[0].rstrip('.')}\n")
        for cls in classes:
            lines += entry(cls, known.get(cls, []))
    return "\n".join(lines)


def link(cls: type[Operator]) -> str:
    """A link to the operator's entry."""
    return f"[{cls.__name__}](#{cls.__name__.lower()})"


if __name__ == "__main__":
    PAGE.write_text(page())
