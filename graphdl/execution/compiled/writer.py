"""Writes a graph of torch functions as a C++ function that makes many training steps a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, TypeAlias

import torch
from torch.fx import Graph, Node

from graphdl.errors import CompileError
from graphdl.execution.compiled.elements import EXPRESSIONS, LOGIC, PREDICATES
from graphdl.execution.compiled.values import (
    FLAT,
    Buffer,
    Constant,
    Index,
    Lazy,
    Loop,
    Value,
    aligned,
    ctype,
    loop_head,
    strides_of,
)

aten = torch.ops.aten

Operation: TypeAlias = Callable[["Writer", Node, list[Any]], Any]
IVDEP = "#pragma GCC ivdep"
ORIGIN = "node of the network"
"""Where a graph's node notes which operator it comes from."""
IGNORED = {"dtype", "memory_format", "device", "layout", "pin_memory", "non_blocking", "alpha"}


def packet_of(node: Node) -> Any:
    """The function that a node calls, whatever the overload."""
    return getattr(node.target, "overloadpacket", node.target)


class Writer:
    """Lowers a graph, node after node, into statements on memory.

    operations  function -> how it is lowered, of those that do not go element by element
    last        the nodes that only the next state needs: computed in the last loops
    placed      node -> the part of a vector in which it is computed
    scratch     bytes that the matrix products need
    blas        the address of the BLAS product, if there is one
    """

    def __init__(self, graph: Graph, operations: dict[Any, Operation], carried: int) -> None:
        self.statements: list[str | Loop] = []
        self.fields: list[str] = []
        self.values: dict[Node, Any] = {}
        self.last: set[Node] = set()
        self.placed: dict[Node, Buffer] = {}
        self.scratch = self.blas = 0
        self._operations = operations
        (output,) = graph.find_nodes(op="output")
        self._find_last(graph, output, set(output.args[0][carried:]))
        for node in graph.find_nodes(op="call_function", target=aten.cat.default):
            self._place_parts(node)
        self.inputs = [self._argument(k, node) for k, node in enumerate(graph.find_nodes(op="placeholder"))]
        for node in graph.nodes:
            if node.op == "call_function":
                try:
                    self.values[node] = self._lower(node)
                except CompileError as error:
                    raise CompileError(f"{node.meta[ORIGIN]}: {error}" if ORIGIN in node.meta else str(error)) from None
            elif node.op == "get_attr":
                raise CompileError("a tensor that is neither an input nor a parameter")
        self.outputs: list[Value] = [self.value(each, None) for each in output.args[0]]

    def _find_last(self, graph: Graph, output: Node, results: set[Node]) -> None:
        for node in reversed(graph.nodes):
            late = all(user is output or user in self.last for user in node.users)
            if late and node.op == "call_function" and node not in results:
                self.last.add(node)

    def _place_parts(self, joined: Node) -> None:
        """Let the parts of a vector, the gradients, be computed where they belong."""
        if joined.meta["val"].dim() != 1:
            return
        memory = self.placed[joined] = self.new(joined.meta["val"].shape, joined.meta["val"].dtype)
        start = 0
        for part in joined.args[0]:  # type: ignore[union-attr]
            size = part.meta["val"].numel()  # type: ignore[union-attr]
            while packet_of(part) in (aten.view, aten._unsafe_view) and len(part.users) == 1:  # type: ignore
                part = part.args[0]  # type: ignore
            if part.op == "call_function" and len(part.users) == 1:  # type: ignore
                shape = tuple(part.meta["val"].shape)  # type: ignore
                self.placed[part] = Buffer(memory.name, shape, strides_of(shape), start, memory.dtype)  # type: ignore
            start += size

    def _argument(self, position: int, node: Node) -> Buffer:
        tensor = node.meta["val"]
        if not tensor.is_contiguous():
            raise CompileError("an input with gaps")
        shape = tuple(tensor.shape)
        ctype(tensor.dtype)
        buffer = self.values[node] = Buffer(f"in{position}", shape, strides_of(shape), 0, tensor.dtype)
        return buffer

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> Buffer:
        """Memory that nothing else uses, 0 before the first step."""
        name = f"b{len(self.fields)}"
        self.fields.append(f"alignas(64) {ctype(dtype)} {name}[{max(1, math.prod(shape))}];")
        return Buffer(f"m.{name}", tuple(shape), strides_of(shape), 0, dtype)

    def place(self, node: Node) -> Buffer:
        """Memory for a node's value."""
        tensor = node.meta["val"]
        return self.placed.get(node) or self.new(tensor.shape, tensor.dtype)

    def store(self, value: Value, into: Buffer) -> None:
        """Write every element of a value, in the loop before if it goes over as many."""
        if value.flat and into.flat:
            loop = self.statements[-1] if self.statements else None
            if not isinstance(loop, Loop) or not loop.takes(value, into):
                head = [loop_head("i", into.size)]
                loop = Loop([IVDEP, *head] if into.size > 1 else head, into.size)
                self.statements.append(loop)
            index: Index = FLAT
        else:
            index = tuple(f"i{axis}" for axis in range(len(into.shape)))
            loop = Loop([loop_head(i, n) for i, n in zip(index, into.shape, strict=True)])
            self.statements.append(loop)
        text = value.at(loop, aligned(index, value))
        loop.lines.append(f"{into.at(loop, index)} = {text};")
        loop.stored.append(into)

    def realize(self, value: Value) -> Buffer:
        """The value in memory."""
        if isinstance(value, Buffer):
            return value
        held = value.held if isinstance(value, Lazy) else None
        if held is None:
            held = self.new(value.shape, value.dtype)
            self.store(value, held)
        if isinstance(value, Lazy):
            value.held = held
        return held

    def close_gaps(self, value: Value) -> Value:
        """The value, its elements in their order if it is in memory."""
        held = value.held if isinstance(value, Lazy) else value
        if not isinstance(held, Buffer) or held.flat:
            return value
        copy = self.new(held.shape, held.dtype)
        self.store(held, copy)
        return copy

    def settle(self, node: Node, value: Lazy) -> Value:
        """What several read is written into memory."""
        return self.realize(value) if len(node.users) > 1 and node not in self.last else value

    def value(self, argument: Any, dtype: torch.dtype | None) -> Any:
        """An argument of a call: a value, a number as one, or something else as it is."""
        if isinstance(argument, Node):
            return self.values[argument]
        if isinstance(argument, (list, tuple)) and argument and isinstance(argument[0], Node):
            return [self.values[each] for each in argument]
        if isinstance(argument, (bool, int, float)) and dtype is not None:
            return Constant((), dtype, argument)
        return argument

    def _lower(self, node: Node) -> Any:
        packet = packet_of(node)
        if packet in self._operations:
            return self._operations[packet](self, node, [self.value(each, None) for each in node.args])
        logical = node.meta["val"].dtype == torch.bool if not isinstance(node.meta["val"], (tuple, list)) else False
        if packet in EXPRESSIONS:
            return self.pointwise(node, EXPRESSIONS[packet], node.meta["val"].dtype)
        if packet in PREDICATES or (logical and packet in LOGIC):
            types = [each.meta["val"] for each in node.args if isinstance(each, Node)]
            others = [each for each in node.args if isinstance(each, (bool, int, float))]
            compared = torch.result_type(types[0], (types + others)[1]) if len(node.args) > 1 else types[0].dtype
            return self.pointwise(node, (PREDICATES | LOGIC)[packet], compared)
        raise CompileError(f"{node.target} has no form in C++ here")

    def pointwise(self, node: Node, expression: Callable[..., str], dtype: torch.dtype) -> Value:
        """Element by element; the arguments are computed with in this type."""
        if node.kwargs.keys() - IGNORED:
            raise CompileError(f"{node.target} with {', '.join(node.kwargs)} has no form in C++ here")
        val, packet = node.meta["val"], packet_of(node)
        result, shape = ctype(val.dtype), tuple(val.shape)
        given = [self.value(each, dtype) for each in node.args]
        factor: Any = node.kwargs.get("alpha", 1)
        reads = [
            self.realize(each) if isinstance(each, Lazy) and each.size < math.prod(shape) else each for each in given
        ]

        def element(loop: Loop, index: Index) -> str:
            texts = []
            for position, each in enumerate(reads):
                text = each.at(loop, aligned(index, each)) if isinstance(each, (Buffer, Constant, Lazy)) else each
                chooses = packet is aten.where and position == 0
                if text is not None and not chooses and each.dtype != dtype:
                    text = f"({ctype(dtype)}){text}"
                texts.append(
                    f"{text} * {Constant((), dtype, factor).at(loop, FLAT)}" if position and factor != 1 else text
                )
            return expression(result, *texts)

        values = [each for each in reads if isinstance(each, (Buffer, Constant, Lazy))]
        return self.settle(node, Lazy(shape, val.dtype, values, element, pointwise=True))

    def finish(self, carried: int, advancing: int) -> str:
        """The whole text. The first `carried` inputs are state; the last `advancing` move on with every step.

        The outputs: the next state, then what each step returns, first the number that must be finite.
        """
        self.outputs = [self.close_gaps(value) for value in self.outputs]
        results = [self.realize(value) for value in self.outputs[carried:]]
        loops = self._next_state(carried)
        self.results = [(result.shape, result.dtype) for result in results]
        copies = [
            f"memcpy({old.name}, {new.pointer}, {new.size} * sizeof *{old.name});"
            for old, new in zip(self.inputs, self.outputs[:carried], strict=False)
            if isinstance(new, Buffer) and new.name != old.name
        ]
        names = [f"out{k}" for k in range(len(results))]
        body = [each.text if isinstance(each, Loop) else each for each in self.statements]
        body += [f"if (!std::isfinite({results[0].at(Loop([]), FLAT)})) return step;", *loops]
        body += [
            f"memcpy({name} + step * {result.size}, {result.pointer}, {result.size} * sizeof *{name});"
            for name, result in zip(names, results, strict=True)
        ]
        body += copies
        moving = self.inputs[len(self.inputs) - advancing :]
        body += [f"{each.name} += {each.size};" for each in moving]
        pointers = [
            *((each.name, each.dtype) for each in self.inputs),
            *zip(names, (r.dtype for r in results), strict=True),
        ]
        return self._text(pointers, body)

    def _text(self, pointers: Sequence[tuple[str, torch.dtype]], body: Sequence[str]) -> str:
        """The functions of the library around what one step does."""
        return "\n".join(
            [
                files("graphdl.execution.compiled").joinpath("step.h").read_text(),
                "struct Memory {",
                *self.fields,
                f"alignas(64) char scratch[{self.scratch + 64}];",
                "};",
                'extern "C" int64_t memory_size() { return sizeof(Memory); }',
                'extern "C" int64_t make_steps(void** p, int64_t count) {',
                *(f"{ctype(t)}* __restrict {name} = ({ctype(t)}*)p[{k}];" for k, (name, t) in enumerate(pointers)),
                f"Memory& m = *(Memory*)p[{len(pointers)}];",
                f"void* const gemm_of_blas = p[{len(pointers) + 1}];",
                "(void)gemm_of_blas;",
                "Flushing flushing;",
                "for (int64_t step = 0; step < count; step++) {",
                *body,
                "}",
                "return count;",
                "}",
                "",
            ]
        )

    def _next_state(self, carried: int) -> list[str]:
        """The loops that write the next state over the old one, after everything else has read it."""
        loops: dict[int, Loop] = {}
        stores: list[tuple[int, str]] = []
        waiting = []
        for k in range(carried):
            new, old = self.outputs[k], self.inputs[k]
            if isinstance(new, Lazy) and new.held is None and new.flat:
                waiting.append(k)
                head = loop_head("i", old.size)
                loop = loops.setdefault(old.size, Loop([IVDEP, head] if old.size > 1 else [head], old.size))
                stores.append((old.size, f"{old.at(loop, FLAT)} = {new.at(loop, FLAT)};"))
            else:
                self.outputs[k] = self.realize(new)
        order = list(loops)
        for count, line in stores:
            later = order[order.index(count) + 1 :]
            written = line.partition("[")[0] + "["
            if any(
                written in each for other in later for each in loops[other].lines + loops[other].before
            ):  # it is needed as it was
                for k in waiting:
                    self.outputs[k] = self.realize(self.outputs[k])
                return []
        for count, line in stores:
            loops[count].lines.append(line)
        return [loop.text for loop in loops.values()]
