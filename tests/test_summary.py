import pytest
import torch

from graphdl import Feed, LeakyReLU, Linear, MSELoss, Network, Operator, Shared, Subtract, Sum, Tanh

X = torch.zeros(5, 2)


class Halves(Operator):
    """No dataclass: it has no settings."""

    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), None

    def backward(self, p, saved, dy):
        return (torch.cat(dy, 1),), {}


def rows(net):
    """node -> its cells, and the last line."""
    lines = net.summary().splitlines()
    header = lines[0]
    starts = [header.index(name) for name in ("node", "operator", "reads", "output shape", "parameters", "trainable")]
    ends = [*starts[1:], None]
    body = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines[2:-1]]
    return {cells[0]: cells[1:] for cells in body}, lines[-1]


def test_the_whole_table():
    operators = {"fc": Linear(2, 3), "loss": MSELoss()}
    net = Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}).build({"x": (2,), "target": (3,)})
    assert net.summary() == (
        "node     operator       reads                            output shape   parameters   trainable\n"
        "──────────────────────────────────────────────────────────────────────────────────────────────\n"
        "x        input                                           (n, 2)\n"
        "target   input                                           (n, 3)\n"
        "fc       Linear 2 → 3   x                                (n, 3)                  9   yes\n"
        "loss     MSELoss        prediction: fc, target: target   ()\n"
        "2 operators, 9 parameters, 9 trainable"
    )


def test_rows_come_in_topological_order():
    net = Network({"b": Tanh(), "a": Tanh()}, {"x": ["a"], "a": ["b"]})
    assert list(rows(net)[0]) == ["x", "a", "b"]


def test_shapes_and_sizes_that_are_not_known_yet():
    net = Network({"a": Linear(out_features=3)}, {"x": ["a"]})
    found, totals = rows(net)
    assert found == {"x": ["input", "", "?", "", ""], "a": ["Linear ? → 3", "x", "?", "", ""]}
    assert totals == "1 operator, 0 parameters, 0 trainable"


def test_shapes_are_known_after_a_pass():
    net = Network({"a": Linear(out_features=3)}, {"x": ["a"]})
    net.predict(X)
    assert rows(net)[0] == {"x": ["input", "", "(n, 2)", "", ""], "a": ["Linear 2 → 3", "x", "(n, 3)", "9", "yes"]}


@pytest.mark.parametrize("frozen", [["a"], ["a", "b"]])
def test_frozen_parameters_are_counted_apart(frozen):
    net = Network({"a": Linear(2, 3), "b": Linear(3, 1)}, {"x": ["a"], "a": ["b"]})
    net.freeze(*frozen)
    found, totals = rows(net)
    assert {key for key, cells in found.items() if cells[-1] == "frozen"} == set(frozen)
    assert totals == f"2 operators, 13 parameters, {0 if len(frozen) == 2 else 4} trainable"


def test_shared_parameters_are_counted_once():
    net = Network({"a": Linear(2, 2), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    found, totals = rows(net)
    assert found["b"][:4] == ["Linear 2 → 2", "a", "?", "= a"]
    assert totals == "2 operators, 6 parameters, 6 trainable"


def test_large_numbers_have_separators():
    found, totals = rows(Network({"a": Linear(1000, 1000)}, {"x": ["a"]}))
    assert found["a"][3] == "1,001,000"
    assert totals == "1 operator, 1,001,000 parameters, 1,001,000 trainable"


@pytest.mark.parametrize(
    ("connectivity", "text"),
    [
        ({"a": ["d"], "b": ["d"]}, "minuend: a, subtrahend: b"),
        ({"a": [Feed("d", slot="subtrahend")], "b": ["d"]}, "minuend: b, subtrahend: a"),
        (
            {"a": [Feed("d", gradient=0)], "b": [Feed("d", gradient=-0.5)]},
            "minuend: a (gradient stopped), subtrahend: b (gradient × -0.5)",
        ),
        ({"a": [Feed("d", slot=1)]}, "minuend: input d (not fed), subtrahend: a"),
        ({}, "minuend: input d.minuend (not fed), subtrahend: input d.subtrahend (not fed)"),
    ],
)
def test_what_a_node_reads_by_slot(connectivity, text):
    assert rows(Network({"d": Subtract()}, connectivity))[0]["d"][1] == text


def test_parallel_edges_are_read_twice():
    assert rows(Network({"s": Sum()}, {"x": ["s", "s"]}))[0]["s"][1] == "x, x"


def test_settings_stand_beside_the_operator():
    found, _ = rows(Network({"a": LeakyReLU(0.2), "b": Linear(2, 1, bias=False)}, {"x": ["a", "b"]}))
    assert found["a"][0] == "LeakyReLU negative_slope 0.2"
    assert found["b"][0] == "Linear 2 → 1 no bias"


def test_a_tuple_of_outputs_has_several_shapes():
    net = Network({"split": Halves()}, {"x": ["split"]})
    net.forward(X)
    assert rows(net)[0]["split"][2] == "(n, 1) (n, 1)"


def test_markup_in_a_name_is_printed_as_it_is():
    net = Network({"[bold]a[/bold]": Tanh()}, {":smile:": ["[bold]a[/bold]"]})
    assert {":smile:", "[bold]a[/bold]"} <= set(rows(net)[0])


def test_a_long_name_is_not_cut():
    name = "n" * 200
    assert name in Network({name: Tanh()}, {"x": [name]}).summary()


def test_no_line_ends_in_spaces_and_none_is_empty():
    text = Network({"a": Linear(2, 3), "b": Tanh()}, {"x": ["a"], "a": ["b"]}).summary()
    assert all(line and line == line.rstrip() for line in text.splitlines())
