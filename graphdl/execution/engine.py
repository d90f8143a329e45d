"""What a network runs on: operators with their sizes, their tensors, and the plans of its passes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from graphdl.arguments import gather_inputs, meta_inputs
from graphdl.errors import MissingInputError
from graphdl.execution.declared_sizes import check_sizes
from graphdl.execution.inference import infer_shapes, require_complete
from graphdl.execution.passes import Forward, run_forward
from graphdl.execution.plan import BackwardPlan, Plan, make_backward_plan, make_plan
from graphdl.execution.turn import Turn
from graphdl.graph import Key, computed_with, input_kinds, inputs_of, owners_of, predictions_of, topological_order
from graphdl.intake import input_batches, inputs_alone, joined
from graphdl.operators import Loss, Operator
from graphdl.parameters import Extent, ParameterStore
from graphdl.recent import Recent

if TYPE_CHECKING:
    from graphdl.graph.build import Graph

MOST_PLANS = 32
"""Plans that are kept: one for each set of targets, starts and frozen nodes that was used last."""


@dataclass
class Status:
    """What changes while a network is used.

    A network with weighted losses has that of the network whose tensors it trains. A part of a network has its own,
    with the turn of the whole.

    frozen   the owners whose parameters and buffers stay, and whose nodes run as in inference
    version  grows whenever tensors move or what is frozen changes
    turn     which thread trains the network or a part of it
    """

    device: torch.device
    dtype: torch.dtype
    frozen: frozenset[Key] = frozenset()
    version: int = 0
    turn: Turn = field(default_factory=Turn)


class Engine:
    """The state of a network and its plans, which are made once and kept.

    order      the nodes in topological order
    inputs     name of every input -> why it is one
    operators  owner -> operator, with its sizes once the network is built
    outputs    the nodes that forward returns: the sinks, or those wanted of a part
    predictions  what feeds the prediction slots of the losses, or the sinks where there is no loss
    status     the device, the type, what is frozen, and the version
    """

    def __init__(
        self,
        graph: Graph,
        generator: Generator,
        device: torch.device,
        dtype: torch.dtype,
        store: ParameterStore | None = None,
        outputs: tuple[Key, ...] | None = None,
    ) -> None:
        self.graph, self.generator = graph, generator
        self.order: tuple[Key, ...] = topological_order(graph)
        check_sizes(graph, self.order)
        self.status = Status(device, dtype)
        self.inputs = inputs_of(graph)
        computed = {key: node for key, node in graph.nodes(data=True) if node["operator"] is not None}
        self.operators: dict[Key, Operator] = {
            key: node["operator"] for key, node in computed.items() if node["owner"] == key
        }
        self.losses: tuple[Key, ...] = tuple(
            key for key, node in computed.items() if isinstance(node["operator"], Loss)
        )
        self.outputs = outputs or tuple(key for key in computed if not graph.succ[key])
        self.predictions = predictions_of(graph, self.losses) or self.outputs
        self._chance: Generator | None = None
        self._store = store
        self._known: dict[Key, tuple[torch.Size, torch.dtype]] = {}
        self._plans: Recent[Plan] = Recent(MOST_PLANS)
        self._backward_plans: Recent[BackwardPlan] = Recent(MOST_PLANS)
        self._loss_gradients: Recent[Tensor] = Recent(MOST_PLANS)
        self._weights: dict[tuple[Key, torch.device], Tensor] = {}
        if store is None and all(operator.complete for operator in self.operators.values()):
            self._allocate()

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.status.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the tensors."""
        return self.status.dtype

    @property
    def frozen(self) -> frozenset[Key]:
        """The owners that are frozen."""
        return self.status.frozen

    @property
    def version(self) -> int:
        """Grows whenever tensors move or what is frozen changes."""
        return self.status.version

    @property
    def turn(self) -> Turn:
        """Which thread trains the network or a part of it."""
        return self.status.turn

    @property
    def built(self) -> bool:
        """Whether all sizes are known and the parameters exist."""
        return self._store is not None

    @property
    def store(self) -> ParameterStore:
        """The tensors. Raises MissingInputError while sizes are unknown."""
        if self._store is None:
            require_complete(self.operators, list(self.inputs))
            self._allocate()
        assert self._store is not None
        return self._store

    @property
    def full_plan(self) -> Plan:
        """The plan of every node."""
        return self.plan(self.outputs)

    @property
    def trainable(self) -> list[Extent]:
        """The parameters of the nodes that are not frozen."""
        return [extent for extent in self.store.extents if extent.node not in self.frozen]

    @property
    def chance(self) -> Generator:
        """The generator from which operators draw: the network's own, or one made from it on another device."""
        if self.device.type in ("cpu", "meta"):
            return self.generator
        if self._chance is None or self._chance.device != self.device:
            seed = int(torch.randint(2**62, (), generator=self.generator, device="cpu"))
            self._chance = Generator(self.device).manual_seed(seed)
        return self._chance

    def prepare(self, given: object, targets: tuple[Key, ...]) -> tuple[Plan, dict[Key, Tensor]]:
        """The plan of the targets and the tensors that it needs. The first call builds the network."""
        names = self.plan(targets).inputs
        dead_ends = [key for key in self.outputs if key not in self.losses] if self.losses else []
        known = self.inputs, dead_ends or self.operators
        inputs = gather_inputs(given, names, *known, self.device, self.dtype, lambda name: name in self._computed_with)
        if self._store is None:
            self.build(meta_inputs(inputs, self.inputs, self.dtype))
        return self.plan(targets), inputs

    @cached_property
    def _computed_with(self) -> frozenset[Key]:
        """The inputs and nodes with which trained operators compute as with floating-point numbers."""
        return computed_with(self.graph)

    def predict(self, given: object, targets: tuple[Key, ...]) -> dict[Key, Any]:
        """Node -> its value in inference mode; only what these nodes need is computed and asked for."""
        if (batches := input_batches(given)) is not None:
            return joined([self.predict(batch, targets) for batch in batches])
        plan, inputs = self.prepare(inputs_alone(given), targets)
        with torch.no_grad():
            trace = run_forward(plan, self.store.by_node, inputs, Forward(training=False, saving=()))
        self.remember(inputs)
        return {key: trace.values[plan.index[key]] for key in targets}

    def hollow(self, given: Mapping[Key, Any], batch: int | None = None) -> dict[Key, Tensor]:
        """Meta tensors for inputs given by shape, or by a tensor; `batch` is put before shapes without a batch axis."""
        return meta_inputs(given, self.inputs, self.dtype, batch, input_kinds(self.graph))

    def infer(self, inputs: Mapping[Key, Tensor]) -> dict[Key, Any]:
        """Node -> meta value, for meta tensors as inputs and as far as they lead."""
        return infer_shapes(self.full_plan, inputs, self.dtype)[0]

    def build(self, inputs: Mapping[Key, Tensor]) -> None:
        """Infer the sizes that were left out from meta tensors, and make the parameters."""
        operators = infer_shapes(self.full_plan, inputs, self.dtype)[1]
        if self._store is None:
            missing = [name for name in self.inputs if name not in inputs]
            require_complete(operators, missing or list(self.inputs))
            self.operators = {key: operators[key] for key in self.operators}
            self._allocate()
        self.remember(inputs)

    def remember(self, inputs: Mapping[Key, Tensor]) -> None:
        """Keep the shapes of the inputs for diagrams, unless those of more inputs are known."""
        if inputs.keys() >= self._known.keys():
            self._known = {name: (tensor.shape, tensor.dtype) for name, tensor in inputs.items()}

    def known_inputs(self) -> dict[Key, Tensor]:
        """The inputs of the last pass that took the most of them, as meta tensors."""
        return {name: torch.empty(shape, dtype=dtype, device="meta") for name, (shape, dtype) in self._known.items()}

    def _allocate(self) -> None:
        self._plans.clear()
        for _, node in self.graph.nodes(data=True):
            if node["operator"] is not None:
                node["operator"] = self.operators[node["owner"]]
        if self.device.type == "meta":
            self._store = ParameterStore.hollow(self.operators, self.dtype)
        else:
            self._store = ParameterStore(self.operators, self.generator, self.device, self.dtype)

    def plan(self, targets: tuple[Key, ...]) -> Plan:
        """The plan that computes these nodes and nothing that they do not need."""
        return self._plans.get(
            (targets, self.frozen),
            lambda: make_plan(self.graph, self.order, self.operators, targets, self.frozen),
        )

    def backward_plan(self, plan: Plan, starts: Iterable[Key], wanted: Collection[Key] = ()) -> BackwardPlan:
        """The plan of the gradients of all trainable parameters and of the wanted inputs."""
        starts, wanted = tuple(starts), tuple(wanted)

        def make() -> BackwardPlan:
            names: dict[Key, set[str]] = {}
            for extent in self.trainable:
                names.setdefault(extent.node, set()).add(extent.name)
            trainable = {node: frozenset(found) for node, found in names.items()}
            return make_backward_plan(plan, starts, trainable, wanted)

        return self._backward_plans.get((plan.targets, starts, wanted, self.frozen), make)

    def freeze(self, nodes: Collection[Key], frozen: bool) -> None:
        """Freeze or unfreeze these nodes."""
        chosen, status = owners_of(self.graph, nodes), self.status
        status.frozen = status.frozen | chosen if frozen else status.frozen - chosen
        status.version += 1

    def share(self, other: Engine, owners: Mapping[Key, Key]) -> None:
        """Train in turn with another engine, and freeze what is frozen there: {node here: node there}."""
        frozen = frozenset(key for key, owner in owners.items() if owner in other.frozen)
        self.status = Status(other.device, other.dtype, frozen, turn=other.status.turn)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move all tensors."""
        if self._store is not None:
            self._store.to(device, dtype)
        self.status.device, self.status.dtype = device, dtype
        self.status.version += 1

    def loss(self, key: Key) -> Loss:
        """The loss operator of a loss node."""
        operator = self.graph.nodes[key]["operator"]
        assert isinstance(operator, Loss)
        return operator

    def weight(self, key: Key) -> Tensor:
        """The weight of a loss as a tensor without axes, in double precision."""
        if (key, self.device) not in self._weights:
            with torch.inference_mode(False):
                weight = torch.tensor(self.loss(key).weight, dtype=torch.float64, device=self.device)
            self._weights[key, self.device] = weight
        return self._weights[key, self.device]

    def loss_starts(self, plan: Plan, values: list[Any] | dict[int, Any]) -> dict[int, Tensor]:
        """Index -> the gradient from which each loss starts: its weight, for every element."""
        if not self.losses:
            raise MissingInputError(
                "The network has no loss node to start from. Add one, such as MSELoss(), to operators; or say where to "
                "start: net.backward({node: gradient})."
            )
        return {plan.index[key]: self._loss_gradient(key, values[plan.index[key]]) for key in self.losses}

    def _loss_gradient(self, key: Key, value: Tensor) -> Tensor:
        """The gradient from which a loss of this shape starts, made once."""

        def make() -> Tensor:
            with torch.inference_mode(False):
                return torch.full(value.shape, self.loss(key).weight, dtype=value.dtype, device=value.device)

        return self._loss_gradients.get((key, value.shape, value.dtype, value.device), make)
