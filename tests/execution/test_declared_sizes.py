"""Sizes that do not fit are an error when the network is made, and nothing else is."""

import itertools
import time

import pytest
import torch

from graphdl import (
    LSTM,
    Add,
    BatchNorm1d,
    BatchNorm2d,
    Bilinear,
    Block,
    Concat,
    Constant,
    Conv1d,
    Conv2d,
    CrossEntropyLoss,
    Embedding,
    Feed,
    Flatten,
    GRUCell,
    Identity,
    Item,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool2d,
    MSELoss,
    Multiply,
    Network,
    OneHot,
    ReLU,
    Shared,
    Subtract,
    Sum,
    Tanh,
    Transpose,
    Weight,
)
from graphdl.errors import ShapeError
from graphdl.execution.declared_sizes import check_sizes


def chain(*operators):
    keys = ["x", *range(len(operators))]
    return Network(dict(enumerate(operators)), {a: [b] for a, b in itertools.pairwise(keys)}, seed=0)


@pytest.mark.parametrize(
    "operators",
    [
        (Linear(2, 16), Tanh(), Linear(17, 2)),
        (Conv2d(3, 8, 3), ReLU(), MaxPool2d(2), Conv2d(4, 8, 3)),
        (Conv1d(3, 8, 3), Conv1d(4, 8, 3)),
        (Conv2d(3, 8, 3), BatchNorm2d(4)),
        (Embedding(10, 4), Linear(5, 2)),
        (OneHot(4), Linear(5, 2)),
        (LSTM(2, 4, bidirectional=True), Item(0), Linear(4, 2)),
        (LSTM(2, 4, bidirectional=True), Item(-1), Linear(8, 2)),
        (GRUCell(2, 4), Linear(5, 2)),
        (LayerNorm((3, 4)), Linear(5, 2)),
        (Linear(2, 4), Concat(axis=-1), Linear(5, 2)),
        (Linear(2, 4), Multiply(2.0), Identity(), Linear(5, 2)),
    ],
    ids=repr,
)
def test_a_chain_that_cannot_fit_is_refused(operators):
    with pytest.raises(ShapeError, match=rf"^{len(operators) - 1} \(\w+\) cannot take its inputs: the one from "):
        chain(*operators)


@pytest.mark.parametrize(
    "operators",
    [
        (Linear(2, 16), Flatten(), Linear(17, 2)),
        (Linear(2, 16), Transpose(1, 2), Linear(17, 2)),
        (Linear(2, 16), Concat(axis=1), Linear(17, 2)),
        (Linear(2, 16), BatchNorm1d(17), Linear(16, 2)),
        (Linear(2, 1), Sum(), Linear(1, 2)),
        (Linear(out_features=16), Linear(16, 2)),
        (Linear(2, 16), Linear(out_features=3), Linear(3, 2)),
        (Conv2d(3, 8, 3), Flatten(), Linear(5, 2)),
        (Conv2d(3, 8, 3, padding="same"), Linear(9, 2)),
    ],
    ids=repr,
)
def test_what_may_fit_is_not_refused(operators):
    chain(*operators)


def test_an_axis_of_length_1_is_stretched():
    operators = {"a": Linear(2, 8), "b": Linear(2, 1), "sum": Sum(), "out": Linear(8, 1), "c": Linear(8, 1)}
    edges = {"x": ["a", "b"], "a": ["sum"], "b": ["sum"], "sum": ["out", "c"]}
    assert Network(operators, edges).predict(torch.ones(3, 2), outputs=["out"]).shape == (3, 1)
    with pytest.raises(ShapeError, match=r"^out \(Linear\) .* sum \(Sum\) has 8 elements .* follows from a \(Linear\)"):
        Network(operators | {"out": Linear(1, 1)}, edges)


def test_what_a_reader_expects_holds_for_the_input_and_its_other_readers():
    edges = {"x": ["tanh", "b"], "tanh": ["a"]}
    with pytest.raises(ShapeError, match=r"^a \(Linear\).* tanh \(Tanh\) has 3 .* follows from b \(Linear\), .* 2\."):
        Network({"b": Linear(3, 1), "tanh": Tanh(), "a": Linear(2, 1)}, edges)


def test_inputs_that_no_edge_feeds_are_apart():
    net = Network({"a": Linear(3, 1), "b": Linear(2, 1), "pair": Bilinear(4, 5, 6)}, {})
    assert set(net.inputs) == {"a", "b", "pair.input1", "pair.input2"}


def test_losses_compare_shapes_and_classes_are_left_alone():
    operators = {"a": Linear(2, 3), "b": Linear(2, 2), "loss": MSELoss()}
    edges = {"x": ["a", "b"], "a": ["loss"], "b": [Feed("loss", slot="target")]}
    with pytest.raises(ShapeError, match=r"^loss \(MSELoss\) .* has 3 in its other input, from a \(Linear\)"):
        Network(operators, edges)
    Network(operators | {"loss": CrossEntropyLoss()}, edges)


@pytest.mark.parametrize(("rows", "fits"), [(8, True), (9, False)])
def test_a_product_of_matrices(rows, fits):
    operators = {"fc": Linear(2, 8), "w": Weight((rows, 4)), "product": MatMul(), "out": Linear(4, 1)}
    edges = {"x": ["fc"], "fc": ["product"], "w": ["product"], "product": ["out"]}
    if fits:
        assert Network(operators, edges).predict(torch.ones(3, 2)).shape == (3, 1)
    else:
        with pytest.raises(ShapeError, match=r"^product \(MatMul\)"):
            Network(operators, edges)


def test_a_product_with_a_vector():
    operators = {"fc": Linear(2, 8), "v": Constant((1.0,) * 8), "product": MatMul()}
    net = Network(operators, {"x": ["fc"], "fc": ["product"], "v": ["product"]})
    assert net.predict(torch.ones(3, 2)).shape == (3,)


class Halved(Tanh):
    """A subclass that breaks what its base class promises."""

    def value(self, x, out=None):
        return x[..., ::2]

    def gradient(self, kept, dy):
        return torch.stack([dy, torch.zeros_like(dy)], -1).flatten(-2)


def test_custom_operators_say_nothing():
    assert chain(Linear(2, 16), Halved(), Linear(8, 2)).predict(torch.ones(3, 2)).shape == (3, 2)


def test_blocks_files_parts_and_shared_nodes():
    block = Block({"fc": Linear(4, 8), "tanh": Tanh()}, {"x": ["fc"], "fc": ["tanh"]})
    with pytest.raises(ShapeError, match=r"^b/fc \(Linear\) .* a/tanh \(Tanh\) has 8 .* follows from a/fc \(Linear\)"):
        Network({"a": block, "b": block}, {"x": ["a"], "a": ["b"]})
    with pytest.raises(ShapeError, match=r"^b \(Linear\) cannot take its inputs: the one from a \(Linear\) has 8"):
        Network({"a": Linear(4, 8), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    data = Network({"a": Linear(2, 3), "b": Linear(3, 4)}, {"x": ["a"], "a": ["b"]}).to_dict()
    data["operators"]["b"]["in_features"] = 5
    with pytest.raises(ShapeError, match="Change one of the two sizes"):
        Network.from_dict(data)


def test_differences_of_two_inputs_and_numbers():
    operators = {"a": Linear(2, 3), "b": Linear(2, 4), "minus": Subtract()}
    with pytest.raises(ShapeError, match=r"^minus \(Subtract\)"):
        Network(operators, reads_both("minus"))
    with pytest.raises(ShapeError, match=r"^plus \(Add\)"):
        Network({"a": Linear(2, 3), "b": Linear(2, 4), "plus": Add()}, reads_both("plus"))


def reads_both(key):
    return {"x": ["a", "b"], "a": [key], "b": [key]}


def test_the_check_is_linear():
    net = chain(*[each for _ in range(5000) for each in (Linear(4, 4), Tanh())])
    start = time.perf_counter()
    check_sizes(net.graph, net.order)
    assert time.perf_counter() - start < 2  # about 0.06 s on a quiet machine
