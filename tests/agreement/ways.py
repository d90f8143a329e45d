"""Every way of making a step, on copies of a drawn network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch

from graphdl import Network, fit
from graphdl.errors import CompileError
from graphdl.execution import replay
from graphdl.execution.compiled import CompiledPasses
from graphdl.optim import moves
from graphdl.search import fit_all
from graphdl.training import guard, recording
from graphdl.training.step import TrainingStep
from tests.agreement.networks import EPOCHS, STEPS, Drawn
from tests.agreement.reference import Result
from tests.host_reads import host_reads_refused

NEVER = 10**9


@dataclass
class Trained:
    """What a way of training gave, and how it went.

    used    how many steps were made in the way that is meant: replayed, or compiled
    reason  why none was, "" if some were
    """

    result: Result
    used: int = 0
    reason: str = ""
    warnings: list[str] = field(default_factory=list)


@contextmanager
def settings(drawn: Drawn, replayed: bool) -> Iterator[None]:
    """What a network is trained with, whatever a replay gains, or with no replay at all."""
    with ExitStack() as stack:
        if drawn.training.large is not None:
            stack.enter_context(patch.object(moves, "LARGE", drawn.training.large))
        if replayed:
            stack.enter_context(patch.object(replay, "SAVED_BY_A_CALL", 1e9))
        else:
            stack.enter_context(patch.object(recording, "SIGHTS", NEVER))
        yield


def own_loop(drawn: Drawn) -> Trained:
    """Forward, backward, step."""
    net, result = drawn.network(), Result()
    stepper = drawn.training.optimizer.bind(net)
    with settings(drawn, replayed=False):
        for k in range(EPOCHS * STEPS):
            batch = drawn.batches()[k % STEPS]
            net.forward({name: batch[name] for name in net.inputs})
            weights = {key: drawn.operator(key).weight for key in drawn.losses}
            loss = sum(weight * float(net.values[key].sum()) for key, weight in weights.items())
            result.losses[f"step {k + 1}"] = loss
            net.backward()
            stepper.step(**drawn.training.gathering)
            if (k + 1) % STEPS == 0:
                result.states[k + 1] = net.state_dict()
    return Trained(result, used=EPOCHS * STEPS)


def fitted(drawn: Drawn, **options: Any) -> Trained:
    """The function fit, epoch by epoch in one call."""
    net, result = drawn.network(), Result()

    def keep(net: Network, history: Any) -> None:
        result.states[STEPS * len(history["loss"])] = net.state_dict()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(
            net, {name: drawn.inputs[name] for name in net.inputs}, optimizer=drawn.training.optimizer, epochs=EPOCHS,
            batch_size=drawn.rows, shuffle=False, callbacks=[keep], progress=False, **drawn.training.gathering,
            **options,
        )  # fmt: skip
    result.losses = {f"epoch {k}": loss for k, loss in enumerate(history["loss"], 1)}
    texts = [str(each.message) for each in caught]
    return Trained(result, warnings=[text for text in texts if "leads to no loss" not in text])


def by_operators(drawn: Drawn) -> Trained:
    """The function fit, without a replay."""
    with settings(drawn, replayed=False):
        trained = fitted(drawn)
    trained.used = EPOCHS * STEPS
    return trained


def guarded(drawn: Drawn, refusing: bool = False) -> Trained:
    """The function fit, with losses that stay on the device, as on a GPU.

    refusing  whether a step may read a number on the host, once the first update has been checked
    """
    make = TrainingStep.make
    used = 0

    def count(self: TrainingStep, *args: Any) -> None:
        nonlocal used
        used += 1
        with host_reads_refused() if refusing and not self.stepper._first.open else nullcontext():
            make(self, *args)

    forced = patch.object(guard, "GUARDED", {"cpu"})
    with settings(drawn, replayed=not refusing), forced, patch.object(TrainingStep, "make", count):
        trained = fitted(drawn)
    trained.used = used
    return trained


@contextmanager
def watched_recordings() -> Iterator[list[Any]]:
    """Notes all recordings that are made, each with the count of its replayed steps."""
    found: list[Any] = []
    begin, step = recording.Recording.__init__, recording.Recording._replay

    def note(self: Any, *args: Any) -> None:
        self.replays = 0
        found.append(self)
        begin(self, *args)

    def count(self: Any, between: Any) -> None:
        self.replays += 1
        step(self, between)

    with patch.object(recording.Recording, "__init__", note), patch.object(recording.Recording, "_replay", count):
        yield found


def why_not_replayed(drawn: Drawn, found: list[Any]) -> str:
    """Why no step was replayed."""
    if drawn.custom:
        return "custom operators"
    for each in found:
        if each._tapes and each._tapes[-1].obstacle:
            return f"obstacle: {each._tapes[-1].obstacle}"
        if len(each._tapes) == 2 and not each._tapes[1].same_as(each._tapes[0]):
            return "recordings differ"
        if len(each._tapes) == 2:
            return "replay is refused"
    return "nothing was recorded"


def replayed(drawn: Drawn, **options: Any) -> Trained:
    """The function fit, with steps that are recorded and replayed."""
    with settings(drawn, replayed=True), watched_recordings() as found:
        trained = fitted(drawn, **options)
    trained.used = sum(each.replays for each in found)
    trained.reason = "" if trained.used else why_not_replayed(drawn, found)
    return trained


def recomputed(drawn: Drawn) -> Trained:
    """The function fit, with nodes that are computed twice; replayed as well."""
    trained = replayed(drawn, recompute=drawn.recompute)
    trained.used = EPOCHS * STEPS if drawn.recompute else 0
    trained.reason = "" if drawn.recompute else "no node drawn to be recomputed"
    return trained


def resumed(drawn: Drawn) -> Trained:
    """The function fit, called for each epoch with one stepper: bit for bit as called once."""
    net, result, losses = drawn.network(), Result(), []
    with settings(drawn, replayed=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stepper = drawn.training.optimizer.bind(net)
        for epoch in range(EPOCHS):
            history = fit(
                net, {name: drawn.inputs[name] for name in net.inputs}, optimizer=stepper, epochs=1,
                batch_size=drawn.rows, shuffle=False, progress=False, **drawn.training.gathering,
            )  # fmt: skip
            losses += history["loss"]
            result.states[(epoch + 1) * STEPS] = net.state_dict()
    result.losses = {f"epoch {k}": loss for k, loss in enumerate(losses, 1)}
    once = replayed(drawn).result
    for steps, state in result.states.items():
        for name, tensor in state.items():
            assert torch.equal(tensor, once.states[steps][name]), f"{name} after {steps} steps, not bit for bit"
    return Trained(result, used=EPOCHS * STEPS)


@contextmanager
def counted_steps() -> Iterator[list[int]]:
    """Notes how many steps each call of C++ makes."""
    made: list[int] = []
    end = CompiledPasses._end

    def count(self: Any) -> Any:
        done, found = end(self)
        made.append(done)
        return done, found

    with patch.object(CompiledPasses, "_end", count):
        yield made


def compiled(drawn: Drawn) -> Trained:
    """The function fit with compile=True."""
    with settings(drawn, replayed=False), counted_steps() as made:
        trained = fitted(drawn, compile=True)
    prefix = "fit(compile=True) trains step by step: "
    reasons = [text.removeprefix(prefix) for text in trained.warnings if text.startswith(prefix)]
    trained.used = sum(made[1:])  # the first one is made to compare it
    trained.reason = "" if trained.used else next(iter(reasons), "without a word")
    return trained


def net_compiled(drawn: Drawn) -> Trained:
    """The steps of net.compile, on all batches of an epoch at once."""
    if drawn.training.gathering or drawn.last != drawn.rows:
        return Trained(Result(), reason="not drawn for it")
    net, result, losses = drawn.network(), Result(), []
    data = {name: drawn.inputs[name] for name in net.inputs}
    example = {name: tensor[: drawn.rows] for name, tensor in data.items()}
    with counted_steps() as made:
        try:
            steps = net.compile(drawn.training.optimizer, example)
            stacked = {name: data[name].unflatten(0, (STEPS, drawn.rows)) for name in steps.shapes}
            for epoch in range(EPOCHS):
                losses += steps(stacked).tolist()
                result.states[(epoch + 1) * STEPS] = net.state_dict()
        except CompileError as error:
            return Trained(Result(), reason=str(error))
    result.losses = {f"step {k}": loss for k, loss in enumerate(losses, 1)}
    return Trained(result, used=sum(made[1:]))


def together(drawn: Drawn) -> Trained:
    """The function fit_all: the network trains between two others of its structure, whose library it uses."""
    nets = [replace(drawn, seed=drawn.seed + k).network() for k in (1, 0, 2)]
    with settings(drawn, replayed=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sweep = fit_all(
            nets, {name: drawn.inputs[name] for name in nets[1].inputs}, optimizers=drawn.training.optimizer,
            epochs=EPOCHS, batch_size=drawn.rows, shuffle=False, backend="compiled", progress=False,
            **drawn.training.gathering,
        )  # fmt: skip
    row = sweep.table[1]
    if row["error"]:
        raise RuntimeError(row["error"])
    losses = {f"epoch {k}": loss for k, loss in enumerate(sweep.histories[1]["loss"], 1)}
    used = EPOCHS * STEPS if row["way"] == "compiled" else 0
    return Trained(Result({EPOCHS * STEPS: nets[1].state_dict()}, losses), used, "" if used else row["way"])


WAYS: dict[str, Callable[[Drawn], Trained]] = {
    "loop": own_loop,
    "operators": by_operators,
    "guarded": guarded,
    "replay": replayed,
    "recompute": recomputed,
    "resume": resumed,
    "compile": compiled,
    "net.compile": net_compiled,
    "together": together,
}
COMPILING = "compile", "net.compile", "together"
