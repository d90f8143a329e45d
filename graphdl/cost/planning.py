"""From a network's engine and the shapes of its inputs to what a training step costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.arguments import gather_inputs, meta_inputs
from graphdl.cost.figures import Cost, NodeCost
from graphdl.cost.nests import bytes_of
from graphdl.cost.rehearsal import Rehearsal, Rule
from graphdl.errors import MissingInputError, SettingError
from graphdl.execution.engine import Engine
from graphdl.execution.inference import infer_shapes, require_complete
from graphdl.execution.plan import BackwardPlan, make_backward_plan, make_plan
from graphdl.execution.recompute import Recomputation, make_recomputation
from graphdl.graph import Key, check_recompute, input_kinds
from graphdl.operators import Operator
from graphdl.operators.tuples import shape_of
from graphdl.parameters import ParameterStore


def plan_cost(engine: Engine, given: Mapping[Key, Any], optimizer: Rule | None, recompute: Collection[Key]) -> Cost:
    """What a training step costs for inputs given by shape or by tensors; nothing is allocated or changed."""
    if optimizer is not None and (isinstance(optimizer, type) or not hasattr(optimizer, "bind")):
        raise SettingError(f"cost: optimizer is an Optimizer such as Adam(lr=1e-3), or None, not {optimizer!r}.")
    if not engine.losses:
        raise MissingInputError(
            "cost plans a training step, and the network has no loss node: add one, such as MSELoss()."
        )
    again = check_recompute(engine.graph, engine.losses, recompute)
    inputs, values, operators = _infer(engine, given)
    plan = _plan(engine, operators)

    def rehearse(recompute: Recomputation | None) -> Rehearsal:
        store = ParameterStore.hollow(operators, engine.dtype)
        used = {name: inputs[name] for name in plan.forward.inputs}
        starts = {plan.forward.index[key]: torch.empty_like(values[key]) for key in engine.losses}
        return Rehearsal(plan, store, used, starts, optimizer, recompute, engine.device)

    rehearsal = rehearse(make_recomputation(plan, again))
    return Cost(
        nodes=_nodes(engine, rehearsal, values),
        inputs=bytes_of(rehearsal.inputs),
        buffers=bytes_of(rehearsal.store.buffers),
        held=rehearsal.held,
        peak=rehearsal.peak,
        peak_without=rehearse(None).peak if rehearsal.recompute else rehearsal.peak,
        replayed=rehearsal.replayed,
    )


def _nodes(engine: Engine, rehearsal: Rehearsal, values: Mapping[Key, Any]) -> dict[Key, NodeCost]:
    """The figures of each node."""
    plan, store, recompute = rehearsal.plan, rehearsal.store, rehearsal.recompute
    numbers = dict.fromkeys(engine.order, 0)
    for extent in store.extents:
        numbers[extent.node] += extent.shape.numel()
    size, state = store.flat.itemsize, rehearsal.state_itemsize
    positions = {step.key: k for k, step in enumerate(plan.forward.steps)}
    forward, backward = rehearsal.flops
    return {
        key: NodeCost(
            forward_flops=forward[key],
            backward_flops=backward[key],
            parameters=numbers[key] * size,
            gradients=numbers[key] * size if key in plan.owners else 0,
            states=numbers[key] * state,
            value=bytes_of(values.get(key)),
            saved=rehearsal.saved[positions[key]] if key in positions else 0,
            recomputed=recompute is not None and positions.get(key) in recompute.positions,
        )
        for key in engine.order
        if engine.graph.nodes[key]["operator"] is not None
    }


def _infer(engine: Engine, given: Mapping[Key, Any]) -> tuple[dict[Key, Tensor], dict[Key, Any], dict[Key, Operator]]:
    """Meta inputs, meta values by node, and the operators with their sizes."""
    known = meta_inputs(given, engine.inputs, engine.dtype, kinds=input_kinds(engine.graph))
    needed = engine.plan(engine.losses).inputs
    gather_inputs(known, needed, engine.inputs, engine.operators, torch.device("meta"), engine.dtype)
    first: dict[int, Key] = {}
    for name, value in given.items():  # one tensor for two inputs takes memory once
        known[name] = known[first.setdefault(id(value), name)] if isinstance(value, Tensor) else known[name]
    values, operators = infer_shapes(engine.full_plan, known, engine.dtype)
    shapes = {key: shape_of(value) for key, value in {**values, **known}.items()}
    kinds = input_kinds(engine.graph, shapes)
    floats = [name for name, value in known.items() if not value.is_floating_point() and name not in kinds]
    if retyped := [name for name in floats if not isinstance(given[name], Tensor)]:  # probabilities, not indices
        known |= {name: known[name].to(engine.dtype) for name in retyped}
        values, operators = infer_shapes(engine.full_plan, known, engine.dtype)
    require_complete(operators, [name for name in engine.inputs if name not in known])
    return known, values, operators


def _plan(engine: Engine, operators: Mapping[Key, Operator]) -> BackwardPlan:
    """The plan of a training step, with operators of known sizes."""
    plan = make_plan(engine.graph, engine.order, operators, engine.losses, engine.frozen)
    trainable = {
        key: frozenset(operator.parameters()) for key, operator in operators.items() if key not in engine.frozen
    }
    return make_backward_plan(plan, engine.losses, trainable, ())
