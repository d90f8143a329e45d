"""Every form of torch's functions in C++ against torch, in both types and many shapes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from graphdl.errors import CompileError
from tests.cpp.twins import Twin, assert_twins
from tests.twins import needs_compiler

pytestmark = needs_compiler
aten = torch.ops.aten
DTYPES = [torch.float32, torch.float64]
both = pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def normal(dtype, *shape):
    return torch.randn(shape, dtype=dtype)


def uniform(dtype, *shape):
    return torch.rand(shape, dtype=dtype) * 0.8 + 0.1


UNARY = [
    "exp", "exp2", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "erf", "erfc",
    "floor", "ceil", "trunc", "round", "abs", "neg", "sign", "sgn", "relu", "sigmoid", "square", "isnan",
    "isfinite", "isinf", "logical_not"
]  # fmt: skip
POSITIVE = ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "asin", "acos", "atanh"]


@both
@pytest.mark.parametrize("width", range(1, 34))
def test_functions_of_one_element(dtype, width):
    assert_twins(lambda x: tuple(getattr(torch, name)(x) for name in UNARY), normal(dtype, 3, width))
    assert_twins(lambda x: tuple(getattr(torch, name)(x) for name in POSITIVE), uniform(dtype, width))


@both
def test_what_is_not_finite_stays_so(dtype):
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([inf, -inf, nan, 0.0, -0.0, 1.0, -1.0, 1e-40, 700.0, -700.0], dtype=dtype)
    y = torch.tensor([1.0, nan, 1.0, -0.0, 0.0, inf, -inf, nan, 3.0, nan], dtype=dtype)
    assert_twins(lambda x: tuple(getattr(torch, name)(x) for name in [*UNARY, "log", "log1p", "sqrt", "rsqrt"]), x)
    assert_twins(lambda x, y: (torch.maximum(x, y), torch.minimum(x, y), x.clamp(-1, 1), x.clamp_min(0), x / y), x, y)
    assert_twins(lambda x: (x.amax(), x.amin(), x.sum(), x[3:].amax(), x[5:].amin(), x.clamp_max(2.0)), x)
    assert_twins(lambda x: (F.leaky_relu(x), F.elu(x), F.silu(x), F.softplus(x), F.hardtanh(x)), x)
    signs = Twin(lambda x: (x.abs(), x * 1, -x, x + 0, x.relu()), x).run()[1]
    for found, expected in zip(signs, (x.abs(), x * 1, -x, x + 0, x.relu()), strict=True):
        assert torch.equal(found[0].signbit()[3:], expected.signbit()[3:])


def activations(x):
    return (
        F.gelu(x), F.gelu(x, approximate="tanh"), F.elu(x, 0.7), F.hardtanh(x), F.silu(x), F.softplus(x), F.mish(x),
        F.leaky_relu(x, 0.2), F.threshold(x, 0.1, 5.0), x.clamp(-0.5, 0.5), x.clamp_min(0.1), x.clamp_max(0.2),
        F.selu(x), F.celu(x, 0.8), F.relu6(x), F.softplus(x, 2, 1), F.logsigmoid(x), F.hardsigmoid(x), F.hardswish(x),
        F.hardshrink(x), F.softshrink(x), F.softsign(x), F.tanhshrink(x),
    )  # fmt: skip


def slopes(dy, x):
    return (
        aten.gelu_backward(dy, x), aten.gelu_backward(dy, x, approximate="tanh"),
        aten.elu_backward(dy, 0.7, 1.0, 1.0, False, x), aten.elu_backward(dy, 0.7, 1.0, 1.0, True, x),
        aten.hardtanh_backward(dy, x, -1, 1), aten.silu_backward(dy, x), aten.softplus_backward(dy, x, 1, 20),
        aten.leaky_relu_backward(dy, x, 0.2, False), aten.threshold_backward(dy, x, 0.0), aten.tanh_backward(dy, x),
        aten.sigmoid_backward(dy, x), aten.mish_backward(dy, x), aten.hardsigmoid_backward(dy, x),
        aten.hardswish_backward(dy, x), aten.hardshrink_backward(dy, x, 0.5), aten.softshrink_backward(dy, x, 0.5),
        *aten.log_sigmoid_forward(x), aten.log_sigmoid_backward(dy, x, torch.exp(-x.abs())),
    )  # fmt: skip


@both
@pytest.mark.parametrize("shape", [(), (1,), (5, 7), (33, 17), (2, 3, 16)])
def test_activations_and_their_slopes(dtype, shape):
    assert_twins(activations, normal(dtype, *shape))
    assert_twins(slopes, normal(dtype, *shape), normal(dtype, *shape))


@both
@pytest.mark.parametrize(("shape", "slopes"), [((5, 7), (1, 1)), ((5, 7), (1, 7)), ((2, 3, 4, 5), (1, 3, 1, 1))])
def test_learned_slopes(dtype, shape, slopes):
    def function(dy, x, slope):
        return aten._prelu_kernel(x, slope), *aten._prelu_kernel_backward(dy, x, slope)

    assert_twins(function, normal(dtype, *shape), normal(dtype, *shape), normal(dtype, *slopes))


@both
@pytest.mark.parametrize(("shape", "dim"), [((6,), 0), ((5, 14), -1), ((6, 33), 0), ((2, 4, 3, 5), 1), ((0, 4), 1)])
def test_gates(dtype, shape, dim):
    x = normal(dtype, *shape)
    dy = normal(dtype, *F.glu(x, dim).shape)
    assert_twins(lambda dy, x: (F.glu(x, dim), aten.glu_backward(dy, x, dim)), dy, x)


def binary(x, y):
    return (
        x + y, x - y, x * y, x / y, torch.maximum(x, y), torch.minimum(x, y), x.lerp(y, 0.3), x.lerp(y, 0.8),
        torch.lerp(x, y, x), torch.addcmul(x, y, y, value=0.5), torch.addcdiv(x, y, y, value=0.5), x > y, x < y, x >= y,
        x <= y, x == y, x != y, torch.where(x > y, x, y), torch.where(x > 0, x, 0.5), torch.rsub(x, y, alpha=2), 1 - x,
        2 / x, x.pow(2), x.pow(3), x.abs().pow(0.5), x.abs().pow(1.7), x.abs().pow(-1), 2**x, x.abs().pow(y),
        x.add(y, alpha=3), x.sub(y, alpha=0.5), x.pow(0), x.abs().pow(-0.5),
    )  # fmt: skip


@both
@pytest.mark.parametrize(
    "shapes", [((5, 7), (5, 7)), ((5, 7), (7,)), ((5, 7), (5, 1)), ((4, 1, 3), (5, 1)), ((3,), ())]
)
def test_functions_of_two_elements(dtype, shapes):
    assert_twins(binary, *(normal(dtype, *shape) for shape in shapes))


def logic(x, y):
    return (
        x.logical_and(y), x.logical_or(y), x.logical_xor(y), x.logical_not(), (x > 0) & (y > 0), (x > 0) | (y > 0),
        (x > 0) ^ (y > 0), ~(x > 0), (x > 0).to(x.dtype), (x > 0).sum(), (x > 0).sum(0), (x > 0).float() * y,
        x.masked_fill(y > 0, 3.0), (x > 0) == (y > 0), torch.where(x > 0, x > y, y > 0), (x > 0) + (y > 0),
        (x > 0).float().mean(), (x > 0) * y, (x > 0).double() + y, (x > 0).long() * 2,
    )  # fmt: skip


@both
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33])
def test_true_and_false(dtype, width):
    assert_twins(logic, normal(dtype, 5, width).round(), normal(dtype, 5, width).round())
    mask = torch.rand(5, width) > 0.5
    assert_twins(
        lambda x, m: (
            x * m,
            torch.where(m, x, 0.0),
            x.masked_fill(m, 1.0),
            m * 2.0 * x,
            m.to(dtype) / 0.5,
            m & (x > 0),
            m,
        ),
        normal(dtype, 5, width),
        mask,
    )
    assert_twins(lambda x, m: (torch.where(m.t(), x, 0.0).sum(1), m.t().clone()), normal(dtype, width, 5), mask)


@both
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8])
def test_integers(dtype, kind):
    def function(x, i):
        return (
            x * i, i + 1, i * 2 - 1, i > 1, i.to(dtype), i.sum(), i == 2, i.clamp(0, 1), i / 2, i.float().mean(), i * i,
            i.sum(1), i.amax(0), i + x, (i > 1) & (x > 0), i.to(torch.int64), x.to(kind) if kind != torch.uint8 else i,
        )  # fmt: skip

    assert_twins(function, normal(dtype, 5, 7), torch.randint(0, 4, (5, 7), dtype=kind))


SHAPES = [(), (1,), (3,), (33,), (4, 5), (16, 16), (33, 2), (2, 3, 4), (2, 3, 2, 5), (1, 4, 1), (0, 3), (3, 0)]


def reductions(axis):
    return lambda x: (
        x.sum(axis), x.sum(axis, keepdim=True), x.mean(axis), x.amax(axis), x.amin(axis, keepdim=True), x.prod(axis),
        torch.softmax(x, axis), torch.log_softmax(x, axis), x.cumsum(axis), x.var(axis, correction=0),
        torch.linalg.vector_norm(x, dim=axis), x.std(axis, correction=0), x.norm(1, axis), x.norm(float("inf"), axis),
    )  # fmt: skip


@both
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reductions(dtype, shape):
    assert_twins(lambda x: (x.sum(), x.mean(), x * 2, x.abs().sum(), x.norm()), normal(dtype, *shape))
    for axis in range(len(shape)):
        if 0 in shape:
            assert_twins(lambda x, a=axis: (x.sum(a), x.sum(a, keepdim=True)), normal(dtype, *shape))
            continue
        assert_twins(reductions(axis), normal(dtype, *shape))
        assert_twins(
            lambda dy, y, a=axis: (
                aten._softmax_backward_data(dy, y, a, y.dtype), aten._log_softmax_backward_data(dy, y, a, y.dtype)
            ),
            normal(dtype, *shape), normal(dtype, *shape),
        )  # fmt: skip


@both
@pytest.mark.parametrize("axes", [(0, 2), (0, 1), (1, 2), (0, 1, 2), (1, 3), (0, 2, 3), (3,), (0, 3)])
def test_sums_along_several_axes(dtype, axes):
    assert_twins(
        lambda x: (x.sum(axes), x.mean(axes, keepdim=True), x.var(axes), x.amax(axes)), normal(dtype, 2, 3, 4, 5)
    )
    assert_twins(lambda x: (x.permute(3, 1, 0, 2).sum(axes), x.transpose(0, 3).mean(axes)), normal(dtype, 2, 3, 4, 5))


@both
@pytest.mark.parametrize("shape", [(700, 300), (20_000,), (3, 5_000), (5_000, 3)])
def test_long_sums(dtype, shape):
    assert_twins(lambda x: (x.sum(), x.sum(0), x.sum(-1), x.mean(), (x * x).sum(0)), normal(dtype, *shape))


@both
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (1, 3), (5, 2), (9, 4), (17, 8), (50, 17), (33, 33)])
@pytest.mark.parametrize("ignored", [-100, 0])
def test_losses_by_class(dtype, rows, classes, ignored):
    target = torch.randint(0, classes, (rows,))
    target[-1] = classes - 1
    if ignored == 0 and classes == 1:
        return
    for reduction in (0, 1, 2):

        def function(x, i, dy, weight, weighted, reduction=reduction):
            weight = weight if weighted else None
            loss, total = aten.nll_loss_forward(x, i, weight, reduction, ignored)
            return loss, total, aten.nll_loss_backward(dy, x, i, weight, reduction, ignored, total)

        dy = normal(dtype, rows) if reduction == 0 else normal(dtype)
        for weighted in (False, True):
            given = normal(dtype, rows, classes), target, dy, uniform(dtype, classes)
            assert_twins(lambda *xs, w=weighted: function(*xs, w), *given)
    for reduction in ("mean", "sum", "none"):
        assert_twins(
            lambda x, i, r=reduction: F.cross_entropy(x, i, reduction=r, ignore_index=ignored),
            normal(dtype, rows, classes), target,
        )  # fmt: skip


@both
@pytest.mark.parametrize("reduction", [0, 1, 2])
def test_losses_by_class_of_images(dtype, reduction):
    def function(x, i, dy):
        loss, total = aten.nll_loss2d_forward(x, i, None, reduction, -100)
        return loss, total, aten.nll_loss2d_backward(dy, x, i, None, reduction, -100, total)

    dy = normal(dtype, 3, 2, 5) if reduction == 0 else normal(dtype)
    assert_twins(function, normal(dtype, 3, 4, 2, 5), torch.randint(0, 4, (3, 2, 5)), dy)


@both
@pytest.mark.parametrize("shape", [(5, 4), (4, 2), (33, 16), (17, 33), (5, 4, 3), (5, 4, 3, 2)])
@pytest.mark.parametrize("affine", [False, True])
def test_normalization(dtype, shape, affine):
    c = shape[1]

    def batch(x, w, b, mean, var, dy):
        w, b = (w, b) if affine else (None, None)
        wanted, found = [True, affine, affine], []
        for training in (True, False):
            y, *kept = aten.native_batch_norm(x, w, b, mean, var, training, 0.1, 1e-5)
            found += [y, *(kept if training else ())]
            found += aten.native_batch_norm_backward(dy, x, w, mean, var, *kept, training, 1e-5, wanted)
        return [each for each in found if each is not None and each.numel()]

    def layer(x, w, b, dy):
        w, b = (w, b) if affine else (None, None)
        y, mean, invstd = aten.native_layer_norm(x, shape[1:], w, b, 1e-5)
        found = aten.native_layer_norm_backward(dy, x, shape[1:], mean, invstd, w, b, [True, affine, affine])
        return [y, mean, invstd, *(each for each in found if each is not None and each.numel())]

    channels = [normal(dtype, c), normal(dtype, c), normal(dtype, c), uniform(dtype, c)]
    assert_twins(batch, normal(dtype, *shape), *channels, normal(dtype, *shape))
    assert_twins(
        layer, normal(dtype, *shape), normal(dtype, *shape[1:]), normal(dtype, *shape[1:]), normal(dtype, *shape)
    )


SIZES = [
    (1, 1, 1),
    (3, 4, 5),
    (17, 16, 15),
    (33, 2, 7),
    (1, 40, 3),
    (40, 3, 1),
    (8, 16, 32),
    (20, 33, 47),
    (5, 0, 3),
]


@both
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products(dtype, sizes):
    m, k, n = sizes

    def function(a, b, row, column, matrix):
        return (
            a @ b, torch.addmm(row, a, b), torch.addmm(column, a, b), torch.addmm(matrix, a, b, beta=0.5, alpha=2.0),
            torch.addmm(row, a, b, alpha=3.0), b.t() @ a.t(), (a @ b).t() @ a, a.mv(b[:, 0]),
            a.mv(torch.ones_like(b[:, 0])),
            torch.addmv(column[:, 0], a, b[:, 0], beta=0.5, alpha=2), a.t() @ matrix, matrix @ b.t(),
            a.t().mv(column[:, 0]),
            torch.addmm(matrix, a, b, beta=0), torch.addmm(matrix, a, b, alpha=0), (a @ b)[:, ::2] @ b.t()[::2],
        )  # fmt: skip

    given = [normal(dtype, *s) for s in ((m, k), (k, n), (n,), (m, 1), (m, n))]
    assert_twins(function, *given)
    assert_twins(lambda a, b, r, c, x: (x.addmm_(a, b), torch.mm(a, b, out=x), a.flatten().dot(a.flatten())), *given)
    assert_twins(lambda a, b, r, c, x: x.addmm_(x, b.t() @ b) if m == n else x @ (b.t() @ b), *given)
    batches = [normal(dtype, *s) for s in ((3, m, k), (3, k, n), (3, m, n))]
    assert_twins(lambda a, b, c: (a.bmm(b), torch.baddbmm(c, a, b, beta=0.5), a.mT.bmm(c), c.baddbmm_(a, b)), *batches)
    assert_twins(
        lambda a, b: (a.transpose(0, 1)[:, :2] @ b[:2].transpose(0, 1)[:2]) if k == m == 3 else a, *batches[:2]
    )


WIDTHS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33]


@pytest.mark.parametrize(("m", "n"), list(product(WIDTHS, repeat=2))[::3])  # each width on both sides
def test_products_of_every_width(m, n):
    given = [normal(torch.float32, *s) for s in ((m, 5), (5, n), (n,))]
    assert_twins(lambda a, b, c: (torch.addmm(c, a, b), a @ b, (b.t() @ a.t()).t() @ b.t()), *given)


@both
def test_joining_padding_and_repeating(dtype):
    def function(x, y):
        return (
            torch.cat([x, y], 0), torch.cat([x, y, x], 1), torch.stack([x, y]), torch.stack([x, y], 2),
            F.pad(x, (1, 2)),
            F.pad(x, (1, 0, 2, 1), value=3.0), F.pad(x, (-1, 2)), x.tril(),
            x.triu(1),
            x.expand(3, 5, 5) * 2, x.clone(), x.t().clone(), x.t().contiguous(), x[1:4:2] * 2, x[:, ::2] + 1,
            torch.full((3, 5), 2.0, dtype=dtype) * x[:3], torch.zeros_like(x) + y, torch.ones(5, dtype=dtype) - x,
            x.new_zeros(3).add_(1), torch.arange(5) * x, torch.arange(1, 9, 2).to(dtype),
            torch.zeros(5, 5, dtype=dtype).add_(x),
            torch.arange(0.0, 1.0, 0.25) * 2, x.diagonal() * 2, x.unfold(0, 2, 1).sum(-1),
        )  # fmt: skip

    assert_twins(function, normal(dtype, 5, 5), normal(dtype, 5, 5))
    assert_twins(
        lambda dy: (
            aten.slice_backward(dy, [7, 5], 0, 1, 6, 1), aten.slice_backward(dy, [11, 5], 0, 1, 11, 2),
            aten.select_backward(dy, [5, 3, 5], 1, 2),
        ),
        normal(dtype, 5, 5),
    )  # fmt: skip


@both
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_picking(dtype, kind):
    places = torch.tensor([[0, 1, 2], [1, 0, 3], [4, 2, 1], [3, 1, 0]])
    assert_twins(
        lambda x, i: (
            x.scatter(1, i, 2.0), x.scatter(0, i, 0.0), x.clone().scatter_add_(1, i, x),
            x.scatter(1, i, x), x.scatter_add(0, i[:, :1], x), x.scatter_(1, i[:, :1], 7.0),
        ),
        normal(dtype, 5, 5), places,
    )  # fmt: skip
    assert_twins(
        lambda w, i, dy: (
            F.embedding(i, w), aten.embedding_dense_backward(dy, i, 5, -1, False),
            aten.embedding_dense_backward(dy, i, 5, 2, False),
        ),
        normal(dtype, 5, 7), torch.randint(0, 5, (4, 3), dtype=kind), normal(dtype, 4, 3, 7),
    )  # fmt: skip


@both
def test_numbers_and_lists(dtype):
    number = torch.tensor(0.1, dtype=torch.float64)
    assert_twins(
        lambda a, d: (
            a * d, a.mul_(d), d * 2, 1 - d, torch.pow(d, 3), d.to(dtype) * a, torch.pow(d, d), a.sum() * d, a - d.exp()
        ),
        normal(dtype, 3, 4), number,
    )  # fmt: skip
    assert_twins(lambda a: torch._foreach_add_([a[0], a[1]], [a[2], a[2]]), normal(dtype, 3, 5))
    assert_twins(lambda a: torch._foreach_mul([a[0], a[1]], 2.0), normal(dtype, 3, 5))
    assert_twins(lambda a: (torch._foreach_copy_([a[0]], [a[1]]), None)[1], normal(dtype, 3, 5))


def test_what_has_no_form_is_refused_by_name():
    with pytest.raises(CompileError, match=r"aten\.linalg_inv_ex\.default has no form in C\+\+ here"):
        Twin(lambda x: torch.linalg.inv(x), torch.eye(3))
    with pytest.raises(CompileError, match="numbers of the type float16 have no form"):
        Twin(lambda x: x * 2, torch.ones(3, dtype=torch.float16))
    with pytest.raises(CompileError, match="Python reads numbers of a tensor"):
        Twin(lambda x: x * x.sum().item(), torch.ones(3))
