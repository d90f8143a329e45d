from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from graphdl import MultiheadAttention, Network, reads
from graphdl.errors import GraphDLError, SettingError, ShapeError
from tests.operators.case import Case
from tests.operators.checks import every_check

ARGUMENTS = (
    "embed_dim", "num_heads", "dropout", "bias", "add_bias_kv", "add_zero_attn", "kdim", "vdim", "batch_first",
)  # fmt: skip


def module_of(operator):
    settings = {name: getattr(operator, name) for name in ARGUMENTS}
    return nn.MultiheadAttention(**settings, dtype=torch.float64)


def multihead(operator):
    """torch's own module, with the weights of the case."""

    def reference(p, q, k, v, padding=None, pairs=None, drawn=None):
        module = module_of(replace(operator, dropout=0.0, embed_dim=q.shape[-1])).eval()
        kwargs = {"key_padding_mask": padding, "attn_mask": pairs, "need_weights": operator.need_weights}
        if operator.is_causal:
            kwargs["attn_mask"] = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).triu(1)
        kwargs["average_attn_weights"] = operator.average_attn_weights
        if drawn is None:
            y, weights = torch.func.functional_call(module, p, (q, k, v), kwargs)
            return (y, weights) if operator.need_weights else y
        return dropped(p, q, operator.num_heads, drawn / (1 - operator.dropout))

    return reference


def dropped(p, x, heads, factors):
    """Self-attention of (n, t, i) with factors of the weights."""
    q, k, v = (
        functional.linear(x, p["in_proj_weight"], p["in_proj_bias"])
        .unflatten(-1, (3, heads, -1))
        .permute(2, 0, 3, 1, 4)
    )
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) * factors
    return functional.linear((weights @ v).transpose(1, 2).flatten(2), p["out_proj.weight"], p["out_proj.bias"])


def padded(n, s):
    def draw(generator):
        mask = torch.rand(n, s, generator=generator) < 0.4
        mask[:, 0] = False
        return mask

    return draw


def case(name, operator, inputs, **settings):
    return Case(name, operator, inputs, multihead(operator), **settings)


QKV = [(2, 3, 4), (2, 5, 4), (2, 5, 4)]
CASES = [
    case("heads", MultiheadAttention(4, 2, batch_first=True), QKV),
    case("time-first", MultiheadAttention(4, 2, bias=False), [(3, 2, 4), (5, 2, 4), (5, 2, 4)], batched=False),
    case("widths", MultiheadAttention(4, 2, kdim=3, vdim=5, batch_first=True), [(2, 3, 4), (2, 5, 3), (2, 5, 5)]),
    case("causal", MultiheadAttention(num_heads=2, batch_first=True, is_causal=True), [(2, 4, 4)] * 3),
    case("padding", MultiheadAttention(4, 2, batch_first=True), [*QKV, padded(2, 5)], small=(1,)),
    case("more", MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True), QKV, small=(1,)),
    case("numbers", MultiheadAttention(4, 2, batch_first=True), [*QKV, (2, 5), (4, 3, 5)], batched=False),
    case("weights", MultiheadAttention(4, 2, batch_first=True, need_weights=True), QKV, small=(1,)),
    case(
        "weights-of-heads",
        MultiheadAttention(4, 2, batch_first=True, need_weights=True, average_attn_weights=False),
        [*QKV, padded(2, 5), padded(3, 5)],
        batched=False,
    ),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


def test_dropout_leaves_weights_out():
    operator = MultiheadAttention(4, 2, dropout=0.4, batch_first=True)
    net = Network({"attend": operator}, reads({"attend": ["x", "x", "x"]}), seed=0, dtype=torch.float64)
    x = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    kept = operator.draw(x, x, x, generator=torch.Generator().set_state(net.generator.get_state()))
    p = {name.removeprefix("attend."): tensor for name, tensor in net.parameters.items()}
    expected = dropped(p, x, 2, kept / 0.6)
    dy = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net.forward(x.detach())["attend"], expected.detach())
    torch.testing.assert_close(net.backward({"attend": dy})["x"], torch.autograd.grad(expected, x, dy)[0])
    assert 0.4 < kept.double().mean() < 0.8
    torch.testing.assert_close(net.predict(x.detach()), dropped(p, x.detach(), 2, 1.0))


def test_each_input_has_its_own_gradient_even_if_one_node_feeds_all():
    net = Network({"attend": MultiheadAttention(4, 2)}, reads({"attend": ["x", "x", "x"]}), seed=0)
    apart = Network({"attend": MultiheadAttention(4, 2)}, reads({"attend": ["q", "k", "v"]}), seed=0)
    x = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
    dy = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(1))
    y = net.forward(x)["attend"]
    torch.testing.assert_close(apart.forward({name: x.clone() for name in "qkv"})["attend"], y)
    sent = apart.backward({"attend": dy})
    torch.testing.assert_close(net.backward({"attend": dy})["x"], sent["q"] + sent["k"] + sent["v"])
    for name, gradient in net.gradients.items():
        torch.testing.assert_close(gradient, apart.gradients[name])


@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"kdim": 6, "vdim": 2}, {"add_bias_kv": True}])
def test_a_state_dict_of_torch_carries_over(settings):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, **settings)
    net = Network({"attend": MultiheadAttention(8, 2, **settings)}, {"x": ["attend"]}, seed=0)
    state = {f"attend.{name}": tensor for name, tensor in module.state_dict().items()}
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {n: t.shape for n, t in state.items()}
    for name, tensor in net.parameters.items():
        expected = state[name]
        assert tensor.std().item() == pytest.approx(expected.std().item(), rel=0.6, abs=1e-6), name


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MultiheadAttention(8), "num_heads is missing"),
        (lambda: MultiheadAttention(8, 3), "num_heads must divide embed_dim, and 3 does not divide 8"),
        (lambda: MultiheadAttention(8, 2, dropout=2.0), "dropout must be a number from 0 to 1, not 2.0"),
        (lambda: MultiheadAttention(8.0, 2), "embed_dim must be a whole number of at least 1, not 8.0"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^MultiheadAttention: {text}"):
        make()


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ([(2, 3, 4), (2, 5, 3), (2, 5, 4)], "do not have the axes and the features"),
        ([(2, 3, 4), (5, 4), (5, 4)], "do not have the axes and the features"),
        ([(2, 3, 4), (2, 5, 4), (2, 6, 4)], "do not fit together"),
        ([(2, 3, 4), (3, 5, 4), (3, 5, 4)], "do not fit together"),
        (
            [(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 4)],
            r"key_padding_mask has the shape \(2, 4\) in place of \(2, 5\)",
        ),
        (
            [(2, 3, 4), (2, 5, 4), (2, 5, 4), (5,)],
            r"key_padding_mask has the shape \(5,\) in place of \(2, 5\)\. .*Optional: key_padding_mask \(n, s\) and",
        ),
        ([(2, 3, 4), (2, 5, 4), (2, 5, 4), (2, 5), (5, 5)], r"the mask \(shape \(5, 5\)\) does not fit .*\(3, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_node(shapes, text):
    inputs = {name: torch.zeros(shape) for name, shape in zip("qkvab", shapes, strict=False)}
    net = Network({"attend": MultiheadAttention(4, 2, batch_first=True)}, reads({"attend": [*inputs]}))
    with pytest.raises(ShapeError, match=rf"attend \(MultiheadAttention\) .*{text}"):
        net.forward(inputs)
    with pytest.raises(ShapeError, match=r"Expected query \(n, t, 4\)"):
        net.forward(inputs)


def test_gradients_of_masks_have_their_dtypes():
    operator = MultiheadAttention(4, 2, batch_first=True)
    p = {name: torch.randn(each.shape) for name, each in operator.parameters().items()}
    x, masks = torch.randn(2, 3, 4), (torch.zeros(2, 3).half(), torch.zeros(3, 3).double())
    y, saved = operator.forward(p, x, x, x, *masks, training=True)
    dxs, _ = operator.backward(p, saved, torch.ones_like(y))
    assert [dx.dtype for dx in dxs[3:]] == [mask.dtype for mask in masks]
    assert (y.dtype, dxs[0].dtype) == (x.dtype, x.dtype)


def test_sizes_that_do_not_divide_are_refused_when_they_are_inferred():
    net = Network({"attend": MultiheadAttention(num_heads=2)}, reads({"attend": ["x", "x", "x"]}))
    with pytest.raises(GraphDLError, match=r"attend \(MultiheadAttention\) .*2 does not divide 5"):
        net.forward(torch.zeros(3, 2, 5))


def test_texts():
    ours, theirs = inspect.signature(MultiheadAttention).parameters, inspect.signature(nn.MultiheadAttention).parameters
    assert tuple(ours)[: len(ARGUMENTS)] == ARGUMENTS == tuple(theirs)[: len(ARGUMENTS)]
    assert all(ours[name].default == theirs[name].default for name in ARGUMENTS[2:])
    assert MultiheadAttention(8, 2).describe() == "8 features, 2 heads"
    assert MultiheadAttention(8, 2, batch_first=True).describe() == "8 features, 2 heads, batch_first"
    assert "batch_first=True takes the batch" in MultiheadAttention(8, 2).expects()
