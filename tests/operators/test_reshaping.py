from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
import torch
from torch import nn

from graphdl import Flatten, Network, Permute, Reshape, Squeeze, Stack, Transpose, Unflatten, Unsqueeze
from graphdl.errors import SettingError, ShapeError
from tests.operators.case import Case
from tests.operators.checks import every_check

CASES = [
    *(
        Case(f"flatten-{name}", operator, [shape], lambda p, x, o=operator: torch.flatten(x, o.start_dim, o.end_dim))
        for name, operator, shape in [
            ("image", Flatten(), (2, 3, 2, 2)),
            ("middle", Flatten(1, 2), (2, 3, 2, 2)),
            ("end", Flatten(start_dim=-2), (2, 3, 4)),
            ("all", Flatten(0), (2, 3, 2)),
        ]
    ),
    *(
        Case(f"unflatten-{k}", o, [shape], lambda p, x, o=o: torch.unflatten(x, o.dim, o.unflattened_size), **settings)
        for k, (o, shape, settings) in enumerate(
            [
                (Unflatten(1, (2, 3)), (2, 6), {}),
                (Unflatten(-1, (-1, 2, 1)), (2, 3, 4), {}),
                (Unflatten(0, (2, -1)), (4, 3), {"batched": False}),
            ]
        )
    ),
    Case("reshape", Reshape((3, 2)), [(4, 6)], lambda p, x: x.reshape(-1, 3, 2)),
    Case("reshape-inferred", Reshape((2, -1)), [(4, 3, 2)], lambda p, x: x.reshape(len(x), 2, 3)),
    Case("reshape-number", Reshape((6,)), [(2, 3, 2)], lambda p, x: x.reshape(-1, 6)),
    Case("transpose", Transpose(1, 2), [(2, 3, 4)], lambda p, x: x.transpose(1, 2)),
    Case("transpose-batch", Transpose(0, -1), [(2, 3)], lambda p, x: x.transpose(0, 1)),
    Case("permute", Permute((0, 2, 3, 1)), [(2, 3, 2, 4)], lambda p, x: x.permute(0, 2, 3, 1)),
    Case("permute-batch", Permute((-1, 0, 1)), [(2, 3, 4)], lambda p, x: x.permute(2, 0, 1)),
    Case("squeeze", Squeeze(1), [(3, 1, 2)], lambda p, x: x.squeeze(1)),
    Case("squeeze-two", Squeeze((1, -1)), [(3, 1, 2, 1)], lambda p, x: x[:, 0, :, 0]),
    Case("unsqueeze", Unsqueeze(1), [(3, 2)], lambda p, x: x.unsqueeze(1)),
    Case("unsqueeze-end", Unsqueeze(-1), [(3, 2)], lambda p, x: x.unsqueeze(-1)),
    Case("stack", Stack(), [(3, 2)] * 3, lambda p, *xs: torch.stack(xs, 1)),
    Case("stack-end", Stack(-1), [(3, 2, 2)] * 2, lambda p, *xs: torch.stack(xs, -1)),
    Case("stack-one", Stack(0), [(3, 2)], lambda p, x: x[None]),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


VIEWS = [Flatten(), Reshape((12,)), Unflatten(1, (3, 1)), Transpose(1, 2), Permute((0, 2, 1)), Unsqueeze(1)]


@pytest.mark.parametrize("operator", [*VIEWS, Squeeze(3)], ids=repr)
def test_values_and_gradients_are_views_where_torch_has_views(operator):
    x = torch.randn((2, 3, 4, 1) if isinstance(operator, Squeeze) else (2, 3, 4))
    y, saved = operator.forward({}, x, training=True)
    ((dx,), _) = operator.backward({}, saved, y)
    assert x.data_ptr() == y.data_ptr() == dx.data_ptr()
    assert not isinstance(saved, torch.Tensor)


def test_a_stack_sends_views():
    dy = torch.randn(2, 3, 4)
    dxs, _ = Stack().backward({}, None, dy)
    assert [dx.data_ptr() - dy.data_ptr() for dx in dxs] == [0, 16, 32]


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (Flatten(), (4,), r"Expected an axis 1, and an axis -1 that is not before it\."),
        (Flatten(3, 1), (1, 2, 3, 4), r"Expected an axis 3, and an axis 1 that is not before it\."),
        (
            Unflatten(1, (2, 3)),
            (4, 5),
            r"axis 1 of the input has 5 elements, which do not fit into 2×3\. .*Expected an axis 1 of length 6\.",
        ),
        (Unflatten(-1, (2, -1)), (4, 5), r"axis -1 of the input has 5 elements, which do not fit into 2×\?\."),
        (Unflatten(2, (2, -1)), (4, 5), r"Expected an axis 2 of length a multiple of 2\."),
        (Reshape((2, 3)), (4, 5), r"a row of the input has 5 elements, which do not fit into 2×3\."),
        (Reshape((2, -1)), (4, 5), r"a row of the input has 5 elements, which do not fit into 2×\?\."),
        (Reshape((0, -1)), (4, 0), r"a row of the input has 0 elements, which do not fit into 0×\?\."),
        (Reshape((1,)), (), r"the input has no axis of the batch\."),
        (Transpose(1, 2), (4, 5), r"Expected an axis 1 and an axis 2\."),
        (Permute((0, 2, 1)), (4, 5), r"Expected an input of 3 axes\."),
        (Squeeze(1), (4, 5), r"only an axis of length 1 can be removed\. .* Expected an axis 1 of length 1\."),
        (Squeeze((1, 4)), (4, 1), r"Expected an axis 1 and an axis 4 of length 1\."),
        (Unsqueeze(-4), (4, 5), r"Expected an input of at least 3 axes\."),
        (Stack(3), (4, 5), r"Expected inputs of the same shape, of at least 3 axes\."),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(operator, shape, text):
    net = Network({"node": operator}, {"x": ["node"]})
    with pytest.raises(ShapeError, match=rf"node \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward({"x": torch.zeros(shape)})


def test_a_stack_of_different_shapes_is_refused():
    net = Network({"node": Stack()}, {"a": ["node"], "b": ["node"]})
    with pytest.raises(ShapeError, match=r"\(2, 3\) float32 from the input a, \(2, 4\) .* Expected inputs of the same"):
        net.forward({"a": torch.zeros(2, 3), "b": torch.zeros(2, 4)})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Flatten(1, 1.0), "Flatten: end_dim must be a whole number, not 1.0"),
        (
            lambda: Unflatten(1, 3),
            "Unflatten: unflattened_size must be a tuple of sizes, one of which may be -1, not 3",
        ),
        (lambda: Reshape((-1, -1)), r"Reshape: shape must be the shape of a row .* not \(-1, -1\)"),
        (lambda: Reshape(()), r"Reshape: shape must be the shape of a row .* not \(\)"),
        (lambda: Reshape([2]), r"Reshape: shape must be the shape of a row .* not \[2\]"),
        (lambda: Permute((0, 0)), r"Permute: dims must name each of the axes 0 to 1 once, not \(0, 0\)"),
        (lambda: Permute((0, -3)), r"Permute: dims must name each of the axes 0 to 1 once, not \(0, -3\)"),
        (lambda: Squeeze(()), r"Squeeze: dim must be a whole number, or a tuple of axes, not \(\)"),
        (lambda: Unsqueeze(True), "Unsqueeze: dim must be a whole number, not True"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


@pytest.mark.parametrize(("ours", "theirs"), [(Flatten, nn.Flatten), (Unflatten, nn.Unflatten)])
def test_arguments_are_torch_s(ours, theirs):
    parameters = inspect.signature(theirs).parameters
    assert [each.name for each in fields(ours)] == [*parameters]
    assert all(each.default in (parameters[each.name].default, inspect.Parameter.empty) or
               parameters[each.name].default is inspect.Parameter.empty for each in fields(ours))  # fmt: skip


def test_texts():
    assert (Flatten().describe(), Flatten(2).describe(), Flatten.family) == ("", "start_dim 2", "reshape")
    assert (Unflatten(1, (2, -1)).describe(), Reshape((2, 3)).describe()) == ("dim 1 → 2×?", "2×3")
    assert (Transpose(1, 2).describe(), Permute((0, 2, 1)).describe()) == ("1 ↔ 2", "0, 2, 1")
    assert (Squeeze((1, 2)).describe(), Unsqueeze(1).describe(), Stack(2).describe()) == ("dim 1×2", "dim 1", "dim 2")
