"""The training of one member, epoch by epoch: what fit does, so that members can take turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from graphdl.arguments import new_generator
from graphdl.data import Batches
from graphdl.optim import Gathering
from graphdl.optim.penalties import Penalties
from graphdl.search.member import Member, Recipe, State
from graphdl.search.shared import SharedData
from graphdl.training import EarlyStopping
from graphdl.training.evaluation import Validation
from graphdl.training.hooks import Callbacks
from graphdl.training.scoring import Scorer

Mark: TypeAlias = tuple[list[Tensor], int, Tensor]


class Run:
    """A member in training. A way of training makes its epochs, and `record` takes their figures.

    data, validation   where its rows come from
    batches    an epoch of its rows, in an order drawn from its seed
    stepper    its optimizer, bound to its network
    scorer     measures losses and metrics of steps
    validate   the figures of its validation data after an epoch; {} if there are none
    callbacks  its own copies of the callbacks
    gathering  clipping and accumulation of gradients
    careful    whether its epochs are made one at a time, because one of several has failed

    Parameters and buffers at the end of the last epoch are kept: a member that fails or is interrupted gets them back.
    """

    def __init__(self, member: Member, recipe: Recipe, data: SharedData, validation: SharedData | None) -> None:
        net = member.net
        self.member, self.recipe, self.data, self.validation = member, recipe, data, validation
        self.careful = False
        self.generator = net.generator if member.seed is None else new_generator(member.seed)
        named = data.named(net)
        self.batches = Batches(named, recipe.batch_size, recipe.shuffle, self.generator, member.rows)
        self.scorer = Scorer(net, recipe.metrics)
        chosen, held = member.validation_rows, None if validation is None else validation.named(net)
        self.validate = Validation(net, self.scorer, held if chosen is None else named, recipe.epochs, chosen=chosen)
        self.callbacks = Callbacks(copy.deepcopy(tuple(recipe.callbacks)))
        self.stepper = member.optimizer.bind(net)
        self.gathering = Gathering(recipe.clip_norm, recipe.clip_value, recipe.accumulate, member.penalties)
        self._terms = Penalties(member.penalties, [*self.scorer.names, *self.validate.names])
        self._tensors = [net.engine.store.flat, *net.buffers.values()]
        self._good = [tensor.clone() for tensor in self._tensors]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the figures of an epoch."""
        return (*self.scorer.names, *self._terms.names, *self.validate.names)

    def terms(self) -> dict[str, float]:
        """The penalties by name, of the parameters as they are."""
        return self._terms.values(self.member.net.engine.store)

    @property
    def epoch(self) -> int:
        """The number of epochs made."""
        return self.member.history.epochs

    def begin(self) -> None:
        """Before the first epoch, call the callbacks' on_fit_start."""
        if self.member.state == "waiting":
            self.callbacks.start(self.member.net, self.stepper, self.member.history)
            self.member.state = "training"

    def flaw(self, made: Sequence[Mapping[str, float]]) -> str | None:
        """What is not finite in the figures of epochs, or after them; None if all is."""
        for figures in made:
            if not math.isfinite(figures["loss"]):
                return f"the loss is {figures['loss']}"
        finite = math.isfinite(torch.linalg.vector_norm(self._tensors[0], math.inf))
        return None if finite else "a parameter is not finite"

    def record(self, made: Sequence[Mapping[str, float]], seconds: float) -> None:
        """Take the figures of epochs and their duration, and decide whether training goes on."""
        member = self.member
        if flaw := self.flaw(made):
            return self.fail(flaw)
        for figures in made:
            member.history.append(figures)
        member.history.seconds += seconds
        member.kept = member.history.epochs
        self.keep()
        try:
            ended = self.callbacks.epoch_end()
        except Exception as error:
            return self.fail(error, self.epoch)
        if self.callbacks.given:
            self.keep()  # a callback may have changed parameters
        if ended:
            self.end("stopped")
        elif self.epoch >= self.recipe.epochs:
            self.end("finished")

    def keep(self) -> None:
        """Keep parameters and buffers as they are now."""
        for good, tensor in zip(self._good, self._tensors, strict=True):
            good.copy_(tensor)

    def mark(self) -> Mark:
        """What `go_back` needs beside the parameters and buffers that are kept."""
        state, _ = self.stepper.memory()
        return [vector.clone() for vector in state], self.stepper.steps, self.member.net.engine.chance.get_state()

    def go_back(self, mark: Mark) -> None:
        """Return to the end of the last epoch, where the mark was made before several were begun.

        From now on, one epoch is made at a time.
        """
        self.careful = True
        state, steps, chance = mark
        self._restore()
        for vector, before in zip(self.stepper.memory()[0], state, strict=True):
            vector.copy_(before)
        self.stepper.advance(steps - self.stepper.steps)
        self.batches.keep(0)
        self.member.net.engine.chance.set_state(chance)

    def _restore(self) -> None:
        """Give back the parameters and buffers that were kept last."""
        for good, tensor in zip(self._good, self._tensors, strict=True):
            tensor.copy_(good)

    def fail(self, reason: Exception | str, epoch: int | None = None) -> None:
        """End training because of an error in an epoch, the next one by default; the parameters kept last stay."""
        self._note(reason, self.epoch + 1 if epoch is None else epoch)
        self.end("failed")

    def end(self, state: State) -> None:
        """End training, with the parameters that were kept last, or those that callbacks restore."""
        self._restore()
        self.member.state = state
        try:
            self.callbacks.end()
        except Exception as error:
            if state != "failed":
                self.member.state = "failed"
                self._note(error, self.epoch)
        stopping = [each for each in self.callbacks.given if isinstance(each, EarlyStopping)]
        if stopping and stopping[-1].best_epoch:
            self.member.kept = stopping[-1].best_epoch

    def _note(self, reason: Exception | str, epoch: int) -> None:
        """Note why training failed."""
        if isinstance(reason, Exception):
            self.member.cause, reason = reason, f"{type(reason).__name__}: {reason}"
        self.member.error = f"epoch {epoch}: {reason}"
