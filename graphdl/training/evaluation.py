"""evaluate, and the validation of a training run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from graphdl.errors import MissingInputError, SettingError
from graphdl.execution.passes import Forward, run_forward
from graphdl.network import Network
from graphdl.training.batching import Batch, make_batches, repeatable, unpack_validation
from graphdl.training.metrics import Metric
from graphdl.training.scoring import Means, Scorer

EVALUATION_ROWS = 1024


def evaluate(
    net: Network,
    inputs: Any,
    targets: Any = None,
    *,
    metrics: Sequence[str | Metric] = (),
    batch_size: int = EVALUATION_ROWS,
) -> dict[str, float]:
    """Compute the loss and the metrics on data, in the forms that fit takes, without training: {name: value}."""
    if not net.losses:
        raise MissingInputError("evaluate needs a loss, and the network has no loss node: add one, or use net.predict.")
    return _measure(net, Scorer(net, metrics), make_batches(net, inputs, targets, batch_size), "inputs")


class Validation:
    """The data, if any, on which a network is measured after every epoch.

    chosen  the indices of the rows of the data that are used, in place of all
    names   of the figures
    """

    def __init__(
        self, net: Network, scorer: Scorer, data: Any, epochs: int, chosen: torch.Tensor | None = None
    ) -> None:
        self._net, self._scorer = net, scorer
        self._batches: Iterable[Batch] | None = None
        if data is not None:
            batches = make_batches(net, *unpack_validation(data), EVALUATION_ROWS, chosen=chosen)
            self._batches = repeatable("validation", batches, epochs)
        self.names = tuple(f"validation_{name}" for name in scorer.names if data is not None)

    def __call__(self) -> dict[str, float]:
        """The mean figures; {} if there are no data."""
        if self._batches is None:
            return {}
        measured = _measure(self._net, self._scorer, self._batches, "validation")
        return {f"validation_{name}": figure for name, figure in measured.items()}


@torch.inference_mode()
def _measure(net: Network, scorer: Scorer, batches: Iterable[Batch], what: str) -> dict[str, float]:
    """The mean losses and metrics of batches, without training."""
    means = Means()
    for batch in batches:
        plan = net.engine.plan(scorer.targets)
        trace = run_forward(plan, net.engine.store.by_node, batch, Forward(training=False, saving=()))
        means.add(scorer(plan, batch, trace))
    if not means.rows:
        raise SettingError(f"{what} has no batches: there is nothing to evaluate.")
    return means.figures()
