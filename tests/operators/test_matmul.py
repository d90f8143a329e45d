from __future__ import annotations

import pytest
import torch

from graphdl import MatMul, Network
from graphdl.errors import ShapeError
from tests.operators.case import Case, by_autograd, by_hand
from tests.operators.checks import every_check

PRODUCTS = [
    [(4, 3), (3, 2)],
    [(3,), (3,)],
    [(4, 3), (3,)],
    [(3,), (3, 2)],
    [(2, 4, 3), (3,)],
    [(3,), (2, 3, 4)],
    [(2, 4, 3), (2, 3, 5)],
    [(2, 4, 3), (3, 2)],
    [(4, 3), (2, 3, 2)],
    [(2, 1, 4, 3), (5, 3, 2)],
    [(2, 5, 4, 3), (3, 2)],
    [(2, 5, 4, 3), (2, 5, 3, 2)],
    [(2, 3, 4, 3), (3, 1)],
]
CASES = [
    Case(
        f"matmul-{'-'.join(map(str, a))}-by-{'-'.join(map(str, b))}",
        MatMul(),
        [a, b],
        lambda p, a, b: torch.matmul(a, b),
        batched=len(a) == len(b) and a[0] == b[0] and len(a) > 2,
    )
    for a, b in PRODUCTS
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_matrices_that_do_not_fit_are_refused():
    for other in [(4, 2), (5, 3, 2), ()]:
        with pytest.raises(ShapeError, match=r"join \(MatMul\) .*Expected an input \(\.\.\., i, k\) and an other"):
            Network({"join": MatMul()}, {"x0": ["join"], "x1": ["join"]}).forward(
                {"x0": torch.ones(2, 4, 3), "x1": torch.ones(other)}
            )


@pytest.mark.parametrize(
    ("a", "b"), [((0, 3), (3, 2)), ((4, 0), (0, 2)), ((2, 4, 0), (0, 3)), ((0, 4, 3), (0, 3, 2)), ((0, 4, 3), (3, 2))]
)
def test_axes_without_elements(a, b):
    case = Case("empty", MatMul(), [a, b], lambda p, a, b: torch.matmul(a, b))
    p, xs = case.draw()
    dy = torch.ones_like(torch.matmul(*xs))
    found, expected = by_hand(case, p, xs, dy), by_autograd(case, p, xs, dy)
    torch.testing.assert_close([found.y, *found.dxs], [expected.y, *expected.dxs])


def test_texts():
    assert MatMul().describe() == ""
    assert MatMul.slots == ("input", "other")
    assert MatMul.family == "arithmetic"
