"""One case of one operator: what it is given, what it computes by hand, and what torch computes.

    CASES = [Case("tanh", Tanh(), [(4, 3)], lambda p, x: torch.tanh(x))]

    @every_check
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_contract(check, case):
        check(case)

`every_check` stands in tests/operators/checks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphdl import Operator


@dataclass(frozen=True, eq=False)
class Case:
    """An operator, what it is given, and the same in torch.

    inputs     of each input its shape, or a function from a generator to a tensor; () for an operator without slots
    reference  (parameters and buffers, *inputs) -> output or tuple of outputs, which torch can differentiate where
               they are floats; also takes drawn= where the operator draws
    batched    whether the first axis of every input is the batch
    small      the sizes of small batches that the operator takes
    training   the mode in which it is checked
    """

    name: str
    operator: Operator
    inputs: Sequence[tuple[int, ...] | Callable[[torch.Generator], Tensor]]
    reference: Callable[..., Any]
    batched: bool = True
    small: Sequence[int] = (1, 0)
    training: bool = True

    def __str__(self) -> str:
        return self.name

    def draw(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Random parameters and buffers, and inputs."""
        generator = torch.Generator().manual_seed(seed)
        xs = [given(generator) if callable(given) else normal(given, generator) for given in self.inputs]
        operator = self.complete()
        p = {name: normal(parameter.shape, generator).to(dtype) for name, parameter in operator.parameters().items()}
        for name, buffer in operator.buffers().items():
            p[name] = normal(buffer.shape, generator).abs().to(buffer.dtype or dtype)
        return p, [x.to(dtype) if x.is_floating_point() else x for x in xs]

    def complete(self) -> Operator:
        """The operator with the sizes that follow from the inputs."""
        generator = torch.Generator().manual_seed(0)
        shapes = [given(generator).shape if callable(given) else torch.Size(given) for given in self.inputs]
        return self.operator.infer(*shapes)

    def parameters(self, p: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of the tensors that are no buffers."""
        return {name: p[name] for name in self.complete().parameters()}

    def forward(self, p: dict[str, Tensor], xs: Sequence[Tensor], operator: Operator | None = None) -> tuple[Any, Any]:
        """(output, saved) in the case's mode. Every call draws the same numbers and changes buffers of its own."""
        operator = operator or self.complete()
        buffers = {name: p[name].clone() for name in operator.buffers()}
        return operator.forward(p | buffers, *xs, training=self.training, **self.chance(xs, operator))

    def chance(
        self, xs: Sequence[Tensor], operator: Operator | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Any]:
        """What the operator draws for these inputs, as forward takes it."""
        operator = operator or self.complete()
        if type(operator).draw is Operator.draw or not self.training:
            return {}
        return {"drawn": operator.draw(*xs, generator=generator or torch.Generator().manual_seed(5))}


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Normal numbers, none of them near 0, where some operators have a kink."""
    x = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return x + 0.05 * torch.where(x < 0, -1.0, 1.0)


def upstream(y: Any, seed: int = 1) -> Any:
    """A random gradient of an output, or of each of a tuple."""
    if isinstance(y, tuple):
        return tuple(upstream(element, seed + 100 * k) for k, element in enumerate(y))
    drawn = normal(y.shape, torch.Generator().manual_seed(seed))
    return drawn.to(y.dtype) if y.is_floating_point() else drawn


def partly(dy: Any) -> list[Any]:
    """The gradient of an output; of a tuple also each gradient where only one element was used."""
    alone = range(len(dy)) if isinstance(dy, tuple) else ()
    return [dy, *(tuple(d if j == k else None for j, d in enumerate(dy)) for k in alone)]


def elements(value: Any) -> tuple[Any, ...]:
    """The elements of a tuple of outputs, or the one output."""
    return value if isinstance(value, tuple) else (value,)


@dataclass
class Outcome:
    """An output or a tuple of them, the gradients of the inputs and those of the parameters."""

    y: Any
    dxs: list[Tensor | None]
    dps: dict[str, Tensor | None]


def by_hand(
    case: Case, p: dict[str, Tensor], xs: Sequence[Tensor], dy: Any, operator: Operator | None = None
) -> Outcome:
    """What the operator computes."""
    operator = operator or case.complete()
    y, saved = case.forward(p, xs, operator)
    dxs, dps = operator.backward(p, saved, dy)
    return Outcome(y, fed(dxs, len(xs)), dict(dps))


def fed(dxs: Sequence[Tensor | None], count: int) -> list[Tensor | None]:
    """The gradients of the inputs; optional ones at the end, which nothing feeds, have none."""
    assert len(dxs) >= count
    assert all(dx is None for dx in dxs[count:])
    return list(dxs[:count])


def by_autograd(
    case: Case, p: dict[str, Tensor], xs: Sequence[Tensor], dy: Any, chance: dict[str, Any] | None = None
) -> Outcome:
    """What torch computes; None for an input of integers. chance is what another generator drew."""
    chance = case.chance(xs) if chance is None else chance
    leading = {name: tensor.detach().clone().requires_grad_() for name, tensor in case.parameters(p).items()}
    buffers = {name: p[name].clone() for name in p if name not in leading}
    xs = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in xs]
    y = case.reference(leading | buffers, *xs, **chance)
    pairs = zip(elements(y), elements(dy), strict=True)
    used = [(e, d.to(e.dtype)) for e, d in pairs if d is not None and e.requires_grad]
    leaves = [*leading.values(), *(x for x in xs if x.requires_grad)]
    starts = [e for e, _ in used], leaves, [d for _, d in used]
    reached = torch.autograd.grad(*starts, materialize_grads=True) if used else map(torch.zeros_like, leaves)
    found = iter(reached)
    dps: dict[str, Tensor | None] = {name: next(found) for name in leading}
    detached = tuple(e.detach() for e in y) if isinstance(y, tuple) else y.detach()
    return Outcome(detached, [next(found) if x.requires_grad else None for x in xs], dps)


def assert_same(found: Outcome, expected: Outcome, rtol: float = 1e-10, atol: float = 1e-10) -> None:
    """Refuse a value or a gradient that differs, in type, shape or number; None may stand for a gradient of zeros."""
    assert isinstance(found.y, tuple) == isinstance(expected.y, tuple)
    pairs = [("value", a, b) for a, b in zip(elements(found.y), elements(expected.y), strict=True)]
    assert found.dps.keys() == expected.dps.keys()
    pairs += [(f"gradient of {name}", found.dps[name], expected.dps[name]) for name in expected.dps]
    for k, (dx, wanted) in enumerate(zip(found.dxs, expected.dxs, strict=True)):
        if wanted is not None:
            pairs.append((f"gradient of input {k}", dx, wanted))
    for what, a, b in pairs:
        if a is None:
            assert not b.any(), f"there is no {what}"
            continue
        torch.testing.assert_close(
            a, b, rtol=rtol, atol=atol, equal_nan=True, msg=lambda text, what=what: f"{what}: {text}"
        )


def compare(case: Case, p: dict[str, Tensor], xs: Sequence[Tensor], operator: Operator | None = None) -> None:
    for dy in partly(upstream(case.forward(p, xs, operator)[0])):
        assert_same(by_hand(case, p, xs, dy, operator), by_autograd(case, p, xs, dy))
