"""Writes docs/operators.md, the list of operators, from classes and test cases: python -m docs.catalogue."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from graphdl import GraphDLError, Item, Operator, operators
from graphdl.cpp import form_of
from graphdl.execution.recorder import recording
from graphdl.slots import is_optional
from tests.operators.case import Case, upstream

PAGE = Path(__file__).parent / "operators.md"
HEAD = """# Operators

<!-- Written by python -m docs.catalogue from the classes: change their docstrings instead. -->

All are imported from `graphdl`. Settings have the names, order and defaults of torch.nn wherever torch has the
operator.

- **Axes** have one letter each: n batch, c channel, i and o features in and out, d h w space, t and s time. x is the
  input, y the output, and dx is the gradient of the loss with respect to x.
- **Brackets** mark what may be missing: optional inputs, and parameters and buffers that depend on the settings.
- **Kept for backward** is what a training pass keeps in memory until the backward pass.
- **Errors** that all operators raise are not repeated: ShapeError for inputs of the wrong shape, and SettingError for
  settings that are not valid.
- **Losses** have two settings in common. reduction is "mean" or "sum" over the elements, or "none" for no reduction.
  weight is the factor of the loss in the network's total loss: it scales the gradient, but not the node's value.
- **Compiled** says how `fit(..., compile=True)` makes a step of an operator's test cases on a CPU: *yes* if all calls
  of its forward and backward are written in C++, else the calls that torch makes between the compiled parts.

| Subject | Section | Operators |
|---|---|---|
"""
SUBJECTS = {
    "Layers": ["linear", "convolution", "transposed_convolution", "embedding", "embedding_bag", "similarity"],
    "Pooling and size": ["pooling", "adaptive_pooling", "resampling"],
    "Normalization": ["batch_normalization", "normalization"],
    "Activations": ["piecewise", "activations", "softmax"],
    "Regularization": ["regularization"],
    "Sequences": ["recurrent", "attention", "multihead", "positions"],
    "Arithmetic": ["merge", "arithmetic", "elementary", "matmul", "reductions"],
    "Shape": ["reshaping", "arrangement", "selection", "structure"],
    "Leaves": ["leaves"],
    "Losses": [
        "regression_losses",
        "binary_losses",
        "classification_losses",
        "likelihood_losses",
        "ranking_losses",
        "sequence_losses",
        "weighted",
    ],
}
"""The order of the page; modules that it lacks are listed at the end."""


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
    """The test cases of each operator. Item has none: it makes no calls."""
    found: dict[type[Operator], list[Case]] = {Item: []}
    for family in families():
        for case in importlib.import_module(f"tests.operators.test_{family}").CASES:
            found.setdefault(type(case.operator), []).append(case)
    return found


@cache
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


def variants(operator: Operator) -> Iterator[Operator]:
    """The operator, and the same with each of its flags changed."""
    yield operator
    for field in fields(operator):  # type: ignore[arg-type]  # every operator is a dataclass
        if isinstance(value := getattr(operator, field.name), bool):
            with suppress(GraphDLError):
                yield replace(operator, **{field.name: not value})  # type: ignore[type-var]


def tensors(held: list[dict[str, Any]]) -> str:
    """The names of parameters or buffers, in brackets if only some settings have them; of several layers the first."""
    names = [name for name in dict.fromkeys(chain(*held)) if not re.search(r"_l[1-9]|_reverse", name)]
    return ", ".join(name if all(name in each for each in held) else f"[{name}]" for name in names)


def entry(cls: type[Operator], of: list[Case]) -> Iterator[str]:
    """What the page says about one operator."""
    complete = [each for case in of for each in variants(case.complete())]
    yield f"### {cls.__name__}\n"
    yield f"```python no-run\n{signature(cls)}\n```\n"
    yield f"```text\n{inspect.cleandoc(cls.__doc__ or '')}\n```\n"
    facts = [f"Inputs: {inputs(cls)}."]
    parameters = tensors([each.parameters() for each in complete])
    buffers = tensors([each.buffers() for each in complete])
    facts += [f"Parameters: {parameters}."] if parameters else []
    facts += [f"Buffers: {buffers}."] if buffers else []
    yield " ".join([*facts, f"Compiled: {compiled(of)}."]) + "\n"


def shared(classes: list[type[Operator]]) -> list[type]:
    """The base classes that these operators refer to by "as in", if they are not operators themselves."""
    named = {name for cls in classes for name in re.findall(r"\bas in (\w+)", cls.__doc__ or "")}
    bases = dict.fromkeys(base for cls in classes for base in cls.__mro__ if base not in classes)
    return [base for base in bases if base.__name__ in named]


def section(module: str, classes: list[type[Operator]], known: dict[type[Operator], list[Case]]) -> Iterator[str]:
    """What the page says about the operators of one module."""
    heading, _, text = description(module).partition("\n\n")
    yield f"\n## {heading.rstrip('.')}\n"
    yield from [f"{text}\n"] if text else []
    for base in shared(classes):
        yield f"### {base.__name__}\n\n```text\n{inspect.cleandoc(base.__doc__ or '')}\n```\n"
    for cls in classes:
        yield from entry(cls, known[cls])


def description(module: str) -> str:
    """The docstring of a module of operators, whose first line is its heading."""
    return inspect.cleandoc(importlib.import_module(f"graphdl.operators.{module}").__doc__ or "")


def rows(found: dict[str, list[type[Operator]]]) -> Iterator[str]:
    """The index: a row for each module."""
    before = ""
    for module, classes in found.items():
        subject = next((subject for subject, modules in SUBJECTS.items() if module in modules), "Other")
        heading = description(module).splitlines()[0].rstrip(".")
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        shown = "" if subject == before else f"**{subject}**"
        yield f"| {shown} | [{heading}](#{anchor}) | {', '.join(map(link, classes))} |"
        before = subject


def page() -> str:
    """The whole page."""
    known, found = cases(), families()
    ordered = {module: found[module] for module in dict.fromkeys([*chain(*SUBJECTS.values()), *found])}
    lines = [HEAD.rstrip("\n"), *rows(ordered)]
    for module, classes in ordered.items():
        lines += section(module, classes, known)
    return "\n".join(lines)


def link(cls: type[Operator]) -> str:
    """A link to the operator's entry."""
    return f"[{cls.__name__}](#{cls.__name__.lower()})"


if __name__ == "__main__":
    PAGE.write_text(page())
