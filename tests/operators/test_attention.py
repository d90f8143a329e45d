from __future__ import annotations

import inspect

import pytest
import torch
from torch.nn import functional

from graphdl import Feed, Linear, MSELoss, Network, ScaledDotProductAttention, fit, reads
from graphdl.errors import ShapeError
from graphdl.optim import Adam
from tests.operators.case import Case
from tests.operators.checks import every_check
from tests.twins import needs_compiler


def attention(operator):
    def reference(p, q, k, v, mask=None, drawn=None):
        scale = q.shape[-1] ** -0.5 if operator.scale is None else operator.scale
        scores = q @ k.transpose(-1, -2) * scale
        if operator.is_causal:
            scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -torch.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
        weights = scores.softmax(-1)
        return (weights if drawn is None else weights * drawn / (1 - operator.dropout_p)) @ v

    return reference


def allowed(*shape):
    def draw(generator):
        mask = torch.rand(shape, generator=generator) < 0.6
        mask[..., 0] = True
        return mask

    return draw


def case(name, operator, inputs, **settings):
    return Case(name, operator, inputs, attention(operator), **settings)


QKV, HEADS = [(2, 3, 4), (2, 5, 4), (2, 5, 3)], [(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)]
CASES = [
    case("rows", ScaledDotProductAttention(), QKV),
    case("kernel", ScaledDotProductAttention(scale=0.3), HEADS),
    case("kernel-causal", ScaledDotProductAttention(is_causal=True), HEADS),
    case("causal", ScaledDotProductAttention(is_causal=True), QKV),
    case("kernel-mask", ScaledDotProductAttention(), [*HEADS, allowed(2, 1, 3, 5)]),
    case("causal-mask", ScaledDotProductAttention(is_causal=True), [*HEADS, allowed(3, 5)], batched=False),
    case("numbers", ScaledDotProductAttention(), [*HEADS, (2, 2, 3, 5)]),
    case("broadcast-numbers", ScaledDotProductAttention(is_causal=True), [*QKV, (5,)], batched=False),
    case("dropout", ScaledDotProductAttention(0.4), QKV, small=()),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_it_is_torch_s_function(causal, masked):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 40, 8, generator=generator, requires_grad=True) for _ in range(3))
    mask = torch.rand(2, 1, 40, 40, generator=generator) < 0.7 if masked and not causal else None
    expected = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
    dy = torch.randn(expected.shape, generator=generator)
    operator = ScaledDotProductAttention(is_causal=causal)
    y, saved = operator.forward({}, q.detach(), k.detach(), v.detach(), mask, training=True)
    torch.testing.assert_close(y, expected.detach())
    dxs, _ = operator.backward({}, saved, dy)
    for dx, wanted in zip(dxs, torch.autograd.grad(expected, (q, k, v), dy), strict=False):
        torch.testing.assert_close(dx, wanted)


def test_rows_that_attend_to_nothing_are_zero():
    q, mask = torch.randn(1, 1, 3, 4), torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    for heads in (q, q[0]):
        y, saved = ScaledDotProductAttention().forward({}, heads, heads, heads, mask, training=True)
        (dq, dk, dv, _), _ = ScaledDotProductAttention().backward({}, saved, torch.randn_like(y))
        assert not y[..., 1, :].any()
        assert not dq[..., 1, :].any()
        assert all(torch.isfinite(each).all() for each in (dq, dk, dv))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_gradient_of_a_mask_has_its_dtype(dtype, causal):
    generator = torch.Generator().manual_seed(0)
    q, mask = torch.randn(2, 3, 4, generator=generator), torch.randn(3, 3, generator=generator).half()
    operator = ScaledDotProductAttention(is_causal=causal)
    found = {}
    for given in (mask.float(), mask.to(dtype)):
        y, saved = operator.forward({}, q, q, q, given, training=True)
        (dq, _, _, dmask), _ = operator.backward({}, saved, torch.ones_like(y))
        assert (y.dtype, dq.dtype, dmask.dtype) == (q.dtype, q.dtype, given.dtype)
        found[given.dtype] = y, dmask.float()
    torch.testing.assert_close(found[dtype], found[torch.float32], rtol=1e-3, atol=1e-5)


NODES = {"attend": ScaledDotProductAttention()}


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([(2, 3, 4), (2, 5, 3), (2, 5, 4)], "query, key and value do not fit together"),
        ([(2, 3, 4), (2, 5, 4), (2, 6, 4)], "query, key and value do not fit together"),
        ([(2, 3, 4), (3, 5, 4), (3, 5, 4)], "query, key and value do not fit together"),
        ([(4,), (4,), (4,)], "query, key and value do not fit together"),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 4), (5, 3)], r"the mask \(shape \(5, 3\)\) does not fit pairs of .*\(2, 3, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_node(shapes, text):
    inputs = {name: torch.zeros(shape) for name, shape in zip("qkvm", shapes, strict=False)}
    net = Network(NODES, {name: [Feed("attend", slot=k)] for k, name in enumerate(inputs)})
    with pytest.raises(ShapeError, match=rf"attend \(ScaledDotProductAttention\) .*{text}.* Expected query"):
        net.forward(inputs)


def test_a_mask_of_integers_is_refused():
    x = torch.zeros(2, 3, 4)
    with pytest.raises(ShapeError, match=r"the mask holds integers: give booleans, mask\.bool\(\)"):
        Network(NODES, reads({"attend": ["x", "x", "x", "mask"]})).forward({"x": x, "mask": torch.ones(3, 3).long()})


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_compiler)])
def test_a_head_learns_to_copy_the_marked_position(compiled):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 6, 5, generator=generator)
    x[..., 0] = functional.one_hot(torch.randint(6, (256,), generator=generator), 6)
    target = (x * x[..., :1]).sum(1, keepdim=True).expand(-1, 6, -1).clone()
    operators = {name: Linear(5, 5) for name in ("q", "k", "v")}
    operators |= {"attend": ScaledDotProductAttention(), "loss": MSELoss()}
    edges = reads({"q": ["x"], "k": ["x"], "v": ["x"], "attend": ["q", "k", "v"], "loss": ["attend", "target"]})
    net = Network(operators, edges, seed=0)
    data = {"x": x, "target": target}
    history = fit(
        net, data, optimizer=Adam(lr=0.03), epochs=30, batch_size=32, compile=compiled, progress=False, seed=0
    )
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_texts():
    arguments = [*inspect.signature(ScaledDotProductAttention).parameters]
    assert arguments == ["dropout_p", "is_causal", "scale"]
    assert ScaledDotProductAttention().describe() == ""
    assert ScaledDotProductAttention(is_causal=True, scale=1.0).describe() == "is_causal, scale 1"
