"""An epoch of training: batch by batch, or compiled, many batches a call. Both give the same figures to rounding."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import torch

from graphdl.data import Batches
from graphdl.errors import CompileError, GraphDLWarning
from graphdl.execution.compiled import CompiledSteps
from graphdl.training.batching import Batch
from graphdl.training.scoring import Means, rows_of
from graphdl.training.step import TrainingStep
from graphdl.training.threads import choose_threads


class SteppedEpoch:
    """Makes a step on one batch after another."""

    def __init__(self, step: TrainingStep) -> None:
        self._step = step

    @torch.inference_mode()
    def __call__(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Train on the batches; return the mean figures, {} if there was no batch."""
        means = Means()
        for batch in batches:
            means.add(self._step(batch))
        return means.figures()


class CompiledEpoch:
    """Makes the steps on many batches by one call of C++.

    The first step is made by the operators, with every check. So are those on batches of another shape than the first
    one's, and a step that cannot be made, because its loss is not finite or a class index wrong: the operators then say
    what is wrong. If nothing can be compiled, all steps are made so, and one GraphDLWarning says why.
    """

    def __init__(self, step: TrainingStep) -> None:
        self._step = step
        self._steps: CompiledSteps | None = None
        self._others = 0
        self._warned = False

    def __call__(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Train on the batches; return the mean figures, {} if there was no batch."""
        means, self._others = Means(), 0
        with torch.inference_mode():
            for block in blocks_of(batches):
                made, count = 0, len(next(iter(block.values())))
                while made < count:
                    made += self._make_steps({name: tensor[made:] for name, tensor in block.items()}, means)
                    if made < count:
                        means.add(self._step({name: tensor[made] for name, tensor in block.items()}))
                        made += 1
        return means.figures()

    def _make_steps(self, block: Batch, means: Means) -> int:
        """Make as many steps as can be made compiled; return their number."""
        step = self._step
        if not step.ready or (self._steps is None and self._warned):
            return 0
        shapes = {name: (tensor.shape[1:], tensor.dtype) for name, tensor in block.items()}
        try:
            if self._steps is None:
                self._check_threads(block)
                self._steps = CompiledSteps(step.net.engine, step.stepper, step.scorer.targets, shapes)
            if self._steps.shapes != shapes:
                self._others += 1
                if self._others > 1:
                    self._warn("batches of other shapes than the first one's are not compiled")
                return 0
            done, (_, *values) = self._steps.run(block)
        except CompileError as error:
            self._steps = None
            self._warn(str(error))
            return 0
        if done:
            made = {name: tensor[:done] for name, tensor in block.items()}
            means.add(step.scorer.mean(made, [value[:done] for value in values]))
        return done

    def _check_threads(self, block: Batch) -> None:
        """Refuse a step that the operators share out: but for BLAS, a compiled one runs on one thread."""
        rows, threads = rows_of({name: tensor[0] for name, tensor in block.items()}), torch.get_num_threads()
        if threads > 1 and choose_threads(self._step.net, rows, threads) > 1:
            raise CompileError(f"a step is worth {threads} threads, and a compiled one takes 1; threads=1 compiles it")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"fit(compile=True) trains step by step: {reason}.", GraphDLWarning, stacklevel=5)


def blocks_of(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches of equally many rows, stacked: {name: (K, n, ...)}; of other iterables than Batches each by itself."""
    if isinstance(batches, Batches):
        yield from batches.blocks()
    else:
        for batch in batches:
            yield {name: tensor[None] for name, tensor in batch.items()}
