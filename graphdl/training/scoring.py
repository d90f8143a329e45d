"""The losses and metrics of a batch, and their means over batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from graphdl.bundles import Bundle
from graphdl.errors import SettingError, listing
from graphdl.execution.passes import Trace
from graphdl.execution.plan import Plan
from graphdl.graph import Key, sources_by_role
from graphdl.network import Network
from graphdl.operators import Loss
from graphdl.slots import SlotRole
from graphdl.training.metrics import Accuracy, Metric, resolve_metrics


class Score(NamedTuple):
    """The total loss of one batch, and by name the other losses and metrics."""

    loss: float
    rows: int
    figures: dict[str, float]


NO_FIGURES: dict[str, float] = {}


class Scorer:
    """Measures the losses and metrics of passes.

    The total loss is the sum of the losses, each times its weight. If there are several losses, each is also listed as
    "loss_of_left", and metrics as "accuracy_of_left". Metrics are computed for losses with one prediction and one
    target. Raises SettingError if there are metrics and no such loss, or if a name is used twice.

    targets  the nodes that a pass must compute and keep
    names    the names of the losses and metrics
    """

    def __init__(self, net: Network, metrics: Sequence[str | Metric]) -> None:
        engine = net.engine
        resolved = resolve_metrics(metrics)
        self._several = len(net.losses) > 1
        self._weights = {key: engine.loss(key).weight for key in net.losses}
        compared = {key: pair for key in net.losses if (pair := _compared(net, key)) is not None}
        if resolved and not compared:
            raise SettingError(
                "metrics compare a prediction with its target, but no loss of the network has one slot with each role: "
                "remove metrics."
            )
        self._metrics = [
            (f"{name}_of_{key}" if self._several else name, metric, pair)
            for name, measure in resolved.items()
            for key, pair in compared.items()
            if (metric := measure(engine.loss(key))) is not None
        ]
        _refuse_unmeasured(resolved, [engine.loss(key) for key in compared])
        own = [f"loss_of_{key}" for key in net.losses] if self._several else []
        names = ["loss", *own, *(name for name, _, _ in self._metrics)]
        for name in names:
            if names.count(name) > 1:
                raise SettingError(f"The name {name!r} is used twice in the history: rename the metric or the node.")
        self.names = tuple(names)
        sources = [source for _, _, pair in self._metrics for source in pair if source in net.graph]
        self.targets: tuple[Key, ...] = tuple(dict.fromkeys((*net.losses, *sources)))

    def __call__(self, plan: Plan, inputs: Mapping[Key, Tensor], trace: Trace) -> Score:
        """The score of a pass."""
        if len(self.targets) == 1 and not self._metrics:  # the usual case, kept fast
            loss = trace.values[plan.index[self.targets[0]]]
            if loss.dim() == 0:
                return Score(self._weights[self.targets[0]] * loss.item(), rows_of(inputs), NO_FIGURES)
        return self._score(inputs, {key: trace.values[plan.index[key]] for key in self.targets})

    def unread(self, plan: Plan, inputs: Mapping[Key, Tensor], trace: Trace) -> Tensor:
        """The losses and metrics of a pass in the order of `names`, on the device and in double precision."""
        found = {key: trace.values[plan.index[key]] for key in self.targets}
        total, figures = self._measure(inputs, found, Tensor.double)
        on_device = [_on_device(name, figure, total) for name, figure in figures.items()]
        return torch.stack([total, *on_device])

    def _score(self, inputs: Mapping[Key, Tensor], found: Mapping[Key, Any]) -> Score:
        total, figures = self._measure(inputs, found, Tensor.item)
        return Score(total, rows_of(inputs), {name: _number(name, figure) for name, figure in figures.items()})

    def _measure(
        self, inputs: Mapping[Key, Tensor], found: Mapping[Key, Any], read: Callable[[Tensor], Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The total loss, and the other losses and metrics by name; losses as `read` gives them."""
        figures: dict[str, Any] = {}
        total = 0.0
        for key, weight in self._weights.items():
            loss = found[key]
            value = read(loss if loss.dim() == 0 else loss.sum())
            total += weight * value
            if self._several:
                figures[f"loss_of_{key}"] = value
        for name, metric, pair in self._metrics:
            prediction, target = (inputs[source] if source in inputs else found[source] for source in pair)
            figures[name] = metric(prediction, target)
        return total, figures

    def add_to(self, means: Means | EpochMeans, bundle: Bundle, values: Sequence[Tensor]) -> None:
        """Add the scores of passes to means: values are the total losses (K,) and the targets' values (K, n, ...).

        They are added one after another, so that the means do not depend on the number of passes in a call.
        """
        total, *targets = values
        figures = {"loss": total}
        found = dict(zip(self.targets, targets, strict=True))
        for key in self._weights if self._several else ():
            losses = found[key].double()
            figures[f"loss_of_{key}"] = losses.flatten(1).sum(1) if losses.dim() > 1 else losses
        for name, metric, pair in self._metrics:
            compared = [bundle.stacked(source) if source in bundle.inputs else found[source] for source in pair]
            figures[name] = _measured(name, metric, *compared)
        means.add_all(bundle.size, {name: values.tolist() for name, values in figures.items()})


def _compared(net: Network, loss: Key) -> tuple[Key, Key] | None:
    """The prediction and the target of a loss; None unless it has exactly one of each."""
    predictions, targets = (sources_by_role(net.graph, loss, role) for role in get_args(SlotRole))
    return (predictions[0], targets[0]) if len(predictions) == len(targets) == 1 else None


def _refuse_unmeasured(metrics: Mapping[str, Callable[[Loss], Metric | None]], losses: Sequence[Loss]) -> None:
    """Raise SettingError for a metric that none of the losses has."""
    for name, measure in metrics.items():
        if all(measure(loss) is None for loss in losses):
            kinds = listing(dict.fromkeys(type(loss).__name__ for loss in losses))
            raise SettingError(
                f"There is no {name} for {kinds}, whose targets do not name the class of a prediction: give a function "
                "(prediction, target) -> number."
            )


def rows_of(inputs: Mapping[Key, Tensor]) -> int:
    """The number of rows: the length of the first axis of the first input."""
    first = next(iter(inputs.values()), None)
    return len(first) if first is not None and first.dim() else 1


def _measured(name: str, metric: Metric, predictions: Tensor, targets: Tensor) -> Tensor:
    """A metric of several batches, (K,)."""
    if isinstance(metric, Accuracy):
        return metric.of_batches(predictions, targets)
    pairs = zip(predictions, targets, strict=True)
    return torch.tensor([_number(name, metric(*pair)) for pair in pairs], dtype=torch.float64)


def _number(name: str, measured: Any) -> float:
    try:
        return float(measured)
    except (TypeError, ValueError, RuntimeError):
        found = f"a tensor {tuple(measured.shape)}" if isinstance(measured, Tensor) else repr(measured)
        raise SettingError(f"The metric {name!r} returned {found}; a metric must return one number.") from None


def _on_device(name: str, measured: Any, like: Tensor) -> Tensor:
    """A metric as a tensor like another; one that is a tensor is not read."""
    if isinstance(measured, Tensor) and measured.numel() == 1 and not measured.is_complex():
        return measured.reshape(()).to(like)
    return torch.full_like(like, _number(name, measured))


class Means:
    """Means of scores, weighted by their rows."""

    def __init__(self) -> None:
        self.rows = 0
        self._sums: dict[str, float] = {}

    def add(self, score: Score) -> None:
        """Add the score of a batch."""
        self.rows += score.rows
        self._sums["loss"] = self._sums.get("loss", 0.0) + score.loss * score.rows
        for name, figure in score.figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + figure * score.rows

    def add_all(self, rows: int, figures: Mapping[str, Sequence[float]]) -> None:
        """Add several batches with the same number of rows, each loss or metric as K numbers."""
        for name, values in figures.items():
            total = self._sums.get(name, 0.0)
            for value in values:
                total += value * rows
            self._sums[name] = total
        self.rows += rows * len(figures["loss"])

    def figures(self) -> dict[str, float]:
        """Name -> mean; {} if there were no rows."""
        if not self.rows:
            return {}
        return {name: total / self.rows for name, total in self._sums.items()}


class EpochMeans:
    """Means of the scores of successive epochs, each of so many batches."""

    def __init__(self, epochs: int, batches: int) -> None:
        self._epochs, self._batches, self._added = [Means() for _ in range(epochs)], batches, 0

    @property
    def begun(self) -> int:
        """The number of epochs to which the batches that were added, and the next one, belong."""
        return min(len(self._epochs), self._added // self._batches + 1)

    def add(self, score: Score) -> None:
        """Add the score of a batch."""
        self._epochs[self._added // self._batches].add(score)
        self._added += 1

    def add_all(self, rows: int, figures: Mapping[str, Sequence[float]]) -> None:
        """Add several batches with the same number of rows, each loss or metric as K numbers."""
        start, count = 0, len(figures["loss"])
        while start < count:
            epoch, made = divmod(self._added, self._batches)
            stop = min(count, start + self._batches - made)
            self._epochs[epoch].add_all(rows, {name: values[start:stop] for name, values in figures.items()})
            self._added += stop - start
            start = stop

    def figures(self) -> list[dict[str, float]]:
        """The means of each epoch."""
        return [means.figures() for means in self._epochs]
