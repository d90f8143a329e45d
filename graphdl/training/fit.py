"""fit: training on the losses of a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from graphdl.arguments import new_generator
from graphdl.calls import explained
from graphdl.errors import SettingError
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Gathering, Optimizer, Penalty, Stepper
from graphdl.optim.penalties import Penalties
from graphdl.settings import flag, is_whole_number
from graphdl.training.batching import Batch, repeatable
from graphdl.training.callbacks import Callback
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.evaluation import Validation
from graphdl.training.history import History
from graphdl.training.hooks import Callbacks, EpochEnd
from graphdl.training.inspection import inspected
from graphdl.training.metrics import Metric
from graphdl.training.network_checks import check_network
from graphdl.training.progress import EpochProgress
from graphdl.training.rows import Choice, choose_rows
from graphdl.training.runs.checkpoint import Checkpoint
from graphdl.training.runs.generators import generators_of
from graphdl.training.runs.keeper import Keeper
from graphdl.training.runs.opening import keeping
from graphdl.training.runs.state import Parts
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from graphdl.training.threads import check_threads, threads_restored


@explained("fit(net, inputs, targets, optimizer=Adam(lr=1e-3), epochs=10, batch_size=50)")
def fit(
    net: Network,
    inputs: Any,
    targets: Any = None,
    *,
    optimizer: Optimizer | Stepper,
    epochs: int,
    batch_size: int | None = None,
    validation: Any = None,
    metrics: Sequence[str | Metric] = (),
    callbacks: Sequence[Callback | EpochEnd] = (),
    shuffle: bool = True,
    drop_last: bool = False,
    sample_weight: Any = None,
    class_weight: Any = None,
    seed: int | None = None,
    threads: int | None = None,
    compile: bool = False,  # noqa: A002
    recompute: Sequence[Key] = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    penalties: Sequence[Penalty] = (),
    checkpoint: Checkpoint | str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a network on its losses; return the history of losses and metrics.

    inputs      {name: rows}, or rows for the single input, with `targets` for the single target: tensors, arrays, lists
                or tables of pandas; a pair of these, a Bunch of scikit-learn, or a Dataset of torch; or an iterable of
                batches, each {name: tensor} or a pair (input, target), which needs no batch_size
    validation  data in the same forms, or a pair (inputs, targets): evaluated after every epoch. Or the share of the
                rows that is held out for it, such as 0.2: always the same rows for a number of rows and a seed
    metrics     names such as "accuracy" and "f1", instances of classes of graphdl.metrics, or functions
                (prediction, target) -> number
    callbacks   instances of graphdl.Callback, or functions (net, history) called after every epoch; training ends when
                one returns True
    shuffle     draws a new order of the rows every epoch, from `seed`, or from the network's generator
    drop_last   leaves out a last batch with fewer rows
    threads     the number of threads that torch may use; None takes one thread for small steps
    compile     compiles the training step to C++ and makes many steps by one call: see the guide
    recompute   nodes whose values are not kept for backward but computed twice, to save memory: see net.cost
    clip_norm   scales all gradients so that their total norm is at most this, as torch.nn.utils.clip_grad_norm_
    clip_value  clamps every element of the gradients to ±clip_value, before that
    accumulate  the number of batches for an update, which uses the mean of their gradients
    penalties   terms added to the loss, such as (L2(1e-3, nodes=("*.weight",)),): the history lists each by its name,
                after the updates of the epoch, and "loss" without them
    checkpoint  a folder in which the run is stored while it trains, or a Checkpoint with further settings: the same
                call continues a run that was stopped or killed, with the same results
    progress    shows a progress bar on a terminal

    sample_weight holds a number w for each row: for losses that are plain means, a row with 2 counts as two rows
    with 1. The mean of w loss is minimized, with w divided by its mean over the training rows. class_weight gives
    weights to rows by their targets: "balanced", {class: weight}, or one number for each class. Validation and
    metrics are not weighted.

    Training losses and metrics are those of the rows of an epoch, each batch measured before its update. Errors:
    NonFiniteError names the first node whose value is not finite, and leaves parameters and buffers as they were before
    that step; UnreachableError if no parameter can be trained; MissingInputError, SettingError. A GraphDLWarning is
    issued for parameters from which no path leads to a loss.
    """
    arguments = locals()
    check_network(net, "fit")
    epochs = _check(net, optimizer, epochs)
    for name, value in (("shuffle", shuffle), ("compile", compile), ("progress", progress)):
        flag()("fit", name, value)
    check_threads(threads)
    if compile and recompute:
        raise SettingError("recompute and compile=True cannot be combined: remove one of them.")
    calls = Callbacks(callbacks)
    generator = net.generator if seed is None else new_generator(seed)
    choice = Choice(batch_size, shuffle, generator, seed, drop_last, sample_weight, class_weight, validation)
    rows = choose_rows(net, inputs, targets, choice)
    batches = repeatable("inputs", rows.batches, epochs)
    scorer, gathering = Scorer(rows.net, metrics), Gathering(clip_norm, clip_value, accumulate, penalties)
    batches = inspected(net, scorer, batches)
    validate = Validation(net, Scorer(net, metrics), rows.validation[0], epochs, compile, rows.validation[1])
    terms = Penalties(gathering.penalties, [*scorer.names, *validate.names])
    stepper = optimizer if isinstance(optimizer, Stepper) else optimizer.bind(net)
    step = TrainingStep(rows.net, stepper, scorer, threads, recompute, gathering, together=compile)
    names = [*scorer.names, *terms.names, *validate.names]
    calls.check(names)
    train = (CompiledEpoch if compile else SteppedEpoch)(step, calls.step_end if calls.wants_steps else None)
    history = History()
    held = [] if checkpoint is None else generators_of((inputs, validation))
    parts = Parts(net, stepper, step, train, calls, history, generator, held)
    with (
        net.engine.turn.taken("fit"),
        keeping(checkpoint, arguments, batches, names, parts) as run,
        calls.around(net, stepper, history),
        threads_restored(),
        EpochProgress(epochs, progress) as bar,
    ):
        looking = any((calls.given, terms.names, validate.names))
        _make_epochs(parts, batches, epochs, looking, lambda: terms.values(net.engine.store) | validate(), run, bar)
    return history


def _make_epochs(
    parts: Parts,
    batches: Iterable[Batch],
    epochs: int,
    looking: bool,
    figures_after: Callable[[], dict[str, float]],
    run: Keeper | None,
    bar: EpochProgress,
) -> None:
    """Make epochs until there are so many, or a callback ends training; `looking` makes one at a time."""
    calls, history = parts.calls, parts.history
    ended = run is not None and run.restore()
    start = time.perf_counter() - history.seconds
    bar.advance(history.last, history.epochs)
    while history.epochs < epochs and not ended:
        if run is None or not run.begun:
            calls.epoch_start()
        most = 1 if looking else epochs - history.epochs
        made = parts.train.several(batches, most if run is None else run.most(most))
        parts.step.finish()
        if not made[0]:
            raise SettingError("inputs has no batches: there is nothing to train on.")
        at_the_end = figures_after()
        for figures in made:
            history.append(figures | at_the_end)
        history.seconds = time.perf_counter() - start
        bar.advance(made[-1] | at_the_end, len(made))
        ended = calls.epoch_end()
        if run is not None:
            run.epoch_end(epochs, ended)


def _check(net: object, optimizer: object, epochs: object) -> int:
    """The number of epochs. Raises SettingError if it is none, or for what is not an optimizer."""
    if isinstance(optimizer, Stepper) and optimizer.net is not net:
        raise SettingError("optimizer is a stepper of another network: bind the optimizer to this network.")
    if not isinstance(optimizer, (Optimizer, Stepper)):
        kind = optimizer if isinstance(optimizer, type) else type(optimizer)
        wrong = f"{'the class' if kind is optimizer else 'an instance of'} {kind.__module__}.{kind.__name__}"
        hint = " Those of graphdl have the same names and settings." if kind.__module__.startswith("torch.") else ""
        raise SettingError(
            f"optimizer must be an optimizer of graphdl.optim such as Adam(lr=1e-3), or a stepper, not {wrong}.{hint}"
        )
    if not is_whole_number(epochs) or epochs < 1:
        raise SettingError(f"epochs must be a number of passes through the data, 1 or more, not {epochs!r}.")
    return int(epochs)
