"""Compiled training steps, which Network.compile returns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphdl.bundles import Bundle
from graphdl.errors import CompileError, MissingInputError, NonFiniteError, ShapeError, UnknownNodeError, did_you_mean
from graphdl.execution.chance import Outlines
from graphdl.execution.compiled import CompiledPasses, completed
from graphdl.execution.engine import Engine
from graphdl.execution.placed import Batch, PlacedStep
from graphdl.execution.training_passes import TrainingPasses
from graphdl.graph import Key


class CompiledSteps(CompiledPasses):
    """Training steps of a network, compiled for batches of one shape; many are made by one call.

        steps = net.compile(Adam(lr=1e-3), {"x": x[:50], "target": y[:50]})
        losses = steps({"x": x.view(-1, 50, 2), "target": y.view(-1, 50, 2)})

    inputs {name: (K, n, ...)} -> losses (K,), each before its update, in double precision. The network's parameters
    and buffers change in place. A loss that is not finite raises NonFiniteError before its step changes anything.

    The step is recorded twice while the operators make it, and C++ is written from the recording. The first step on a
    batch is made by the operators too: only if both agree are compiled steps used. Raises CompileError otherwise.
    """

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: (K, {', '.join(map(str, shape))})" for name, (shape, _) in self.shapes.items())
        return f"CompiledSteps({shapes})"

    def __call__(self, inputs: Batch) -> Tensor:
        """Make a step on each batch; return the losses."""
        with self._engine.turn.taken("compiled steps"):
            return self._losses(self._checked(inputs))

    def _losses(self, given: Batch) -> Tensor:
        losses, made, count = [], 0, len(next(iter(given.values())))
        while made < count:
            done, found = completed(self.call(Bundle(given).part(made, count)))
            if not done:
                raise NonFiniteError(
                    f"Step {made + 1} of {count} cannot be made: its loss is not finite, or an index is out of range. "
                    "Parameters are as they were before that step; net.forward on its batch shows where."
                )
            losses.append(found[0].clone())
            made += done
        return torch.cat(losses) if losses else torch.empty(0, dtype=torch.float64)

    def _checked(self, inputs: Batch) -> dict[Key, Tensor]:
        """The batches, stacked, by name; what does not fit is refused."""
        for name in inputs.keys() - self.shapes.keys():
            raise UnknownNodeError(f"The steps take no input {name!r}.{did_you_mean(name, self.shapes)}")
        given = {}
        for name, (shape, dtype) in self.shapes.items():
            if name not in inputs:
                raise MissingInputError(f"The steps need the input {name!r}.")
            given[name] = torch.as_tensor(inputs[name]).to("cpu", dtype).contiguous()
            if given[name].shape[1:] != shape:
                raise ShapeError(
                    f"{name} has the shape {tuple(given[name].shape)}, and the steps were compiled for batches of "
                    f"{tuple(shape)}: give (K, {', '.join(map(str, shape))})."
                )
        if len({len(tensor) for tensor in given.values()}) > 1:
            raise ShapeError("The inputs hold different numbers of batches along their first axis.")
        return given


def compile_steps(engine: Engine, stepper: Any, batch: Batch) -> CompiledSteps:
    """Compile steps on such batches, by an optimizer that is bound to the network."""

    def place(outlines: Outlines | None) -> PlacedStep:
        plan = engine.backward_plan(engine.plan(engine.losses), engine.losses)
        if not plan.owners:
            raise CompileError("no parameter that is not frozen reaches a loss")
        moves = stepper.moves(plan.owners, together=plan.owners)
        if not plan.forward.inputs:
            raise CompileError("the losses need no input, so there are no batches to count")
        return PlacedStep(engine, TrainingPasses(plan, engine.store.by_node, engine.chance, moves), moves, batch)

    return CompiledSteps(engine, place, [batch])
