"""A compiled training step, bound to the tensors of a network."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from graphdl.errors import (
    CompileError,
    MissingInputError,
    NonFiniteError,
    ShapeError,
    UnknownNodeError,
    did_you_mean,
)
from graphdl.execution.compiled.build import build, find_compiler
from graphdl.execution.compiled.chance import Chance
from graphdl.execution.compiled.operations import OPERATIONS
from graphdl.execution.compiled.trace import Layout, pure_step, trace
from graphdl.execution.compiled.writer import Writer
from graphdl.execution.derived import calls_torch_only
from graphdl.execution.engine import Engine
from graphdl.graph import Key

Layouts: TypeAlias = dict[Key, tuple[torch.Size, torch.dtype]]


class BoundOptimizer(Protocol):
    """An optimizer at work on a network, as a compiled step needs it.

    optimizer  its settings; their `formula` is the update rule, or None if it has none
    """

    optimizer: Any

    def memory(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """The vectors that it keeps, and the count of steps."""
        ...


@dataclass(frozen=True)
class Program:
    """A compiled function.

    source  its text; results  the shape and type of each thing that a step returns, the total loss first
    """

    function: Callable[..., int]
    memory: int
    source: str
    results: list[tuple[tuple[int, ...], torch.dtype]]
    blas: int


class CompiledSteps:
    """Training steps of a network, compiled for batches of one shape; many are made by one call.

        steps = net.compile(Adam(lr=1e-3), {"x": x[:50], "target": y[:50]})
        losses = steps({"x": x.view(-1, 50, 2), "target": y.view(-1, 50, 2)})

    inputs {name: (K, n, ...)} -> losses (K,), each before its update, in double precision. The network's parameters
    and buffers change in place. A loss that is not finite raises NonFiniteError before its step changes anything.

    targets  the nodes whose values `run` returns too
    shapes   name -> shape and type of a batch
    version  the version of the engine that it is bound to
    """

    def __init__(self, engine: Engine, optimizer: BoundOptimizer, targets: tuple[Key, ...], shapes: Layouts) -> None:
        self._engine, self._optimizer, self.targets, self.shapes = engine, optimizer, targets, shapes
        self._bind()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: (K, {', '.join(map(str, shape))})" for name, (shape, _) in self.shapes.items())
        return f"CompiledSteps({shapes}; {self._optimizer.optimizer})"

    @property
    def source(self) -> str:
        """The C++ text."""
        return self._program.source

    @torch.inference_mode(False)
    @torch.no_grad()
    def _bind(self) -> None:
        engine = self._engine
        if engine.device.type != "cpu":
            raise CompileError(f"the network is on {engine.device}, and compiled steps run on the CPU")
        if any(dtype.is_floating_point and dtype != engine.dtype for _, dtype in self.shapes.values()):
            raise CompileError(
                f"it was compiled for batches of other numbers, and the network computes in {engine.dtype}"
            )
        layout = Layout.of(engine, self.targets)
        check_recordable(layout)
        vectors, count = self._optimizer.memory()
        state, constants = layout.state(engine, vectors, count), layout.constants(engine)
        batch = {name: torch.empty(shape, dtype=dtype, device="cpu") for name, (shape, dtype) in self.shapes.items()}
        self._chance = Chance(layout.plan, layout.outlines(engine, batch), engine.chance)
        given = [*state, *constants, *batch.values(), *self._chance.examples]
        draws = self._chance.positions

        def program() -> Program:
            step = pure_step(engine, layout, self._optimizer.optimizer.formula, len(vectors), draws)
            return compile_step(step, given, len(state), len(batch) + len(draws))

        self._program = _kept(engine, layout, self._optimizer.optimizer, self.shapes, program)
        self._workspace = torch.zeros(self._program.memory + 64, dtype=torch.uint8, device="cpu")
        start = -self._workspace.data_ptr() % 64 + self._workspace.data_ptr()
        self._held = state, constants
        self._before = [tensor.data_ptr() for tensor in (*state, *constants)]
        self._after = [start, self._program.blas]
        self.version = engine.version

    @torch.no_grad()
    def run(self, inputs: Mapping[Key, Tensor]) -> tuple[int, list[Tensor]]:
        """Make the steps; return how many were made, and the total losses and the values of the targets (K, ...).

        It stops before a step whose total loss is not finite, or whose class indices are out of range.
        """
        if self.version != self._engine.version:
            self._bind()
        given = [inputs[name].contiguous() for name in self.shapes]
        count, size = len(given[0]), self._chance.steps_at_once
        if not self._chance.positions or count <= size:
            return self._run(given)
        made, parts = 0, list[list[Tensor]]()
        while made < count:
            done, found = self._run([tensor[made : made + size] for tensor in given])
            parts.append(found)
            made += done
            if done < len(found[0]):
                break
        values = [torch.cat(each) for each in zip(*parts, strict=True)]
        rest = count - len(values[0])
        return made, [torch.cat([each, each.new_zeros(rest, *each.shape[1:])]) for each in values]

    def _run(self, given: list[Tensor]) -> tuple[int, list[Tensor]]:
        count = len(given[0])
        given = given + self._chance.draw(count)
        found = [torch.empty((count, *shape), dtype=dtype, device="cpu") for shape, dtype in self._program.results]
        pointers = [*self._before, *(t.data_ptr() for t in given), *(t.data_ptr() for t in found), *self._after]
        done = self._program.function((ctypes.c_void_p * len(pointers))(*pointers), count)
        if done < count:
            self._chance.rewind(done)
        return done, found

    def __call__(self, inputs: Mapping[Key, Tensor]) -> Tensor:
        """Make a step on each batch; return the losses."""
        for name in inputs.keys() - self.shapes.keys():
            raise UnknownNodeError(f"The steps take no input {name!r}.{did_you_mean(name, self.shapes)}")
        given = {}
        for name, (shape, dtype) in self.shapes.items():
            if name not in inputs:
                raise MissingInputError(f"The steps need the input {name!r}.")
            given[name] = torch.as_tensor(inputs[name]).to("cpu", dtype)
            if given[name].shape[1:] != shape:
                raise ShapeError(
                    f"{name} has the shape {tuple(given[name].shape)}, and the steps were compiled for batches of "
                    f"{tuple(shape)}: give (K, {', '.join(map(str, shape))})."
                )
        if len({len(tensor) for tensor in given.values()}) > 1:
            raise ShapeError("The inputs hold different numbers of batches along their first axis.")
        done, (losses, *_) = self.run(given)
        if done < len(losses):
            raise NonFiniteError(
                f"The loss of step {done + 1} of {len(losses)} is not finite, or a class index is out of range. "
                "Parameters are as they were before that step; net.forward on its batch shows where."
            )
        return losses


def check_recordable(layout: Layout) -> None:
    """Refuse operators of which nobody says that every step makes the same calls."""
    for step in layout.plan.steps:
        if not calls_torch_only(type(step.operator)):
            raise CompileError(
                f"{step.key} ({type(step.operator).__name__}) is not recordable: its calls may differ from step to "
                "step; say recordable = True in its class if they never do"
            )


def _kept(engine: Engine, layout: Layout, optimizer: Any, shapes: Layouts, program: Callable[[], Program]) -> Program:
    """The program for these shapes and this optimizer, made once and kept with the plan of the network."""
    if optimizer.formula is None:
        raise CompileError(
            f"{type(optimizer).__name__} has no `rule` that says what its `update` does, see graphdl.optim.Optimizer"
        )
    kept: dict[Any, Any] = layout.backward.programs
    key = "compiled", optimizer, engine.dtype, tuple(shapes.items())
    try:
        found = kept.get(key)
    except TypeError:
        raise CompileError(f"the settings of {type(optimizer).__name__} cannot be told from others: no hash") from None
    if found is None:
        found = kept[key] = program()
    return found


def compile_step(step: Callable[..., list[Tensor]], given: list[Tensor], carried: int, advancing: int) -> Program:
    """Trace a step, write it in C++ and build it."""
    find_compiler()
    writer = Writer(trace(step, given), OPERATIONS, carried)
    source = writer.finish(carried, advancing)
    library = build(source)
    function = library.make_steps
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64], ctypes.c_int64
    library.memory_size.restype = ctypes.c_int64
    return Program(function, library.memory_size(), source, writer.results, writer.blas)
