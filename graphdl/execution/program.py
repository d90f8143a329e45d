"""Plans as straight lines of Python: one call a node, with no loop and no look-up between two operators.

A loop over the steps costs more than a microsecond a call, since the interpreter cannot foresee which operator comes
next. In a straight line it can. The lists are

    v  values by index        g  their gradients
    s  what each step saved   P  each step's parameters    d  each step's parameter gradients

and the text holds nothing but numbers and fixed names, so that no name of a node ever becomes code.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

from torch import Tensor

from graphdl.errors import ShapeError
from graphdl.execution.derived import owns_output
from graphdl.execution.diagnosis import no_pair, shape_of
from graphdl.execution.plan import BackwardPlan, BackwardStep, Plan, Step
from graphdl.execution.recompute import Recomputation
from graphdl.graph import Key
from graphdl.operators import Operator
from graphdl.operators.tuples import TupleGradient

Lines: TypeAlias = list[str]
Destination: TypeAlias = tuple[str, int, str]

CHUNK = 1_000  # steps in one function: the compiler's time grows faster than a function's length


class Program:
    """Functions that run a plan's steps one after another.

    source  their text
    steps   (file, line) of each line of it -> the step to which it belongs
    """

    def __init__(self, signature: str, steps: Iterable[tuple[Step, Lines]], names: dict[str, Any], kind: str) -> None:
        self._chunks: list[Callable[..., None]] = []
        self.steps: dict[tuple[str, int], Step] = {}
        self.source = ""
        remaining = iter(steps)
        while chunk := list(islice(remaining, CHUNK)):
            file = f"<graphdl {kind} {len(self._chunks)}>"
            text = [f"def run({signature}):"]
            for step, lines in chunk:
                self.steps.update({(file, len(text) + k): step for k in range(1, len(lines) + 1)})
                text += ["    " + line for line in lines]
            source = "\n".join(text) + "\n"
            exec(compile(source, file, "exec"), names)
            self._chunks.append(names.pop("run"))
            self.source += source

    def __call__(self, *arguments: Any) -> None:
        """Run all steps."""
        for run in self._chunks:
            run(*arguments)

    def failed_step(self, error: BaseException) -> Step | None:
        """The step at which an error was raised; None if it was raised elsewhere."""
        trace = error.__traceback__
        while trace is not None:
            place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            if place in self.steps:
                return self.steps[place]
            trace = trace.tb_next
        return None


def forward_program(
    plan: Plan,
    *,
    keep_values: bool,
    keep_saved: bool,
    saving: Collection[int] | None = None,
    recompute: Recomputation | None = None,
) -> Program:
    """run(v, s, P, training, G): fill the values; without keep_values free each after its last use.

    Operators draw from the generator G.

    saving     the positions of the steps of which something is saved; None is all
    recompute  of its steps, what they drew and their buffers before are saved
    """
    names: dict[str, Any] = {f"f{k}": step.operator.forward for k, step in enumerate(plan.steps)}
    names |= {"no_pair": no_pair, "copies": copies}
    again, kept = (recompute.positions, recompute.inputs) if recompute else (frozenset[int](), frozenset[int]())
    reusable = {} if keep_values else _reusable(plan, kept)

    def lines(k: int, step: Step) -> Lines:
        reads = "".join(f"v[{i}], " for i in step.reads)
        keeps = keep_saved and k not in again and (saving is None or k in saving)
        before: Lines = []
        after: Lines = []
        drawn = "None"
        if step.draws:
            names[f"w{k}"] = step.operator.draw
            drawn = f"w{k}({reads}generator=G) if training else None"
        if k in again and (step.draws or step.moves):
            names[f"c{k}"] = tuple(step.operator.buffers())
            before, after = [f"c = copies(P[{k}], c{k})", f"d = {drawn}"], [f"s[{k}] = d, c", "d = c = None"]
            drawn = "d"
        drawn = f", drawn={drawn}" if step.draws else ""
        out = f", out=v[{reusable[k]}]" if k in reusable else ""
        saved = f"s[{k}]" if keeps else "_"
        mode = "False" if step.frozen else "training"
        call = [
            f"r = f{k}(P[{k}], {reads}training={mode}{drawn}{out})",
            f"v[{step.writes}], {saved} = r if r.__class__ is tuple and len(r) == 2 else no_pair(r)",
        ]
        frees = "".join(f"v[{i}] = " for i in step.frees if i not in kept) + ("" if keeps else "_ = ")
        return [*before, *call, *after, *([f"{frees}r = None"] if frees and not keep_values else [])]

    steps = ((step, lines(k, step)) for k, step in enumerate(plan.steps))
    return Program("v, s, P, training, G", steps, names, "forward")


def copies(p: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Some tensors of a node as they are now."""
    return {name: p[name].clone() for name in names}


def _backwards(
    plan: BackwardPlan,
    recompute: Recomputation | None,
    names: dict[str, Any],
    lines: Callable[[BackwardStep], Lines],
) -> Iterator[tuple[Step, Lines]]:
    """The backward steps, each after what is computed again before it."""
    reusable = _reusable(plan.forward, recompute.inputs) if recompute else {}
    for entry in plan.steps:
        for j, step in recompute.before.get(entry.position, ()) if recompute else ():
            yield step, _again(j, step, reusable.get(j), names)
        yield entry.step, lines(entry)


def _again(j: int, step: Step, over: int | None, names: dict[str, Any]) -> Lines:
    """Compute a step again, with what was drawn and the buffers of then; the input `over` may be written over."""
    names[f"f{j}"] = step.operator.forward
    p = f"{{**P[{j}], **s[{j}][1]}}" if step.moves else f"P[{j}]"
    reads = "".join(f"v[{i}], " for i in step.reads)
    drawn = f", drawn=s[{j}][0]" if step.draws else ""
    out = f", out=v[{over}]" if over in step.frees else ""
    return [
        f"r = f{j}({p}, {reads}training={not step.frozen}{drawn}{out})",
        f"v[{step.writes}], s[{j}] = r if r.__class__ is tuple and len(r) == 2 else no_pair(r)",
        f"{''.join(f'v[{i}] = ' for i in step.frees)}r = None",
    ]


def _reusable(plan: Plan, kept: Collection[int]) -> dict[int, int]:
    """Position of a step -> an input over which it may write its output: nobody else reads it or has saved it."""
    readers = Counter(i for step in plan.steps for i in step.reads)
    fresh = {step.writes for step in plan.steps if owns_output(type(step.operator))} - set(kept)
    return {
        k: i
        for k, step in enumerate(plan.steps)
        if _takes_out(type(step.operator))
        for i in reversed(step.reads)
        if i in fresh and i in step.frees and readers[i] == 1
    }


@cache
def _takes_out(operator: type[Operator]) -> bool:
    """Whether this operator's forward can write into given memory."""
    return "out" in inspect.signature(operator.forward).parameters


def backward_program(plan: BackwardPlan, *, keep: bool, recompute: Recomputation | None = None) -> Program:
    """run(g, s, P, d, own, v): send the gradients back; without keep free each, and what was saved for it, when used.

    own holds the indexes of gradients that are sums made here, which may be added to in place.
    """
    names: dict[str, Any] = {**NAMES, "total": total}
    arrived = set(plan.starts)
    first: dict[Key, int] = {}
    uses = Counter(owner for _, owner in plan.training)

    def lines(entry: BackwardStep) -> Lines:
        k, step = entry.position, entry.step
        names[f"b{k}"] = step.operator.backward
        needs = ""
        if entry.needs is not None:
            names[f"n{k}"], needs = dict.fromkeys(entry.needs), f", needs=n{k}"
        body = [
            AS_TUPLE.format(i=step.writes),
            f"r = b{k}(P[{k}], s[{k}], dy{needs})",
            f"dx, d[{k}] = r if r.__class__ is tuple and len(r) == 2 else no_pair(r)",
        ]
        if not keep:
            body.append(f"dy = r = g[{step.writes}] = s[{k}] = None")
        if uses[step.owner] > 1 and first.setdefault(step.owner, k) != k:
            body.append(f"total(d, {first[step.owner]}, {k})")
        body += _sends(entry, arrived)
        return [f"dy = g[{step.writes}]", "if dy is not None:", *("    " + line for line in body)]

    return Program("g, s, P, d, own, v", _backwards(plan, recompute, names, lines), names, "backward")


def training_program(
    plan: BackwardPlan, destinations: Mapping[int, Sequence[Destination]], recompute: Recomputation | None = None
) -> Program:
    """run(g, s, P, N, D, own, v): send the gradients back, and those of parameters to their destinations.

    N             the needs of each step
    destinations  position of a step -> where each of its parameters' gradients goes: written into the tensor D[j],
                  added to what another step wrote there, or given to the call D[j]; a last one may be the call D[j]
                  that moves what was written
    """
    names: dict[str, Any] = dict(NAMES)
    arrived = set(plan.starts)
    texts = {
        "write": "if dp[q{j}] is not D[{j}]: D[{j}].copy_(dp[q{j}])",
        "add": "D[{j}].add_(dp[q{j}])",
        "move": "D[{j}](dp[q{j}])",
    }

    def lines(entry: BackwardStep) -> Lines:
        k, step = entry.position, entry.step
        names[f"b{k}"] = step.operator.backward
        needs = "" if entry.needs is None else f", N[{k}]"
        body = [
            AS_TUPLE.format(i=step.writes),
            f"r = b{k}(P[{k}], s[{k}], dy{needs})",
            "dx, dp = r if r.__class__ is tuple and len(r) == 2 else no_pair(r)",
            f"dy = r = g[{step.writes}] = s[{k}] = None",
        ]
        absent: Lines = []
        after: Lines = []
        for name, j, use in destinations.get(k, ()):
            if use == "call":
                after.append(f"D[{j}]()")
                continue
            names[f"q{j}"] = name
            body.append(texts[use].format(j=j))
            absent += [f"    D[{j}].zero_()"] if use == "write" else []
        body += ["dp = None", *_sends(entry, arrived), "dx = None"]
        text = [f"dy = g[{step.writes}]", "if dy is not None:", *("    " + line for line in body)]
        return [*text, *(["else:", *absent] if absent else []), *after]

    return Program("g, s, P, N, D, own, v", _backwards(plan, recompute, names, lines), names, "training")


def _sends(entry: BackwardStep, arrived: set[int]) -> Lines:
    """Hand the gradients of a step's inputs on."""
    text = ["if isinstance(dx, Tensor): dx = (dx,)"] if entry.sends and len(entry.step.reads) == 1 else []
    for slot, i, factor in entry.sends:
        number = factor if type(factor) is int else float(factor)
        dx = f"dx[{slot}]" if factor == 1 else f"scale(dx[{slot}], {number!r})"
        text.append(f"add(g, {i}, {dx}, own)" if i in arrived else f"g[{i}] = {dx}")
        arrived.add(i)
    return text


def total(gradients: list[Any], into: int, of: int) -> None:
    """Add the parameters' gradients of one step to those of an earlier step that shares them."""
    held, more = gradients[into], gradients[of]
    gradients[into] = more if held is None else {name: held[name] + more[name] for name in held}
    gradients[of] = None


def scale(gradient: Any, factor: float) -> Any:
    """The gradient as an edge's policy lets it through."""
    if gradient is None:
        return None
    if isinstance(gradient, (tuple, TupleGradient)):
        return TupleGradient.of(gradient).scaled(factor)
    return gradient * factor


def add(gradients: list[Any], index: int, gradient: Any, own: set[int]) -> None:
    """Add a further consumer's gradient: in place only into a sum that was made here, never into another's tensor."""
    held = gradients[index]
    if gradient is None:
        return
    if held is None:
        gradients[index] = gradient
    elif isinstance(held, (tuple, TupleGradient)) and isinstance(gradient, (tuple, TupleGradient)):
        if isinstance(held, tuple):
            held = gradients[index] = TupleGradient.of(held)
        held.add(gradient)
    elif shape_of(held) != shape_of(gradient):
        raise ShapeError(f"it sent a gradient of the shape {shape_of(gradient)} where another has {shape_of(held)}")
    elif index in own:
        held.add_(gradient)
    else:
        gradients[index] = held + gradient
        own.add(index)


NAMES = {"Tensor": Tensor, "TupleGradient": TupleGradient, "add": add, "scale": scale, "no_pair": no_pair}
AS_TUPLE = "if dy.__class__ is TupleGradient: dy = g[{i}] = dy.as_tuple()"
