"""The random numbers of the steps of a block, drawn beforehand: the same calls in the same order as step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from graphdl.errors import CompileError
from graphdl.execution.plan import Plan, Step
from graphdl.operators import Operator

Outlines: TypeAlias = Mapping[int, tuple[Sequence[int], torch.dtype]]

DRAWN_BYTES = 1 << 20
ALLOWED = {"shape", "dtype", "device", "is_cuda", "is_meta", "requires_grad", "layout", "ndim"}
METHODS = {"size", "numel", "dim", "is_floating_point", "__len__", "stride", "nelement"}


class Outline(Tensor):
    """A tensor of which only the layout may be asked."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer what is asked of the layout, and refuse the rest."""
        getter = getattr(function, "__self__", None)
        name = getattr(getter, "__name__", "") if function.__name__ == "__get__" else ""
        if name in ALLOWED or function.__name__ in METHODS:
            return super().__torch_function__(function, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        raise CompileError(f"what is drawn depends on the values of the input ({name or function.__name__})")


def outline(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor that has a layout and no values."""
    return torch.zeros((), dtype=dtype).expand(tuple(shape)).as_subclass(Outline)


class Chance:
    """Draws for whole blocks of steps.

    outlines   index -> (shape, type) of each value that a drawing operator reads
    positions  of the steps that draw; examples holds what each may draw
    """

    def __init__(self, plan: Plan, outlines: Outlines, generator: Generator) -> None:
        self._generator = generator
        self._operators: list[tuple[Operator, list[Tensor | None]]] = []
        self._before: Tensor | None = None
        self._count = 0
        self.positions: list[int] = []
        self.examples: list[Tensor] = []
        for k in sorted(plan.drawing):
            step = plan.steps[k]
            if step.frozen:
                continue
            if any(i not in outlines for i in step.reads if i != plan.absent):
                raise CompileError(f"{step.name} draws by a tuple of tensors")
            reads = [None if i == plan.absent else outline(*outlines[i]) for i in step.reads]
            example = self._try(step, reads)
            if example is not None:
                self._operators.append((step.operator, reads))
                self.positions.append(k)
                self.examples.append(example)

    def _try(self, step: Step, reads: list[Tensor | None]) -> Tensor | None:
        try:
            example = step.operator.draw(*reads, generator=Generator().manual_seed(0))
        except CompileError:
            raise
        except Exception as error:
            raise CompileError(f"{step.name} cannot draw beforehand: {error}") from error
        if example is not None and type(example) is not Tensor:
            raise CompileError(f"{step.name} draws something else than a tensor")
        return example

    @property
    def steps_at_once(self) -> int:
        """For how many steps a block is drawn, so that it takes little memory."""
        return max(1, DRAWN_BYTES // max(1, sum(each.nbytes for each in self.examples)))

    def draw(self, count: int) -> list[Tensor]:
        """What each operator draws in so many steps, (count, ...)."""
        if not self._operators:
            return []
        self._before, self._count = self._generator.get_state(), count
        drawn: list[list[Tensor]] = [[] for _ in self._operators]
        for _ in range(count):
            for each, (operator, reads) in zip(drawn, self._operators, strict=True):
                each.append(operator.draw(*reads, generator=self._generator))
        return [torch.stack(each) for each in drawn]

    def keep(self, made: int) -> None:
        """Undo what the last `draw` has drawn for other steps than the first ones, or for all if it was interrupted."""
        before, self._before = self._before, None
        if before is not None and made < self._count:
            self._generator.set_state(before)
            for _ in range(made):
                for operator, reads in self._operators:
                    operator.draw(*reads, generator=self._generator)
