"""The gradients of the losses on given data, without a step; and their norms, in the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphdl.execution.passes import Backward, Forward, run_backward, run_forward
from graphdl.execution.state import Snapshot
from graphdl.execution.training_passes import ParameterGradients
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.batching import Batch, whole_batch
from graphdl.training.callbacks import Callback
from graphdl.training.history import History


class Probe:
    """Data on which the gradients of the losses are computed, as one batch of a training step.

    inputs, targets  as fit takes them: tensors, not batches
    """

    def __init__(self, owner: str, inputs: object, targets: object = None) -> None:
        self._owner, self._inputs, self._targets = owner, inputs, targets
        self._net: Network | None = None
        self._batch: Batch = {}

    def gradients(self, net: Network) -> dict[str, Tensor]:
        """The gradient of every parameter that trains, by name. Buffers and random generators stay as they are."""
        engine = net.engine
        batch = self._batch_of(net)
        plan = engine.plan(net.losses)
        backward, parameters = engine.backward_plan(plan, net.losses), engine.store.by_node
        gathered = ParameterGradients(backward, parameters)
        with torch.inference_mode(), Snapshot(engine):
            trace = run_forward(plan, parameters, batch, Forward(training=True, generator=engine.chance))
            starts = engine.loss_starts(plan, trace.values)
            run_backward(backward, parameters, trace, starts, Backward(gathered))
            return {extent.full_name: gathered.of(extent).clone() for extent in engine.trainable}

    def _batch_of(self, net: Network) -> Batch:
        """The data as the network takes them, on its device."""
        if self._net is not net:
            self._net, self._batch = net, whole_batch(self._owner, net, self._inputs, self._targets)
        return self._batch


class GradientNorms(Callback):
    """Adds the Euclidean norms of gradients to the history, after every epoch: "gradient_norm", of all parameters.

    inputs, targets  data as fit takes them, such as the first few hundred rows of the training data
    by_node          also adds "gradient_norm_of_fc1", of the parameters of each node that trains

    The gradients are those of the losses on these data, in one training pass that changes neither parameters and
    buffers nor random numbers. So they are the same in whatever way the steps are made, and comparable from epoch to
    epoch. They are taken before clipping and without penalties.
    """

    def __init__(self, inputs: object, targets: object = None, *, by_node: bool = False) -> None:
        self.by_node = by_node
        self._probe = Probe("GradientNorms", inputs, targets)

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Add the norms."""
        squares: dict[Key, float] = {}
        gradients = self._probe.gradients(net)
        for extent in net.engine.trainable:
            square = torch.linalg.vector_norm(gradients[extent.full_name], dtype=torch.float64).item() ** 2
            squares[extent.node] = squares.get(extent.node, 0.0) + square
        by_node = squares.items() if self.by_node else ()
        history.append(
            {
                "gradient_norm": sum(squares.values()) ** 0.5,
                **{f"gradient_norm_of_{node}": square**0.5 for node, square in by_node},
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the norms are in the history."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""
