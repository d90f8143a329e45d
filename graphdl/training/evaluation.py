"""evaluate, and the validation of a training run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphdl.bundles import Bundle
from graphdl.calls import explained
from graphdl.errors import CompileError, GraphDLWarning, SettingError, level_outside
from graphdl.execution.chance import Outlines
from graphdl.execution.compiled import Calls, CompiledPasses, NoGainError, completed
from graphdl.execution.passes import Forward, run_forward
from graphdl.execution.placed import PlacedPass
from graphdl.execution.plan import Plan
from graphdl.network import Network
from graphdl.training.batching import Batch, bundles_of, make_batches, repeatable, unpack_validation
from graphdl.training.means import Means
from graphdl.training.metrics import Metric
from graphdl.training.network_checks import check_losses
from graphdl.training.rows import weighted_by_rows
from graphdl.training.scoring import Scorer
from graphdl.training.step import has_custom

EVALUATION_ROWS = 1024


@explained("evaluate(net, inputs, targets)")
def evaluate(
    net: Network,
    inputs: Any,
    targets: Any = None,
    *,
    metrics: Sequence[str | Metric] = (),
    batch_size: int = EVALUATION_ROWS,
    sample_weight: Any = None,
) -> dict[str, float]:
    """Compute the loss and the metrics on data, in the forms that fit takes, without training: {name: value}.

    sample_weight holds a number w for each row, as in fit: the loss is the mean of w loss, with w divided by its mean.
    Metrics are not weighted.
    """
    check_losses(net, "evaluate", ", or use net.predict")
    batches = make_batches(net, inputs, targets, batch_size)
    if sample_weight is not None:
        net, batches = weighted_by_rows(net, batches, sample_weight)
    with torch.inference_mode():
        return completed(Measuring(net, Scorer(net, metrics)).calls(batches, "inputs"))


class Validation:
    """The data, if any, on which a network is measured after every epoch.

    chosen  the indices of the rows of the data that are used, in place of all
    names   of the figures
    """

    def __init__(
        self,
        net: Network,
        scorer: Scorer,
        data: Any,
        epochs: int,
        compiled: bool = False,
        chosen: Tensor | None = None,
    ) -> None:
        self._measuring = Measuring(net, scorer, compiled)
        self._batches: Iterable[Batch] | None = None
        if data is not None:
            batches = make_batches(net, *unpack_validation(data), EVALUATION_ROWS, chosen=chosen)
            self._batches = repeatable("validation", batches, epochs)
        self.names = tuple(f"validation_{name}" for name in scorer.names if data is not None)

    def compile(self, like: Validation | None = None) -> None:
        """Use compiled passes from now on; `like` is that of a network of the same structure."""
        self._measuring.compile(None if like is None else like._measuring)

    def __call__(self) -> dict[str, float]:
        """The mean figures; {} if there are no data."""
        if self._batches is None:
            return {}
        with torch.inference_mode():
            return completed(self.calls())

    def calls(self) -> Calls[dict[str, float]]:
        """The same, but C++ is run by the caller."""
        if self._batches is None:
            return {}
        measured = yield from self._measuring.calls(self._batches, "validation")
        return {f"validation_{name}": figure for name, figure in measured.items()}


class Measuring:
    """Measures losses and metrics on data, by the operators, or by compiled passes where these are possible and gain.

    Networks with custom operators, and those that are large enough for several threads, are measured by the operators.
    """

    def __init__(self, net: Network, scorer: Scorer, compiled: bool = False) -> None:
        self._net, self._scorer, self._compiled = net, scorer, compiled
        self._passes: CompiledPasses | None = None
        self._like: Measuring | None = None

    def compile(self, like: Measuring | None = None) -> None:
        """Use compiled passes from now on."""
        self._compiled, self._like = True, like

    def calls(self, batches: Iterable[Batch], what: str) -> Calls[dict[str, float]]:
        """The mean losses and metrics of batches, of which an error says what they are."""
        means = Means(self._scorer)
        for bundle in bundles_of(batches):
            made = 0
            while made < len(bundle):
                made += yield from self._passes_on(bundle.part(made, len(bundle)), means)
        if not means.rows:
            raise SettingError(f"{what} has no batches: there is nothing to evaluate.")
        return means.figures()

    def _passes_on(self, bundle: Bundle, means: Means) -> Calls[int]:
        """Measure some batches of a bundle; return how many."""
        plan = self._net.engine.plan(self._scorer.targets)
        if self._compiled:
            try:
                passes = self._ready(plan, bundle)
                done, found = (0, []) if passes is None else (yield from passes.call(bundle))
            except NoGainError:
                self._compiled, done, found = False, 0, []
            except CompileError as error:
                self._compiled, done, found = False, 0, []
                text = f"fit(compile=True) validates by the operators: {error}."
                warnings.warn(text, GraphDLWarning, stacklevel=level_outside())
            if done:
                self._scorer.add_to(means, bundle.part(0, done), found)
                return done
        batch = bundle.batch(0)
        trace = run_forward(plan, self._net.engine.store.by_node, batch, Forward(training=False, saving=()))
        means.add(self._scorer(plan, batch, trace))
        return 1

    def _ready(self, plan: Plan, bundle: Bundle) -> CompiledPasses | None:
        """The compiled passes for such batches; None for batches of another shape than the first one."""
        engine = self._net.engine
        if self._passes is None or self._passes.version != engine.version:
            if torch.get_num_threads() > 1 or has_custom(plan):
                raise NoGainError("it is left to the operators")
            first = bundle.batch(0)
            like = None if self._like is None else self._like._passes

            def place(outlines: Outlines | None) -> PlacedPass:
                return PlacedPass(engine, plan, first, rehearsing=outlines is None)

            self._passes = CompiledPasses(engine, place, [first], True, like)
        return self._passes if self._passes.shapes == bundle.layout() else None
