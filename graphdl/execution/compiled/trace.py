"""A training step, from forward to update, as a graph of torch functions without side effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.fx import Graph

from graphdl.errors import CompileError, GraphDLError
from graphdl.execution.compiled.chance import Outlines, draws_of
from graphdl.execution.compiled.decompositions import decompositions
from graphdl.execution.compiled.writer import ORIGIN
from graphdl.execution.engine import Engine
from graphdl.execution.executor import Trace, run_backward
from graphdl.execution.parameters import Extent
from graphdl.execution.plan import BackwardPlan, Plan
from graphdl.graph import Key

Rule: TypeAlias = Callable[[Tensor, Tensor, tuple[Tensor, ...], Tensor], tuple[Tensor, tuple[Tensor, ...]]]


@dataclass(frozen=True)
class Layout:
    """What a step is given and returns, as flat lists.

    plan, backward  the passes
    runs      the parameters that train, those that lie side by side together
    fixed     the other parameters that the step reads
    buffers   (node, name) of what forward changes
    names     the inputs of a batch
    """

    plan: Plan
    backward: BackwardPlan
    runs: list[list[Extent]]
    fixed: list[Extent]
    buffers: list[tuple[Key, str]]
    names: list[Key]

    @classmethod
    def of(cls, engine: Engine, targets: tuple[Key, ...]) -> Layout:
        """The layout for a network as it is, which computes these targets."""
        plan = engine.plan(targets)
        backward, store = engine.backward_plan(plan, engine.losses), engine.store
        if not backward.owners:
            raise CompileError("no parameter that is not frozen reaches a loss")
        used = set(plan.owners)
        fixed = [extent for extent in store.extents if extent.node in used - set(backward.owners)]
        parameters = {(extent.node, extent.name) for extent in store.extents}
        held = [(node, name) for node in store.by_node for name in store.by_node[node] if node in used]
        buffers = [place for place in held if place not in parameters]
        return cls(plan, backward, store.runs(backward.owners), fixed, buffers, list(plan.inputs))

    def state(self, engine: Engine, vectors: Sequence[Tensor], count: Tensor) -> list[Tensor]:
        """The tensors that a step replaces: parameters, the optimizer's vectors, buffers and the count of steps."""
        parts = [slice(run[0].start, run[-1].stop) for run in self.runs]
        flat = [vector[part] for vector in (engine.store.flat, *vectors) for part in parts]
        return [*flat, *(engine.store.by_node[node][name] for node, name in self.buffers), count]

    def constants(self, engine: Engine) -> list[Tensor]:
        """The tensors that it only reads."""
        return [engine.store.by_node[extent.node][extent.name] for extent in self.fixed]

    def outlines(self, engine: Engine, batch: Mapping[Key, Tensor]) -> Outlines:
        """Index -> (shape, type) of every value of a pass on such a batch, if the pass draws at all."""
        if not draws_of(self.plan):
            return {}
        held = engine.store.by_node.items()
        parameters = {node: {name: tensor.to("meta") for name, tensor in tensors.items()} for node, tensors in held}
        values = forward(self.plan, parameters, {name: tensor.to("meta") for name, tensor in batch.items()}, {}).values
        return {i: (v.shape, v.dtype) for i, v in enumerate(values) if isinstance(v, Tensor)}


def pure_step(
    engine: Engine, layout: Layout, rule: Rule, vectors: int, draws: Sequence[int]
) -> Callable[..., list[Tensor]]:
    """(state, constants, inputs, what was drawn) -> next state, the total loss, and the value of every target.

    The total is the sum of the losses, each times its weight, in double precision.
    """
    runs, plan = layout.runs, layout.plan

    def step(*given: Tensor) -> list[Tensor]:
        tensors = iter(given)
        w = [next(tensors) for _ in runs]
        states = [[next(tensors) for _ in runs] for _ in range(vectors)]
        buffers = [next(tensors).clone() for _ in layout.buffers]
        count = next(tensors) + 1
        by_node: dict[Key, dict[str, Tensor]] = {node: {} for node in engine.store.by_node}
        for run, part in zip(runs, w, strict=True):
            for extent in run:
                by_node[extent.node][extent.name] = extent.view(part, run[0].start)
        for extent in layout.fixed:
            by_node[extent.node][extent.name] = next(tensors)
        for (node, name), buffer in zip(layout.buffers, buffers, strict=True):
            by_node[node][name] = buffer
        inputs = {name: next(tensors) for name in layout.names}
        trace = forward(plan, by_node, inputs, dict(zip(draws, tensors, strict=True)))
        targets = [trace.values[plan.index[key]] for key in plan.targets]
        losses = [(engine.loss(key).weight, trace.values[plan.index[key]]) for key in engine.losses]
        total = sum(weight * loss.sum().to(torch.float64) for weight, loss in losses)
        starts = {plan.index[k]: torch.full_like(loss, w) for k, (w, loss) in zip(engine.losses, losses, strict=True)}
        found = run_backward(layout.backward, by_node, trace, starts).parameters
        if found.keys() != set(layout.backward.owners):
            raise CompileError("an operator passes no gradient on")
        news = [
            rule(part, gradient(run, found), tuple(state[k] for state in states), count)
            for k, (run, part) in enumerate(zip(runs, w, strict=True))
        ]
        moved = [state[k] for k in range(vectors) for _, state in news]
        return [*(new for new, _ in news), *moved, *buffers, count, total, *targets]

    return step


def forward(
    plan: Plan, parameters: Mapping[Key, dict[str, Tensor]], inputs: Mapping[Key, Tensor], drawn: Mapping[int, Tensor]
) -> Trace:
    """A forward pass on which numbers are drawn beforehand. CompileError names the node that cannot be traced."""
    values: list[Any] = [None] * plan.size
    saved: list[Any] = [None] * len(plan.steps)
    for name, i in plan.inputs.items():
        values[i] = inputs[name]
    for k, step in enumerate(plan.steps):
        chance = {"drawn": drawn[k]} if k in drawn else {}
        name = f"{step.key} ({type(step.operator).__name__})"
        try:
            reads = [values[i] for i in step.reads]
            values[step.writes], saved[k] = step.operator.forward(
                parameters[step.owner], *reads, training=not step.frozen, **chance
            )
        except Exception as error:
            raise CompileError(f"{name} does more than call torch functions: {first_line(error)}") from error
        mark(name)
    return Trace(values, saved)


def mark(origin: str) -> None:
    """Note at the graph's new nodes, if one is being made, where they come from."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    mode = get_proxy_mode()
    for node in reversed(mode.tracer.graph.nodes) if mode is not None else ():
        if ORIGIN in node.meta:
            break
        node.meta[ORIGIN] = origin


def gradient(run: Sequence[Extent], found: Mapping[Key, Mapping[str, Tensor]]) -> Tensor:
    """The gradients of parameters that lie side by side, as a vector with the gaps."""
    parts: list[Tensor] = []
    end = run[0].start
    for extent in run:
        part = found[extent.node][extent.name]
        if part.shape != extent.shape:
            raise CompileError(f"the gradient of {extent.full_name} has another shape than the parameter")
        if extent.start > end:
            parts.append(part.new_zeros(extent.start - end))
        parts.append(part.reshape(-1))
        end = extent.stop
    return torch.cat(parts)


def first_line(error: BaseException) -> str:
    """The beginning of an error's text."""
    if "data-dependent" in str(error):
        return "it reads a number of a tensor in Python"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@torch.inference_mode(False)
@torch.no_grad()
def trace(step: Callable[..., list[Tensor]], given: Sequence[Tensor]) -> Graph:
    """The graph of a step on tensors laid out as these. CompileError if it cannot be traced."""
    from torch.fx.experimental.proxy_tensor import make_fx

    examples = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in given]
    pure = torch.func.functionalize(step, remove="mutations")
    try:
        module = make_fx(pure, decomposition_table=decompositions(), tracing_mode="fake")(*examples)
    except CompileError:
        raise
    except GraphDLError as error:
        raise CompileError(first_line(error)) from error
    except Exception as error:
        raise CompileError(f"it cannot be traced: {first_line(error)}") from error
    module.graph.eliminate_dead_code()
    return module.graph
