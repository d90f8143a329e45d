"""fit: training on the losses of a network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

from graphdl.arguments import new_generator
from graphdl.errors import GraphDLWarning, MissingInputError, SettingError, did_you_mean, listing
from graphdl.graph import Key, ancestors
from graphdl.network import Network
from graphdl.optim import Gathering, Optimizer, Stepper
from graphdl.training.batching import make_batches, repeatable
from graphdl.training.callbacks import Callback
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.evaluation import Validation
from graphdl.training.history import History
from graphdl.training.hooks import Callbacks, EpochEnd
from graphdl.training.metrics import Metric
from graphdl.training.progress import EpochProgress
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from graphdl.training.threads import check_threads, threads_restored


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
    seed: int | None = None,
    threads: int | None = None,
    compile: bool = False,  # noqa: A002
    recompute: Sequence[Key] = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
    accumulate: int = 1,
    progress: bool = True,
) -> History:
    """Train a network on its losses; return the history of its figures.

    inputs      {name: tensor or array}; or a tensor for the single input, with `targets` for the single target; or an
                iterable of batches, each {name: tensor} or a pair (input, target), which needs no batch_size
    validation  data in the same forms, or a pair (inputs, targets): evaluated after every epoch
    metrics     "accuracy", or functions (prediction, target) -> number
    callbacks   see graphdl.training.Callback; or functions (net, history), called after every epoch; training ends when
                one returns True
    shuffle     draws a fresh order of the rows every epoch, from `seed`, or else from the network's own generator
    threads     how many torch may use meanwhile; None takes one for a step too small to share out
    compile     makes the steps of many batches by one call of C++, which is compiled first: see the guide
    recompute   nodes whose values are not kept for backward but computed twice, to save memory: see net.cost
    clip_norm   scales all gradients together so that their norm is at most this, as torch.nn.utils.clip_grad_norm_
    clip_value  keeps every element of a gradient within ±clip_value, before that
    accumulate  makes an update every so many batches, by the mean of their gradients
    progress    shows a bar on a terminal

    Training figures are means over the epoch's batches, each measured before its update. Errors: NonFiniteError names
    the first node whose value is not finite, and leaves parameters and buffers as they were before that step;
    UnreachableError if no parameter can be trained; MissingInputError, SettingError. A GraphDLWarning tells of
    parameters that lead to no loss.
    """
    _check(net, optimizer, epochs)
    check_threads(threads)
    if compile and recompute:
        raise SettingError("recompute and compile=True do not go together: a compiled step plans its memory itself.")
    calls = Callbacks(callbacks)
    generator = net.generator if seed is None else new_generator(seed)
    batches = repeatable("inputs", make_batches(net, inputs, targets, batch_size, shuffle, generator), epochs)
    scorer, gathering = Scorer(net, metrics), Gathering(clip_norm, clip_value, accumulate)
    validate = Validation(net, scorer, validation, epochs)
    stepper = optimizer if isinstance(optimizer, Stepper) else optimizer.bind(net)
    step = TrainingStep(net, stepper, scorer, threads, recompute, gathering, together=compile)
    calls.check([*scorer.names, *validate.names])
    train = (CompiledEpoch if compile else SteppedEpoch)(step, calls.step_end if calls.wants_steps else None)
    history, start = History(), time.perf_counter()
    with calls.around(net, stepper, history), threads_restored(), EpochProgress(epochs, progress) as bar:
        for _ in range(epochs):
            calls.epoch_start()
            figures = train(batches)
            step.finish()
            if not figures:
                raise SettingError("inputs held no batch: there is nothing to train on.")
            figures |= validate()
            history.append(figures)
            history.seconds = time.perf_counter() - start
            bar.advance(figures)
            if calls.epoch_end():
                break
    return history


def _check(net: Network, optimizer: object, epochs: object) -> None:
    if isinstance(optimizer, Stepper) and optimizer.net is not net:
        raise SettingError("optimizer is a stepper that is bound to another network: bind one to this network.")
    if not isinstance(optimizer, (Optimizer, Stepper)):
        wrong = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else f"a {type(optimizer).__name__}"
        raise SettingError(f"optimizer is an Optimizer such as Adam(lr=1e-3), or a stepper, not {wrong}.")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise SettingError(f"epochs is how often to go through the data, 1 or more, not {epochs!r}.")
    if not net.losses:
        raise MissingInputError("fit trains on losses, and the network has no loss node: add one, such as MSELoss().")
    _warn_of_dead_ends(net)


def _warn_of_dead_ends(net: Network) -> None:
    """Tell of operators whose parameters lead to no loss: an edge is forgotten or misspelt, most likely."""
    engine = net.engine
    leading = {net.graph.nodes[key]["owner"] for key in ancestors(net.graph, net.losses)}
    for key, operator in engine.operators.items():
        if key in leading or key in engine.frozen or (operator.complete and not operator.parameters()):
            continue
        named = [name for name in engine.inputs if name not in engine.operators]
        warnings.warn(
            f"{key} ({type(operator).__name__}) has parameters and leads to no loss, so nothing trains it."
            f"{did_you_mean(key, named)} The inputs are {listing(map(repr, engine.inputs))}: is one of them a misspelt "
            f"node, or an edge forgotten? If it is meant so, net.freeze({key!r}).",
            GraphDLWarning,
            stacklevel=4,
        )
