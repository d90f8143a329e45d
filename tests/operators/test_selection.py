from __future__ import annotations

import pytest
import torch

from graphdl import Chunk, Constant, Feed, Gather, IndexSelect, Item, Network, Select, Slice, Split, Weight
from graphdl.errors import GraphDLError, SettingError, ShapeError
from tests.operators.case import Case
from tests.operators.checks import every_check


def indices(*shape, below, dtype=torch.int64):
    return lambda generator: torch.randint(below, shape, generator=generator).to(dtype)


def looked_up(dim):
    def reference(p, x, index):
        index = index.long()
        return torch.unflatten(x.index_select(dim, index.reshape(-1)), dim, index.shape)

    return reference


CASES = [
    Case("split-size", Split(2), [(3, 5)], lambda p, x: torch.split(x, 2, 1)),
    Case("split-sections", Split((1, 0, 3), -1), [(2, 3, 4)], lambda p, x: torch.split(x, [1, 0, 3], -1)),
    Case("split-whole", Split(3), [(3, 2)], lambda p, x: torch.split(x, 3, 1)),
    Case("chunk", Chunk(3), [(2, 6)], lambda p, x: torch.chunk(x, 3, 1)),
    Case("chunk-uneven", Chunk(4, 2), [(2, 2, 6)], lambda p, x: torch.chunk(x, 4, 2)),
    Case("slice", Slice(1, 4), [(3, 5)], lambda p, x: x[:, 1:4]),
    Case("slice-steps", Slice(-4, None, 2, dim=-1), [(2, 2, 5)], lambda p, x: x[..., -4::2]),
    Case("slice-end", Slice(stop=-1), [(3, 4, 2)], lambda p, x: x[:, :-1]),
    Case("slice-nothing", Slice(3, 2), [(3, 4)], lambda p, x: x[:, 3:2]),
    Case("slice-rows", Slice(1, dim=0), [(3, 4)], lambda p, x: x[1:]),
    Case("select", Select(1), [(3, 4)], lambda p, x: x[:, 1]),
    Case("select-end", Select(-1, -2), [(2, 3, 4)], lambda p, x: x[:, -1]),
    Case("gather", Gather(), [(3, 4), indices(3, 6, below=4)], lambda p, x, i: x.gather(1, i)),
    Case("gather-short", Gather(2), [(2, 3, 4), indices(2, 2, 3, below=4)], lambda p, x, i: x.gather(2, i)),
    Case("gather-rows", Gather(0), [(3, 2), indices(5, 2, below=3)], lambda p, x, i: x.gather(0, i), batched=False),
    Case(
        "gather-int32",
        Gather(-1),
        [(3, 4), indices(3, 1, below=4, dtype=torch.int32)],
        lambda p, x, i: x.gather(1, i.long()),
    ),
    Case("rows", IndexSelect(0), [(5, 2), indices(6, below=5)], looked_up(0), batched=False),
    Case("rows-of-rows", IndexSelect(0), [(5, 2), indices(2, 3, below=5)], looked_up(0), batched=False),
    Case(
        "rows-int32",
        IndexSelect(0),
        [(5, 2), indices(6, below=5, dtype=torch.int32)],
        lambda p, x, i: x[i.long()],
        batched=False,
    ),
    Case("blocks", IndexSelect(0), [(4, 2, 2), indices(3, below=4)], looked_up(0), batched=False),
    Case("columns", IndexSelect(1), [(2, 4), indices(5, below=4)], looked_up(1), batched=False),
    Case("columns-2d", IndexSelect(-2), [(2, 4, 2), indices(2, 3, below=4)], looked_up(1), batched=False),
    Case("column", IndexSelect(1), [(2, 4, 2), indices(below=4)], lambda p, x, i: x[:, i], batched=False),
    Case("bytes", IndexSelect(0), [(4, 2), indices(3, below=4, dtype=torch.uint8)], looked_up(0), batched=False),
]


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


@pytest.mark.parametrize("operator", [Split(2), Chunk(2), Slice(1, 3), Select(0)], ids=repr)
def test_parts_are_views(operator):
    x = torch.randn(3, 4)
    y, _ = operator.forward({}, x, training=True)
    pieces = y if isinstance(y, tuple) else (y,)
    assert all(piece.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for piece in pieces)


def test_all_pieces_together_are_the_gradient():
    x = torch.randn(4, 6)
    items = {f"item{k}": Item(k) for k in range(3)}
    net = Network({"split": Split((1, 2, 3)), **items}, {"x": ["split"], "split": [*items]})
    pieces = net.forward(x)
    assert [tuple(piece.shape) for piece in pieces.values()] == [(4, 1), (4, 2), (4, 3)]
    assert torch.equal(net.backward(pieces)["x"], x)
    sent = net.backward({"item1": pieces["item1"]})["x"]
    assert torch.equal(sent[:, 1:3], x[:, 1:3])
    assert not sent[:, [0, 3, 4, 5]].any()


def index_network(operator):
    return Network({"node": operator}, {"x": [Feed("node", slot="input")], "k": [Feed("node", slot="index")]})


@pytest.mark.parametrize("operator", [Gather(1), IndexSelect(1)])
@pytest.mark.parametrize("wrong", [3, -1])
def test_an_index_out_of_range_is_told_with_the_range(operator, wrong):
    low, high = min(0, wrong), max(1, wrong)
    index = torch.tensor([[0, 1, wrong]]) if isinstance(operator, Gather) else torch.tensor([0, 1, wrong])
    with pytest.raises(
        GraphDLError, match=rf"node \(\w+\) .*axis 1 of the input.* 0 to 2; these are from {low} to {high}\."
    ):
        index_network(operator).forward({"x": torch.zeros(1, 3), "k": index})


@pytest.mark.parametrize("wrong", [5, -1])
def test_a_row_out_of_range_is_told_with_the_range(wrong):
    with pytest.raises(
        GraphDLError, match=r"node \(IndexSelect\) .*axis 0 of the input and indices of it, from 0 to 4;"
    ):
        index_network(IndexSelect(0)).forward({"x": torch.zeros(5, 2), "k": torch.tensor([0, wrong])})


@pytest.mark.parametrize("operator", [Gather(1), IndexSelect(1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_indices_are_integers(operator, dtype):
    with pytest.raises(ShapeError, match=r"node \(\w+\) .*the indices are (float32|bool): give integers, x\.long\(\)"):
        index_network(operator).forward({"x": torch.zeros(2, 3), "k": torch.zeros(2, 3, dtype=dtype)})


@pytest.mark.parametrize("shape", [(1, 3), (2, 3, 1), (2,)])
def test_gather_takes_an_index_like_its_input(shape):
    text = r"Expected an axis 1 of the input, an index of as many axes, longer than the input along no other axis, and"
    with pytest.raises(ShapeError, match=rf"node \(Gather\) cannot take its inputs.*{text} indices of it, from 0 to 2"):
        index_network(Gather()).forward({"x": torch.zeros(2, 3), "k": torch.zeros(shape, dtype=torch.int64)})


@pytest.mark.parametrize(
    ("operator", "shape", "text"),
    [
        (Split(2), (4,), r"Expected an axis 1\."),
        (Split((1, 2)), (4, 5), r"Expected an axis 1 of length 3\."),
        (Chunk(2, 2), (4, 5), r"Expected an axis 2\."),
        (Slice(1, 2), (4,), r"Expected an axis 1\."),
        (
            Select(5),
            (4, 5),
            r"index 5 is out of range: axis 1 has the length 5\. .*Expected an axis 1 of length 6 at least\.",
        ),
        (
            Select(-6),
            (4, 5),
            r"index -6 is out of range: axis 1 has the length 5\. .*Expected an axis 1 of length 6 at least\.",
        ),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(operator, shape, text):
    net = Network({"node": operator}, {"x": ["node"]})
    with pytest.raises(ShapeError, match=rf"node \({type(operator).__name__}\) cannot take its inputs.*{text}"):
        net.forward({"x": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Split(0), "Split: split_size_or_sections must be a whole number of at least 1, or a tuple of lengths"),
        (lambda: Split((1, -1)), r"Split: split_size_or_sections must be .*, not \(1, -1\)"),
        (lambda: Chunk(0), "Chunk: chunks must be a whole number of at least 1, not 0"),
        (lambda: Slice(1, 2, -1), "Slice: step must be a whole number of at least 1, not -1"),
        (lambda: Slice(1.0), "Slice: start must be a whole number, not 1.0"),
        (lambda: Select(None), "Select: index must be a whole number, not None"),
        (lambda: Gather("1"), "Gather: dim must be a whole number, not '1'"),
    ],
)
def test_settings_are_checked(make, text):
    with pytest.raises(SettingError, match=f"^{text}"):
        make()


def test_a_constant_index_reorders_columns():
    operators = {"order": Constant((2, 0, 1)), "pick": IndexSelect(1)}
    net = Network(operators, {"x": [Feed("pick", slot="input")], "order": [Feed("pick", slot="index")]})
    x = torch.randn(4, 3)
    assert torch.equal(net.predict({"x": x}), x[:, [2, 0, 1]])
    assert torch.equal(net.backward(net.forward(x))["x"], x)


def test_shapes_are_inferred_without_knowing_that_inputs_are_indices():
    net = Network({"table": Weight((5, 2)), "pick": IndexSelect(0)}, {"table": ["pick"], "k": ["pick"]})
    assert net.shapes({"k": (3, 7)}) == {"k": (3, 7), "table": (5, 2), "pick": (3, 7, 2)}


def test_texts():
    assert (Split(2).describe(), Split((1, 2), 0).describe()) == (
        "split_size_or_sections 2",
        "split_size_or_sections 1×2, dim 0",
    )
    assert (Slice(1, 4).describe(), Slice(None, -1, 2, 2).describe()) == ("[1:4]", "[:-1:2], dim 2")
    assert (Select(1).describe(), Chunk(2).describe(), Gather().describe()) == ("index 1", "chunks 2", "")
