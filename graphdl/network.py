"""Network: the public interface to graph and execution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

import torch
from torch import Generator, Tensor

from graphdl.advice import warn_of_declarations
from graphdl.arguments import Device, check_operators, compilable, floating_type, new_generator, usable_device
from graphdl.calls import explained
from graphdl.cost import Cost, Rule, plan_cost
from graphdl.errors import MissingInputError, counted, listing
from graphdl.execution.compiled_steps import CompiledSteps, compile_steps
from graphdl.execution.engine import Engine
from graphdl.facts import node_facts
from graphdl.graph import (
    Block,
    Connectivity,
    Feed,
    Key,
    Operators,
    Shared,
    build_graph,
    cut_part,
    known_values,
    normalise_connectivity,
    normalise_operators,
    with_sizes,
)
from graphdl.habits import NotAModule
from graphdl.operators import Operator
from graphdl.operators.tuples import Shape, shape_of
from graphdl.pictured import Pictured
from graphdl.record import Record
from graphdl.shown import shown
from graphdl.stored import Stored
from graphdl.summary import summary_table


class Network(Stored, Pictured, NotAModule):
    """A neural network from two dictionaries: what each node computes, and which nodes it feeds.

    operators      node -> operator, Shared or Block
    connectivity   node -> the nodes it feeds; a key that is not an operator is an input
    seed           of the first parameters and of the random numbers in training; None draws one from torch's global
                   generator
    device, dtype  of its tensors

    Attributes: inputs, outputs, losses, predictions (what `predict` returns) and order (a topological order) are tuples
    of keys; graph is the networkx graph, which cannot be changed.

    >>> from graphdl import Linear, Network
    >>> net = Network({"line": Linear(2, 1)}, {"x": ["line"]}, seed=0)
    >>> net.inputs, net.outputs
    (('x',), ('line',))
    >>> net.predict(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    @explained("Network({'fc': Linear(2, 1), 'loss': MSELoss()}, {'x': ['fc'], 'fc': ['loss'], 'target': ['loss']})")
    def __init__(
        self,
        operators: Operators[Operator],
        connectivity: Connectivity,
        *,
        seed: int | None = None,
        device: Device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._operators = normalise_operators(operators)
        self._connectivity = normalise_connectivity(connectivity)
        check_operators(self._operators)
        self._set_up(new_generator(seed), usable_device(device), floating_type(dtype))
        warn_of_declarations(self._operators, self.graph, self.losses)

    def _set_up(self, generator: Generator, device: torch.device, dtype: torch.dtype, *part: Any) -> None:
        """Build the graph and the engine. `part` holds the tensors and the outputs of a part of another network."""
        self.graph = build_graph(self._operators, self._connectivity)
        self.generator = generator
        self.engine = Engine(self.graph, generator, device, dtype, *part)
        self.order, self.inputs = self.engine.order, tuple(self.engine.inputs)
        self.outputs, self.losses = self.engine.outputs, self.engine.losses
        self.predictions = self.engine.predictions
        self._record = Record(self.engine)

    def __repr__(self) -> str:
        size = f", {counted(self.engine.store.count, 'parameter')}" if self.engine.built else ""
        operators = sum(node["operator"] is not None for _, node in self.graph.nodes(data=True))
        ends = f"inputs {listing(map(shown, self.inputs))}, outputs {listing(map(shown, self.outputs))}"
        return f"Network({counted(operators, 'operator')}{size}, {ends})"

    @property
    def operators(self) -> dict[Key, Operator | Shared | Block]:
        """What each node computes, as declared, with the inferred sizes: the first of the two dictionaries."""
        return with_sizes(self._operators, self.engine.operators)

    @property
    def connectivity(self) -> dict[Key, tuple[Feed, ...]]:
        """Which nodes each node feeds, as declared: the second of the two dictionaries."""
        return dict(self._connectivity)

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.engine.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the tensors."""
        return self.engine.dtype

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Parameters by name, "node.name" -> tensor. Assigning to a name copies into its tensor."""
        return self.engine.store.parameters

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Buffers by name, "node.name" -> tensor: state that is not changed by gradients."""
        return self.engine.store.buffers

    @property
    def values(self) -> dict[Key, Any]:
        """Node -> its value in the last forward pass."""
        return self._record.values

    @property
    def value_gradients(self) -> dict[Key, Any]:
        """Node -> the gradient of its value in the last backward pass, for the nodes that have one."""
        return self._record.value_gradients

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Gradients of the parameters by name, "node.name" -> tensor, from the last backward pass."""
        return self._record.gradients

    @property
    def reached(self) -> frozenset[Key]:
        """The nodes whose parameters the last backward pass reached."""
        return self._record.reached

    def forward(self, inputs: object, training: bool = True) -> dict[Key, Any]:
        """Compute and record every value; return {sink: value}.

        inputs are {name: tensor or array}, or a tensor if the network has one input. Errors: MissingInputError,
        UnknownNodeError, ShapeError, and OperatorError if an operator fails for another reason.
        """
        return self._record.forward(inputs, training)

    def backward(self, gradients: Mapping[Key, Any] | None = None) -> dict[Key, Tensor]:
        """Send gradients back through the recorded pass; return {input: gradient} of floating-point inputs.

        It starts at every loss with the loss's weight, or at the given {node: gradient}. It sets `.gradients` to the
        gradients of all parameters that are not frozen; several calls do not accumulate.
        """
        return self._record.backward(gradients)

    def predict(self, inputs: object, outputs: Iterable[Key] | None = None) -> Any:
        """Compute the predictions, or the nodes and blocks named in `outputs`, in inference mode.

        Returns a tensor, or {node: tensor} if there are several. Only the inputs that these nodes need are required, no
        targets; if it is one input, a tensor may be given. Raises UnknownNodeError for a name that is not a node.
        """
        wanted = known_values(self.graph, self.predictions if outputs is None else outputs, "predict(outputs=[...])")
        values = self.engine.predict(inputs, tuple(dict.fromkeys(wanted.values())))
        return values[wanted.popitem()[1]] if len(wanted) == 1 else {key: values[node] for key, node in wanted.items()}

    def part(self, inputs: Iterable[Key], outputs: Iterable[Key]) -> Network:
        """The nodes between some inputs and some outputs, as a network over the same tensors.

        inputs   inputs of this network, or nodes, whose values the part takes as inputs under their names
        outputs  the nodes that the part computes, which are its outputs; in both, a block means its output node

        Training the part changes this network, and vice versa; each has its own frozen nodes. `to` raises SettingError
        for tensors that networks share. Copies and files of a part do not share tensors. Raises MissingInputError if
        the outputs need a value that is neither computed inside the part nor one of its inputs.
        """
        cut = cut_part(self.graph, self.order, self.engine.inputs, inputs, outputs)
        part = self._beside(cut.operators, cut.connectivity, self.engine.store.part(cut.owners), cut.outputs)
        part.engine.share(self.engine, cut.owners)
        return part

    def _beside(self, operators: Mapping[Key, Any], connectivity: Mapping[Key, Any], *part: Any) -> Network:
        """A network over tensors of this one, of checked and normalised dictionaries; `part` is that of _set_up."""
        net = Network.__new__(Network)
        net._operators, net._connectivity = dict(operators), dict(connectivity)
        net._set_up(self.generator, self.device, self.dtype, *part)
        return net

    def _with_losses(self, losses: Mapping[Key, Operator], connectivity: Mapping[Key, tuple[Feed, ...]]) -> Network:
        """The network with other losses and further edges, for training: on the same tensors, frozen together.

        The losses have the parameters of those that they replace. Raises MissingInputError while sizes are unknown.
        """
        cut = cut_part(self.graph, self.order, self.engine.inputs, self.inputs, self.outputs)
        operators, edges = {**cut.operators, **losses}, {**cut.connectivity, **connectivity}
        net = self._beside(operators, edges, self.engine.store)
        net.engine.status = self.engine.status
        return net

    def compile(self, optimizer: Any, inputs: object) -> CompiledSteps:
        """Compile training steps for batches like these inputs: a callable {name: (K, n, ...)} -> losses (K,).

        One call makes K steps in C++, each a forward pass, the gradients and the optimizer's update, and changes the
        network in place. The first time, the C++ compiler runs; later, also in other processes, the library is loaded
        from a cache. Losses are in double precision. `optimizer` may be a stepper of this network, which then counts
        the steps. Raises CompileError if the step cannot be compiled; `fit(..., compile=True)` warns instead. Calls
        without a C++ form use as many threads as torch.get_num_threads() says.
        """
        if not self.losses:
            raise MissingInputError("compile needs a loss, and the network has no loss node: add one.")
        stepper, inputs = compilable(self, optimizer, inputs)
        return compile_steps(self.engine, stepper, self.engine.prepare(inputs, self.losses)[1])

    def build(self, shapes: Mapping[Key, Any]) -> Self:
        """Infer the sizes that were left out from {input: shape without the batch axis}, and create the parameters."""
        self.engine.build(self.engine.hollow(shapes, batch=2))
        return self

    def shapes(self, inputs: Mapping[Key, Any]) -> dict[Key, Shape]:
        """{node: shape} from {input: shape with the batch axis, or tensor}, for the nodes that these inputs determine.

        Runs on meta tensors: nothing is computed, and no parameter is created.
        """
        values = self.engine.infer(self.engine.hollow(inputs))
        return {key: shape_of(values[key]) for key in self.order if key in values}

    def freeze(self, *nodes: Key) -> Self:
        """Keep the parameters and buffers of these nodes, or all those of blocks, which then run as in inference.

        To freeze all nodes: net.freeze(*net.operators).
        """
        self.engine.freeze(nodes, frozen=True)
        return self

    def unfreeze(self, *nodes: Key) -> Self:
        """Let these nodes train again."""
        self.engine.freeze(nodes, frozen=False)
        return self

    def cost(
        self, inputs: Mapping[Key, Any], optimizer: Rule | None = None, *, recompute: Collection[Key] = ()
    ) -> Cost:
        """What a training step of `fit` costs, in operations and in bytes, before anything is allocated.

        inputs     {input: shape with the batch axis, or tensor}; of shapes, indices are found by who reads them
        optimizer  None plans gradients and no states
        recompute  nodes that keep nothing for backward, which computes them again

        The figures are those of `graphdl.Cost`; print it for a table. Sizes that were left out are inferred, and the
        network stays as it is. Errors: MissingInputError, UnknownNodeError, SettingError, and ShapeError, which names
        the node. Operators must run on meta tensors.
        """
        return plan_cost(self.engine, inputs, optimizer, recompute)

    def summary(self) -> str:
        """A table of the nodes, and totals. Shapes are known after `build` or the first pass."""
        return summary_table(self.graph, self.order, node_facts(self.engine))

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of all parameters and buffers by name, as safetensors.torch.save_file takes them."""
        return {name: tensor.clone() for name, tensor in {**self.parameters, **self.buffers}.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the values of all parameters and buffers; nothing changes if a name or a shape is wrong."""
        self.engine.store.load(state)

    def to(self, device: Device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move all tensors to a device and convert them to a floating-point type; recorded values are dropped.

        Tensors on "meta", which have no values, become zeros.
        """
        self.engine.to(usable_device(device or self.device), floating_type(dtype or self.dtype))
        self._record = Record(self.engine)
        return self
