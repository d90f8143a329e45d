"""The loss of a network on a batch as a function of one vector, as minimizers take it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

import numpy
import torch
from torch import Tensor

from graphdl.errors import NonFiniteError, SettingError, listing
from graphdl.execution.state import Snapshot
from graphdl.optim import Numbers, Optimizer
from graphdl.optim.numbers import State
from graphdl.optim.penalties import Penalties
from graphdl.training.batching import Batch
from graphdl.training.means import Means
from graphdl.training.step import TrainingStep

Vector: TypeAlias = numpy.ndarray[Any, numpy.dtype[numpy.float64]]


class KeepGradient(Optimizer):
    """Leaves the parameters as they are, and keeps the gradient."""

    joint: ClassVar[bool] = True

    def state(self, w: Tensor) -> State:
        """The gradient by all parameters."""
        return (torch.zeros_like(w),)

    def update(self, w: Tensor, g: Tensor, state: State, s: Numbers) -> tuple[Tensor, State]:
        """Keep the gradient."""
        return w, (g,)


class Objective:
    """x -> (loss, gradient): the losses and penalties of a network as a function of the parameters that are trained.

    step     of training, by KeepGradient
    start    the parameters at first
    figures  the losses, metrics and penalties at the point that was evaluated last

    Where the loss or the gradient is not finite, it gives a loss worse than all others, and a gradient that points away
    from the best parameters, so that a line search turns back. Raises NonFiniteError if that is so at the start,
    SettingError if operators draw random numbers.
    """

    def __init__(self, step: TrainingStep, batch: Batch, penalties: Penalties) -> None:
        self.net, self._step, self._batch, self._penalties = step.net, step, batch, penalties
        with torch.inference_mode():
            step.prepare(batch)
        store = self.net.engine.store
        nodes = {extent.node for extent in step.moves.extents}
        self._places = [store.flat[each.start : each.stop] for run in store.runs(nodes) for each in run]
        self._sizes = [len(place) for place in self._places]
        self.start = self._x = self._best_x = _vector(torch.cat(self._places))
        self._best, self._worst = math.inf, -math.inf
        self.figures: dict[str, float] = {}
        with Snapshot(self.net.engine):
            self._measure()
            self._refuse_random_numbers()

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """The loss and its gradient at a point. Running statistics stay as they are."""
        self._go_to(x)
        try:
            with Snapshot(self.net.engine):
                return self._measure()
        except NonFiniteError:
            loss, away = self._worst + abs(self._worst) + 1, x - self._best_x
            return loss, (loss - self._best) / (away @ away) * away

    def iterate(self, x: Vector) -> None:
        """Measure the figures at the point that an iteration has reached, and update running statistics there."""
        if self.net.buffers or not numpy.array_equal(x, self._x):
            self._go_to(x)
            self._measure()

    def product(self, x: Vector, p: Vector) -> Vector:
        """The Hessian at x times p, by central differences of the gradient."""
        length = float(numpy.linalg.norm(p))
        if length == 0:
            return numpy.zeros_like(p)
        h = torch.finfo(self.net.dtype).eps ** (1 / 3) * max(1.0, float(numpy.linalg.norm(x))) / length
        found: Vector = (self(x + h * p)[1] - self(x - h * p)[1]) / (2 * h)
        return found

    def hessian(self, x: Vector) -> Vector:
        """The Hessian at x, one product for each parameter."""
        columns: Vector = numpy.stack([self.product(x, unit) for unit in numpy.eye(len(x))])
        found: Vector = (columns + columns.T) / 2
        return found

    def measure_best(self) -> None:
        """Measure the figures at the best point that was found. Running statistics stay as they are."""
        self(self._best_x)

    @contextmanager
    def best_kept(self) -> Iterator[None]:
        """A context at whose end, however it comes, the network gets the best parameters that were found."""
        try:
            yield
        finally:
            self._go_to(self._best_x)

    @torch.inference_mode()
    def _go_to(self, x: Vector) -> None:
        """Give the network these parameters."""
        if not self._step.ready:
            raise SettingError("minimize: nodes were frozen or the network moved between iterations. Do that before.")
        self._x = numpy.array(x, numpy.float64)
        for place, part in zip(self._places, torch.split(torch.from_numpy(self._x), self._sizes), strict=True):
            place.copy_(part)

    @torch.inference_mode()
    def _measure(self) -> tuple[float, Vector]:
        """The loss and its gradient where the network is."""
        score = self._step(self._batch)
        terms = self._penalties.values(self.net.engine.store)
        (gradient,), _ = self._step.stepper.memory()
        loss, slope = score.loss + sum(terms.values()), _vector(gradient)
        if not math.isfinite(loss) or not numpy.isfinite(slope).all():
            raise NonFiniteError("The loss is finite, and its gradient or a penalty is not: scale the data.")
        means = Means(self._step.scorer)
        means.add(score)
        self.figures = means.figures() | terms
        self._worst = max(self._worst, loss)
        if loss < self._best:
            self._best, self._best_x = loss, self._x
        return loss, slope

    def _refuse_random_numbers(self) -> None:
        """Raise SettingError if a pass changes the state of a random generator."""
        engine = self.net.engine
        before = engine.chance.get_state(), torch.get_rng_state()
        self._measure()
        if not all(map(torch.equal, before, (engine.chance.get_state(), torch.get_rng_state()))):
            plan = engine.plan(engine.losses)
            drawing = [plan.steps[k] for k in sorted(plan.drawing) if not plan.steps[k].frozen]
            calls = ", ".join(repr(step.key) for step in drawing) or "node"
            raise SettingError(
                "minimize: the loss must be a function of the parameters alone, and random numbers are drawn by "
                f"{listing(step.name for step in drawing) or 'an operator'}. Call net.freeze({calls}), which then runs "
                "as in inference; or use fit."
            )


def _vector(tensor: Tensor) -> Vector:
    return tensor.to("cpu", torch.float64).numpy().copy()
