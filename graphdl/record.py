"""What a network records: the values of its last forward pass, and the gradients of the backward pass through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphdl.arguments import to_tensor
from graphdl.errors import MissingInputError, SettingError, ShapeError, UnknownNodeError, did_you_mean, listing
from graphdl.execution.engine import Engine
from graphdl.execution.passes import Backward, Forward, Trace, run_backward, run_forward
from graphdl.execution.training_passes import ParameterGradients
from graphdl.graph import Key, output_of
from graphdl.operators.tuples import fits, shape_of

if TYPE_CHECKING:
    from graphdl.graph.build import Graph


class Recorded(dict[Any, Any]):
    """What a pass recorded, by name; a block means its output. A name with nothing recorded is explained."""

    graph: Graph | None = None

    def __missing__(self, name: object) -> Any:
        if self.graph is not None and (node := output_of(self.graph, name, "The recorded values")) in self:
            return self[node]
        held = f"Recorded are {listing(map(repr, self))}." if self else "Call forward, and backward, first."
        raise UnknownNodeError(f"No value was recorded for {name!r}.{did_you_mean(name, self)} {held}")


class Record:
    """The last passes of a network.

    gradients  "node.name" -> the gradient of a parameter
    reached    the nodes whose parameters the last backward pass reached
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trace: Trace | None = None
        self._value_gradients: list[Any] | None = None
        self.gradients: dict[str, Tensor] = Recorded()
        self.reached: frozenset[Key] = frozenset()

    @property
    def values(self) -> dict[Key, Any]:
        """Node -> its value."""
        return self._by_node(None if self._trace is None else self._trace.values)

    @property
    def value_gradients(self) -> dict[Key, Any]:
        """Node -> the gradient of its value."""
        return self._by_node(self._value_gradients)

    def _by_node(self, values: list[Any] | None) -> dict[Key, Any]:
        if values is None:
            return Recorded()
        index = self._engine.full_plan.index
        found = {key: values[index[key]] for key in self._engine.order}
        recorded = Recorded((key, value) for key, value in found.items() if value is not None)
        recorded.graph = self._engine.graph
        return recorded

    def forward(self, inputs: object, training: bool) -> dict[Key, Any]:
        """Compute and record every value; return those of the network's outputs."""
        if not isinstance(training, bool):
            raise SettingError(
                "forward takes {name: tensor}, or a tensor if there is one input, and training=True or False."
            )
        self._engine.turn.begin("net.forward", training)
        self._trace = self._value_gradients = None
        engine = self._engine
        plan, given = engine.prepare(inputs, engine.outputs)
        with torch.no_grad():
            how = Forward(training, keep_values=True, generator=engine.chance)
            self._trace = run_forward(plan, engine.store.by_node, given, how)
        engine.remember(given)
        return {key: self._trace.values[plan.index[key]] for key in engine.outputs}

    def backward(self, gradients: Mapping[Key, Any] | None) -> dict[Key, Tensor]:
        """Send gradients back, from the losses or from given nodes; return those of the floating-point inputs."""
        if self._trace is None:
            raise MissingInputError(
                "backward has no values to start from: call net.forward(inputs) first; net.predict records nothing."
            )
        engine, values = self._engine, self._trace.values
        engine.turn.go_on("net.backward")
        engine.turn.backward += 1
        plan = engine.full_plan
        if gradients is None:
            starts, keys = engine.loss_starts(plan, values), engine.losses
        else:
            starts = self._starts(values, gradients)
            keys = tuple(dict.fromkeys(output_of(engine.graph, name, "backward") for name in gradients))
        wanted = [name for name, i in plan.inputs.items() if values[i].is_floating_point()]
        backward_plan = engine.backward_plan(plan, keys, wanted)
        with torch.no_grad():
            gathered = ParameterGradients(backward_plan, engine.store.by_node)
            how = Backward(gathered, keep=True)
            found = run_backward(backward_plan, engine.store.by_node, self._trace, starts, how)
        self._value_gradients = found
        self.reached = frozenset(gathered.by_node)
        self.gradients = Recorded((extent.full_name, gathered.of(extent)) for extent in engine.trainable)
        sent = {name: found[plan.inputs[name]] for name in wanted}
        return {name: gradient for name, gradient in sent.items() if gradient is not None}

    def _starts(self, values: list[Any], gradients: Mapping[Key, Any]) -> dict[int, Any]:
        """Index -> the gradient given for a node, which must be like the node's value."""
        if not isinstance(gradients, Mapping):
            raise SettingError(
                f"backward takes the gradients to start from by node, {{node: gradient}}, not {gradients!r}."
            )
        engine, starts = self._engine, {}
        index = engine.full_plan.index
        for name, gradient in gradients.items():
            key = output_of(engine.graph, name, "backward")
            if key not in index:
                raise UnknownNodeError(f"backward: {key!r} is not a node of the network.{did_you_mean(key, index)}")
            if not isinstance(gradient, tuple):
                gradient = to_tensor(gradient, f"The gradient of {key!r}", engine.device, engine.dtype)
            value = values[index[key]]
            if not fits(gradient, shape_of(value)):
                raise ShapeError(
                    f"backward: the value of {key} has the shape {shape_of(value)}, and the gradient given "
                    f"{shape_of(gradient)}."
                )
            starts[index[key]] = gradient
        return starts
