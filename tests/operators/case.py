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

import torch
from torch import Tensor

from graphdl import Operator


@dataclass(frozen=True, eq=False)
class Case:
    """An operator, what it is given, and the same in torch.

    inputs     of each input its shape, or a function from a generator to a tensor
    reference  (parameters, *inputs) -> output, which torch can differentiate
    batched    whether the first axis of every input is the batch
    """

    name: str
    operator: Operator
    inputs: Sequence[tuple[int, ...] | Callable[[torch.Generator], Tensor]]
    reference: Callable[..., Tensor]
    batched: bool = True

    def __str__(self) -> str:
        return self.name

    def draw(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Random parameters and inputs."""
        generator = torch.Generator().manual_seed(seed)
        xs = [given(generator) if callable(given) else normal(given, generator) for given in self.inputs]
        declared = self.complete().parameters()
        p = {name: normal(parameter.shape, generator).to(dtype) for name, parameter in declared.items()}
        return p, [x.to(dtype) if x.is_floating_point() else x for x in xs]

    def complete(self) -> Operator:
        """The operator with the sizes that follow from the inputs."""
        generator = torch.Generator().manual_seed(0)
        shapes = [given(generator).shape if callable(given) else torch.Size(given) for given in self.inputs]
        return self.operator.infer(*shapes)


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Normal numbers, none of them near 0, where some operators have a kink."""
    x = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return x + 0.05 * torch.where(x < 0, -1.0, 1.0)


def upstream(y: Tensor, seed: int = 1) -> Tensor:
    """A random gradient of an output."""
    drawn = normal(y.shape, torch.Generator().manual_seed(seed))
    return drawn.to(y.dtype)


@dataclass
class Outcome:
    """An output, the gradients of the inputs and those of the parameters."""

    y: Tensor
    dxs: list[Tensor | None]
    dps: dict[str, Tensor | None]


def by_hand(operator: Operator, p: dict[str, Tensor], xs: Sequence[Tensor], dy: Tensor) -> Outcome:
    """What the operator computes."""
    y, saved = operator.forward(p, *xs, training=True)
    dxs, dps = operator.backward(p, saved, dy)
    assert len(dxs) == len(xs)
    return Outcome(y, list(dxs), dict(dps))


def by_autograd(case: Case, p: dict[str, Tensor], xs: Sequence[Tensor], dy: Tensor) -> Outcome:
    """What torch computes; None for an input of integers."""
    p = {name: tensor.detach().clone().requires_grad_() for name, tensor in p.items()}
    xs = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in xs]
    y = case.reference(p, *xs)
    leaves = [*p.values(), *(x for x in xs if x.requires_grad)]
    found = iter(torch.autograd.grad(y, leaves, dy.to(y.dtype), materialize_grads=True))
    dps: dict[str, Tensor | None] = {name: next(found) for name in p}
    return Outcome(y.detach(), [next(found) if x.requires_grad else None for x in xs], dps)


def assert_same(found: Outcome, expected: Outcome, rtol: float = 1e-10, atol: float = 1e-10) -> None:
    """Refuse a value or a gradient that differs, in type, shape or number."""
    pairs = [("value", found.y, expected.y)]
    assert found.dps.keys() == expected.dps.keys()
    pairs += [(f"gradient of {name}", found.dps[name], expected.dps[name]) for name in expected.dps]
    for k, (dx, wanted) in enumerate(zip(found.dxs, expected.dxs, strict=True)):
        if wanted is not None:
            pairs.append((f"gradient of input {k}", dx, wanted))
    for what, a, b in pairs:
        assert a is not None, f"there is no {what}"
        torch.testing.assert_close(
            a, b, rtol=rtol, atol=atol, equal_nan=True, msg=lambda text, what=what: f"{what}: {text}"
        )


def compare(case: Case, p: dict[str, Tensor], xs: Sequence[Tensor], operator: Operator | None = None) -> None:
    operator = operator or case.complete()
    dy = upstream(operator.forward(p, *xs, training=True)[0])
    assert_same(by_hand(operator, p, xs, dy), by_autograd(case, p, xs, dy))
