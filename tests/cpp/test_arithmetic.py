"""The compiled forms of arithmetic, elementary functions and reductions."""

from __future__ import annotations

import math

import pytest
import torch

from tests.cpp.twins import assert_twins
from tests.operators import test_arithmetic, test_elementary, test_matmul, test_reductions
from tests.operators.case import upstream
from tests.twins import needs_compiler

pytestmark = needs_compiler
FAMILIES = [test_arithmetic, test_elementary, test_matmul, test_reductions]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])


@DTYPES
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition("test_")[2])
def test_values_and_gradients_of_all_cases(family, dtype):
    drawn = [(case.operator, case.draw(dtype)[1]) for case in family.CASES]
    dys = [upstream(operator.forward({}, *xs, training=True)[0]) for operator, xs in drawn]

    def steps(*tensors):
        given, found = iter(tensors), []
        for (operator, xs), dy in zip(drawn, dys, strict=True):
            y, saved = operator.forward({}, *(next(given) for _ in xs), training=True)
            found += [y, *(dx for dx in operator.backward({}, saved, dy)[0] if dx is not None)]
        return found

    with torch.inference_mode():
        assert_twins(steps, *(x for _, xs in drawn for x in xs))


@DTYPES
def test_sums_of_exponentials_that_are_not_finite(dtype):
    inf, nan = math.inf, math.nan
    x = torch.tensor([[inf, 1], [-inf, 1], [inf, -inf], [nan, 1], [-inf, -inf], [1e4, 1e4], [-1e4, 1]], dtype=dtype)
    assert_twins(lambda x: (x.logsumexp(1), x.logsumexp(0, True), x[:, :0].logsumexp(1), x[5:].logsumexp((0, 1))), x)


@DTYPES
@pytest.mark.parametrize("shape", [(1,), (33,), (4, 1, 17), (0, 3)], ids=str)
def test_flips_and_norms(dtype, shape):
    def function(x):
        found = [x.mT.flip(0)] if x.dim() > 1 else []
        for axis in range(x.dim()):
            found += [x.flip(axis), x.flip(axis).cumsum(axis).flip(axis) * 2]
            found += [torch.linalg.vector_norm(x, order, axis) for order in (0.5, 1, 2, 3)]
        return found

    assert_twins(function, torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0)))
