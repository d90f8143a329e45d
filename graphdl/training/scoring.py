"""The losses and metrics of a batch, and their means over batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args

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
from graphdl.training.metrics import Accuracy, Metric, OverRows, resolve_metrics

if TYPE_CHECKING:
    from graphdl.training.means import EpochMeans, Means


class Score(NamedTuple):
    """The total loss of one batch, the other entries of its scorer by name, and what metrics over all rows keep."""

    loss: float
    rows: int
    figures: dict[str, float]
    kept: Sequence[Pair] = ()


Pair: TypeAlias = tuple[Tensor, Tensor]
"""Predictions and targets."""

NO_FIGURES: dict[str, float] = {}


class Scorer:
    """Measures the losses and metrics of passes.

    The total loss is the sum of the losses, each times its weight. If there are several losses, each is also listed as
    "loss_of_left", and metrics as "accuracy_of_left". Metrics are computed for losses with one prediction and one
    target. Raises SettingError if there are metrics and no such loss, or if a name is used twice.

    targets    the nodes that a pass must compute and keep
    names      the names of the losses and metrics
    entries    the names of the numbers of a batch, of which means are taken
    over_rows  name -> metric of all rows, whose predictions and targets are kept
    in_parts   name -> accuracy that follows from several entries, and their names
    compared   of each metric its name, its function, the loss and what feeds its target
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
        self.over_rows = {name: metric for name, metric, _ in self._metrics if isinstance(metric, OverRows)}
        self._by_batch = [entry for entry in self._metrics if entry[0] not in self.over_rows]
        self._kept = [pair for name, _, pair in self._metrics if name in self.over_rows]
        entries = {name: _entries(name, metric) for name, metric, _ in self._by_batch}
        self.entries = ("loss", *own, *itertools.chain.from_iterable(entries.values()))
        self.in_parts = {
            name: (metric, entries[name])
            for name, metric, _ in self._by_batch
            if isinstance(metric, Accuracy) and metric.parts > 1
        }
        targets = {compared[key]: (key, compared[key][1]) for key in compared}
        self.compared = [(name, metric, *targets[pair]) for name, metric, pair in self._metrics]
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
        """The entries of a pass, on the device and in double precision."""
        found = {key: trace.values[plan.index[key]] for key in self.targets}
        total, figures = self._measure(inputs, found, Tensor.double)
        on_device = [_on_device(name, figure, total) for name, figure in figures.items()]
        return torch.stack([total, *on_device])

    def _score(self, inputs: Mapping[Key, Tensor], found: Mapping[Key, Any]) -> Score:
        total, figures = self._measure(inputs, found, Tensor.item)
        numbers = {name: _number(name, figure) for name, figure in figures.items()}
        return Score(total, rows_of(inputs), numbers, self._pairs(inputs, found) if self._kept else ())

    def kept(self, plan: Plan, inputs: Mapping[Key, Tensor], trace: Trace) -> Sequence[Pair]:
        """The predictions and targets of a pass that metrics over all rows keep."""
        return self._pairs(inputs, {key: trace.values[plan.index[key]] for key in self.targets}) if self._kept else ()

    def _pairs(self, inputs: Mapping[Key, Tensor], found: Mapping[Key, Any]) -> list[Pair]:
        """Copies, because the next step overwrites the memory."""
        copies = {source: (inputs[source] if source in inputs else found[source]).clone() for source in self._sources()}
        return [(copies[prediction], copies[target]) for prediction, target in self._kept]

    def _sources(self) -> set[Key]:
        return set(itertools.chain.from_iterable(self._kept))

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
        for name, metric, pair in self._by_batch:
            prediction, target = (inputs[source] if source in inputs else found[source] for source in pair)
            if isinstance(metric, Accuracy):
                figures.update(_shares(name, metric, *metric.one_batch(prediction, target), read))
            else:
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
        for name, metric, pair in self._by_batch:
            compared = [bundle.stacked(source) if source in bundle.inputs else found[source] for source in pair]
            figures.update(_measured(name, metric, *compared))
        stacked = {source: bundle.stacked(source) for source in self._sources() if source in bundle.inputs}
        kept = self._pairs(stacked, found) if self._kept else ()
        means.add_all(bundle.size, {name: values.tolist() for name, values in figures.items()}, kept)


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


def _measured(name: str, metric: Metric, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The entries of a metric for several batches, (K,) each."""
    if isinstance(metric, Accuracy):
        return _shares(name, metric, predictions, targets, Tensor.double)
    pairs = zip(predictions, targets, strict=True)
    return {name: torch.tensor([_number(name, metric(*pair)) for pair in pairs], dtype=torch.float64)}


def _shares(
    name: str, metric: Accuracy, predictions: Tensor, targets: Tensor, read: Callable[[Tensor], Any]
) -> dict[str, Any]:
    """The entries of an accuracy."""
    return dict(zip(_entries(name, metric), metric.shares(predictions, targets, read), strict=True))


def _entries(name: str, metric: Metric) -> list[str]:
    """The names of the entries of a metric, of which the first is its own."""
    parts = metric.parts if isinstance(metric, Accuracy) else 1
    return [name, *(f"{name}, part {k}" for k in range(2, parts + 1))]


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
