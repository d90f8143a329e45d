"""The training of one member, epoch by epoch: what fit does, so that members can take turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch

from graphdl.arguments import new_generator
from graphdl.data import Batches
from graphdl.errors import GraphDLError
from graphdl.optim import Gathering
from graphdl.search.member import Member, Recipe, State
from graphdl.search.shared import SharedData
from graphdl.training import EarlyStopping
from graphdl.training.evaluation import Validation
from graphdl.training.hooks import Callbacks
from graphdl.training.scoring import Scorer


class Run:
    """A member in training. A way of training makes its epochs, and `record` takes their figures.

    data, validation   where its rows come from
    batches    an epoch of its rows, in an order drawn from its seed
    stepper    its optimizer, bound to its network
    scorer     measures losses and metrics of steps
    validate   the figures of its validation data after an epoch; {} if there are none
    callbacks  its own copies of the callbacks
    gathering  clipping and accumulation of gradients

    Parameters and buffers at the end of the last epoch are kept: a member that fails or is interrupted gets them back.
    """

    def __init__(self, member: Member, recipe: Recipe, data: SharedData, validation: SharedData | None) -> None:
        net = member.net
        self.member, self.recipe, self.data, self.validation = member, recipe, data, validation
        self.generator = net.generator if member.seed is None else new_generator(member.seed)
        named = data.named(net)
        self.batches = Batches(named, recipe.batch_size, recipe.shuffle, self.generator, member.rows)
        self.scorer = Scorer(net, recipe.metrics)
        chosen, held = member.validation_rows, None if validation is None else validation.named(net)
        self.validate = Validation(net, self.scorer, held if chosen is None else named, recipe.epochs, chosen)
        self.callbacks = Callbacks(copy.deepcopy(tuple(recipe.callbacks)))
        self.stepper = member.optimizer.bind(net)
        self.gathering = Gathering(recipe.clip_norm, recipe.clip_value, recipe.accumulate)
        self._tensors = [net.engine.store.flat, *net.buffers.values()]
        self._good = [tensor.clone() for tensor in self._tensors]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the figures of an epoch."""
        return (*self.scorer.names, *self.validate.names)

    @property
    def epoch(self) -> int:
        """The number of epochs made."""
        return self.member.history.epochs

    def begin(self) -> None:
        """Before the first epoch, call the callbacks' on_fit_start."""
        if self.member.state == "waiting":
            self.callbacks.start(self.member.net, self.stepper, self.member.history)
            self.member.state = "training"

    def record(self, figures: Mapping[str, float], seconds: float) -> None:
        """Take the figures of an epoch and its duration, and decide whether training goes on."""
        member = self.member
        if not math.isfinite(figures["loss"]):
            return self.fail(f"the loss is {figures['loss']}")
        if not math.isfinite(torch.linalg.vector_norm(self._tensors[0], math.inf)):
            return self.fail("a parameter is not finite")
        member.history.append(figures)
        member.history.seconds += seconds
        member.kept = member.history.epochs
        self.keep()
        ended = self.callbacks.epoch_end()
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

    def fail(self, reason: GraphDLError | str) -> None:
        """End training because of an error, with the parameters that were kept last."""
        if isinstance(reason, GraphDLError):
            self.member.cause, reason = reason, f"{type(reason).__name__}: {reason}"
        self.member.error = f"epoch {self.epoch + 1}: {reason}"
        self.end("failed")

    def end(self, state: State) -> None:
        """End training, with the parameters that were kept last, or those that callbacks restore."""
        for good, tensor in zip(self._good, self._tensors, strict=True):
            tensor.copy_(good)
        self.member.state = state
        self.callbacks.end()
        stopping = [each for each in self.callbacks.given if isinstance(each, EarlyStopping)]
        if stopping and stopping[-1].best_epoch:
            self.member.kept = stopping[-1].best_epoch
