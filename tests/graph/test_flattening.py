"""Flattening: a network with blocks has the graph of the network without them that has the same names."""

import random
import sys

import pytest

from graphdl.errors import ArityError, CycleError, DuplicateSlotError, SettingError, UnknownNodeError
from graphdl.graph import Block, Feed, Shared, build_graph, normalise_connectivity, normalise_operators
from graphdl.operators import Concat, Dropout, Identity, Linear, MSELoss, Operator, Subtract, Sum, Tanh
from graphdl.slots import InputSlot


class Attention(Operator):
    slots = ("query", "key", InputSlot("mask", optional=True), InputSlot("bias", optional=True))

    def forward(self, p, query, key, mask, bias, *, training):
        return query, None

    def backward(self, p, saved, dy):
        return (dy, None, None, None), {}


class WeightedLoss(MSELoss):
    slots = (
        InputSlot("prediction", role="prediction"),
        InputSlot("target", role="target"),
        InputSlot("weight", optional=True),
    )


def graph_of(operators, connectivity):
    return build_graph(normalise_operators(operators), normalise_connectivity(connectivity))


def drawn(graph):
    nodes = [
        (key, node["operator"], node["owner"], node["implicit"], node["absent"]) for key, node in graph.nodes.items()
    ]
    edges = [(u, v, e["slot"], e["slot_name"], e["gradient"]) for u, v, e in graph.edges(data=True)]
    return nodes, sorted(edges, key=repr)


def slot_names(graph, key):
    return {u: e["slot_name"] for u, _, e in graph.in_edges(key, data=True)}


def assert_same(nested, flat):
    assert drawn(graph_of(*nested)) == drawn(graph_of(*flat))


LAYER = Block({"fc": Linear(4, 4), "act": Tanh()}, {"x": ["fc"], "fc": ["act"]})


def test_a_block_becomes_its_nodes():
    assert_same(
        ({"one": LAYER, "two": LAYER}, {"x": ["one"], "one": ["two"]}),
        (
            {"one/fc": Linear(4, 4), "one/act": Tanh(), "two/fc": Linear(4, 4), "two/act": Tanh()},
            {"x": ["one/fc"], "one/fc": ["one/act"], "one/act": ["two/fc"], "two/fc": ["two/act"]},
        ),
    )


def test_an_input_may_feed_several_nodes_and_blocks_may_hold_blocks():
    outer = Block({"layer": LAYER, "sum": Sum()}, {"x": ["sum", "layer"], "layer": ["sum"]}, outputs=["sum"])
    assert_same(
        ({"enc": outer, 7: outer}, {"enc": [7], "in": ["enc"]}),
        (
            {
                **{"enc/layer/fc": Linear(4, 4), "enc/layer/act": Tanh(), "enc/sum": Sum()},
                **{"7/layer/fc": Linear(4, 4), "7/layer/act": Tanh(), "7/sum": Sum()},
            },
            {
                "in": ["enc/sum", "enc/layer/fc"],
                "enc/layer/fc": ["enc/layer/act"],
                "enc/layer/act": ["enc/sum"],
                "enc/sum": ["7/sum", "7/layer/fc"],
                "7/layer/fc": ["7/layer/act"],
                "7/layer/act": ["7/sum"],
            },
        ),
    )


def test_edges_inside_keep_the_order_in_which_they_are_written_there():
    block = Block({"cat": Concat(), "fc": Linear(2, 2)}, {"x": ["cat", "fc"], "fc": ["cat"]})
    graph = graph_of({"block": block, "first": Tanh()}, {"block": [], "x": ["first"], "first": ["block"]})
    assert [u for u, _, e in sorted(graph.in_edges("block/cat", data=True), key=lambda edge: edge[2]["slot"])] == [
        "first",
        "block/fc",
    ]


def test_slots_of_a_block_by_name_and_position():
    block = Block({"sub": Subtract()}, {"a": ["sub"], "b": [Feed("sub", gradient=0.5)]}, inputs=["b", "a"])
    for feeds in (
        {"p": [Feed("block", slot="a")], "q": ["block"]},
        {"p": [Feed("block", slot=1)], "q": [Feed("block", slot="b")]},
        {"q": ["block"], "p": ["block"]},
    ):
        edges = {u: (e["slot_name"], e["gradient"]) for u, _, e in graph_of({"block": block}, feeds).edges(data=True)}
        assert edges == {"p": ("minuend", 1.0), "q": ("subtrahend", 0.5)}


def test_the_same_edge_twice_and_gradient_factors():
    double = Block({"sum": Sum()}, {"x": ["sum", Feed("sum", gradient=-1)]}, outputs=["sum"])
    skip = Block({"fc": Linear(2, 2)}, {"x": ["fc"]}, outputs=["x"])
    graph = graph_of(
        {"double": double, "skip": skip, "end": Sum()},
        {
            "x": [Feed("double", gradient=0.25)],
            "double": [Feed("skip", gradient=0.5)],
            "skip": [Feed("end", gradient=-1), "end"],
        },
    )
    assert [e["gradient"] for *_, e in graph.in_edges("double/sum", data=True)] == [0.25, -0.25]
    assert [(u, e["gradient"]) for u, _, e in graph.in_edges("end", data=True)] == [
        ("double/sum", -0.5),
        ("double/sum", 0.5),
    ]
    assert [(u, e["gradient"]) for u, _, e in graph.in_edges("skip/fc", data=True)] == [("double/sum", 0.5)]
    assert graph.graph["blocks"] == {"double": ("double/sum",), "skip": ("double/sum",)}


def test_inputs_that_nothing_feeds():
    named = Block({"sum": Sum(), "sub": Subtract()}, {"x": ["sum"], "y": ["sum"], "sum": ["sub"]}, inputs=["x", "sub"])
    graph = graph_of({"block": named, "last": Tanh()}, {"x": ["block"], "block": ["last"]})
    assert [key for key, node in graph.nodes.items() if node["kind"] == "input"] == ["x", "block/y"]
    assert graph.nodes["block/sub"]["implicit"] == {1: "block/sub"}
    fed = graph_of({"block": named, "last": Tanh()}, {"x": ["block"], "z": ["block"], "block": ["last"]})
    assert {u: e["slot"] for u, _, e in fed.in_edges("block/sub", data=True)} == {"block/sum": 0, "z": 1}


def test_an_unfed_input_deep_inside_can_be_named():
    inner = Block({"sub": Subtract()}, {}, inputs=["sub.subtrahend", "sub.minuend"])
    outer = Block(
        {"inner": inner, "act": Tanh()}, {"inner": ["act"]}, inputs=["inner/sub.minuend", "inner/sub.subtrahend"]
    )
    graph = graph_of({"outer": outer}, {"a": ["outer"], "b": ["outer"]})
    assert {u: e["slot_name"] for u, _, e in graph.in_edges("outer/inner/sub", data=True)} == {
        "a": "minuend",
        "b": "subtrahend",
    }
    assert graph_of({"outer": outer}, {"outer": []}).nodes["outer/inner/sub"]["implicit"] == {
        0: "outer/inner/sub.minuend",
        1: "outer/inner/sub.subtrahend",
    }


def test_optional_inputs():
    block = Block(
        {"att": Attention(), "act": Tanh()},
        {"x": ["att", "att"], "mask": ["att"], "bias": ["att"], "att": ["act"]},
    )
    assert [slot.optional for slot in block.slots] == [False, True, True]
    outer = Block(
        {"inner": block}, {"x": ["inner"], "mask": [Feed("inner", slot="mask")], "bias": [Feed("inner", slot="bias")]}
    )
    for key, path in ((block, "b/att"), (outer, "b/inner/att")):
        alone = graph_of({"b": key}, {"x": ["b"]})
        assert [n for n in alone if alone.nodes[n]["kind"] == "input"] == ["x"]
        assert alone.nodes[path]["absent"] == (2, 3)
        biased = graph_of({"b": key}, {"x": ["b"], "bias": [Feed("b", slot="bias")]})
        assert {(u, e["slot"]) for u, _, e in biased.in_edges(path, data=True)} == {("x", 0), ("x", 1), ("bias", 3)}


def test_optional_inputs_that_are_inputs_of_the_network_all_the_same():
    parts = {"att": Attention()}, {"x": ["att", "att"], "mask": ["att"]}
    for block in (Block(*parts, inputs=["x"]), Block(*parts, outputs=["att", "mask"])):
        graph = graph_of({"b": block}, {"x": ["b"]})
        assert [key for key in graph if graph.nodes[key]["kind"] == "input"] == ["x", "b/mask"]


def test_a_loss_keeps_its_roles_where_an_optional_edge_is_left_out():
    block = Block(
        {"fc": Linear(2, 1), "loss": WeightedLoss()},
        {"weight": [Feed("loss", slot="weight")], "y": ["loss"], "x": ["fc"], "fc": ["loss"]},
        inputs=["x", "y", "weight"],
    )
    graph = graph_of({"b": block}, {"x": ["b"], "y": ["b"]})
    assert slot_names(graph, "b/loss") == {"b/fc": "prediction", "y": "target"}


def test_gradient_factors_into_slots_that_nothing_feeds_inside():
    inner = Block({"act": Tanh()}, {})
    graph = graph_of({"b": Block({"inner": inner}, {})}, {"x": [Feed("b", gradient=0.5)]})
    assert [(u, v, e["gradient"]) for u, v, e in graph.edges(data=True)] == [("x", "b/inner/act", 0.5)]


def test_shared_blocks_and_nodes():
    outer = Block({"a": LAYER, "b": Shared("a"), "c": Shared("a/fc")}, {"x": ["a"], "a": ["b"], "b": ["c"]})
    graph = graph_of(
        {"one": outer, "two": Shared("one"), "three": Shared("two/a"), "four": Shared("three/fc"), "free": outer},
        {"x": ["one"], "one": ["two"], "two": ["three"], "three": ["four"], "four": ["free"]},
    )
    owners = {key: node["owner"] for key, node in graph.nodes.items() if key.endswith(("fc", "c", "four"))}
    shared = dict.fromkeys(
        ["one/a/fc", "one/b/fc", "one/c", "two/a/fc", "two/b/fc", "two/c", "three/fc", "four"], "one/a/fc"
    )
    assert owners == shared | dict.fromkeys(["free/a/fc", "free/b/fc", "free/c"], "free/a/fc")


def test_inner_nodes_as_sources_and_several_outputs():
    block = Block({"mu": Linear(2, 2), "sd": Linear(2, 2)}, {"x": ["mu", "sd"]})
    assert block.results == ("mu", "sd")
    outer = Block({"inner": block}, {"x": ["inner"]})
    assert outer.results == ("inner/mu", "inner/sd")
    graph = graph_of(
        {"enc": outer, "sub": Subtract(), 0: Block({1: Tanh(), 2: Tanh()}, {1: [2]})},
        {"enc/inner/sd": ["sub"], "enc/inner/mu": ["sub"], "sub": [0], "x": ["enc"], "0/1": []},
    )
    assert slot_names(graph, "sub") == {"enc/inner/sd": "minuend", "enc/inner/mu": "subtrahend"}
    assert list(graph)[-2:] == ["0/1", "0/2"]


def test_a_loss_inside_finds_its_roles_in_the_whole_network():
    head = Block({"fc": Identity(), "loss": MSELoss()}, {"t": ["loss"], "x": ["fc"], "fc": ["loss"]})
    graph = graph_of(
        {"body": Linear(2, 1), "head": head}, {"y": ["head"], "x": ["body"], "body": [Feed("head", slot="x")]}
    )
    assert {u: e["slot_name"] for u, _, e in graph.in_edges("head/loss", data=True)} == {
        "head/fc": "prediction",
        "y": "target",
    }


def nested(operators, edges, rng):
    """The same network with every "name/" as a block: {path: operator}, [(source, target, slot, factor)]."""
    tops = dict.fromkeys(path.split("/", 1)[0] for path in operators)
    built, feeds = {}, {}
    home = {path: path.split("/", 1)[0] for path in operators}
    for top in tops:
        if top in operators:
            built[top] = operators[top]
            continue
        cut = len(top) + 1
        inner = {path[cut:]: each for path, each in operators.items() if home[path] == top}
        entering, links, slots = [], [], {}
        for source, target, slot, factor in edges:
            if home.get(target) == top:
                if home.get(source) == top:
                    links.append((source[cut:], target[cut:], slot, factor))
                else:
                    name = slots.setdefault(source, f"in{len(slots)}")
                    entering.append((name, target[cut:], slot, factor))
        left = {source[cut:] for source, target, *_ in edges if home.get(source) == top != home.get(target)}
        outs = [rng.choice(sorted(left))] if left else None
        plain = nested(inner, [*entering, *links], rng)
        built[top] = Block(*plain, inputs=list(slots.values()), outputs=outs)
        for source, name in slots.items():
            feeds.setdefault(source, []).append(Feed(top, slot=name))
    for source, target, slot, factor in edges:
        if target in built and not isinstance(built[target], Block):
            feeds.setdefault(source, []).append(Feed(target, slot=slot, gradient=factor))
    return built, {short(source, built): fed for source, fed in feeds.items()}


def short(source, built):
    """The block instead of its only output."""
    top, _, rest = source.partition("/")
    block = built.get(top)
    return top if isinstance(block, Block) and block.outputs == (rest,) else source


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed):
    rng = random.Random(seed)
    paths = [f"{rng.choice(['', 'a/', 'b/', 'a/c/', 'a/c/d/', 'b/c/'])}n{k}" for k in range(rng.randint(2, 14))]
    paths = sorted(paths, key=lambda path: path.split("/")[:-1] or [path])
    before = rng.sample(paths, len(paths))
    operators = {path: rng.choice([Sum(), Concat(), Tanh(), Subtract(), Dropout(0.5)]) for path in paths}
    edges, feeds = [], {}
    for k, path in enumerate(before):
        width = 3 if operators[path].slots is None else len(operators[path].slots)
        for slot in range(width):
            source = rng.choice(["x", "y", *before[:k]])
            factor = rng.choice([1.0, 1.0, 0.5, -2.0, 0.0])
            edges.append((source, path, slot, factor))
            feeds.setdefault(source, []).append(Feed(path, slot=slot, gradient=factor))
    flat = graph_of(operators, feeds)
    whole = graph_of(*nested(operators, edges, rng))
    order = {key: k for k, key in enumerate(operators)}
    assert [key for key in whole if key in order] == list(operators)
    assert sorted(map(repr, drawn(whole)[0])) == sorted(map(repr, drawn(flat)[0]))
    assert drawn(whole)[1] == drawn(flat)[1]


@pytest.mark.parametrize(
    ("operators", "connectivity", "error", "text"),
    [
        ({"b": LAYER}, {"x": ["b"], "y": ["b"]}, ArityError, r"^b \(Block\) takes 1 input and is fed by x and y"),
        (
            {"b": LAYER},
            {"x": [Feed("b", slot="fc")]},
            ArityError,
            r"^b \(Block\) has no slot 'fc', and x feeds that slot",
        ),
        (
            {"b": Block({"s": Sum()}, {"p": ["s"], "q": ["s"]})},
            {"x": [Feed("b", slot="p")], "y": [Feed("b", slot=0)]},
            DuplicateSlotError,
            r"^b \(Block\): slot 0 is fed by both x and y",
        ),
        (
            {"b": LAYER},
            {"x": ["b/fc"]},
            UnknownNodeError,
            r"^x feeds 'b/fc', which leads into the block b: .* Feed\('b', slot='x'\)",
        ),
        (
            {"b": LAYER, "t": Tanh()},
            {"x": ["b"], "b/fd": ["t"]},
            UnknownNodeError,
            r"^connectivity has the key 'b/fd', which is not a node\. Did you mean 'b/fc'\? The nodes in the block b",
        ),
        (
            {"b": LAYER, "t": Tanh()},
            {"y": ["b"], "b/x": ["t"]},
            UnknownNodeError,
            "'b/x', which is an input of",
        ),
        ({"b": LAYER, "b/t": Tanh()}, {"x": ["b", "b/t"]}, SettingError, "the node 'b/t' beside the block 'b'"),
        ({1: LAYER, "1": Tanh()}, {"x": [1, "1"]}, SettingError, "^the nodes 1 and '1' would have the same name"),
        (
            {"b": LAYER, "c": Shared("b/fd")},
            {"x": ["b", "c"]},
            UnknownNodeError,
            r"^c is Shared\('b/fd'\), but no operator",
        ),
        ({"b": Shared("c"), "c": Shared("b"), "d": LAYER}, {"x": ["b", "c", "d"]}, CycleError, "b -> c -> b"),
        (
            {"b": Shared("c/b"), "c": Shared("b/c"), "d": LAYER},
            {"x": ["b", "c", "d"]},
            CycleError,
            "Shared has a cycle",
        ),
        (
            {"b": Block({"p": Tanh(), "q": Tanh()}, {"x": ["p", "q"]}), "t": Tanh()},
            {"x": ["b"], "b": ["t"]},
            SettingError,
            r"^The block b has the outputs 'b/p' and 'b/q': an edge starts at one of them, \{'b/p': ",
        ),
        (
            {"b": Block({"p": Tanh()}, {"x": ["p"]}, outputs=["x"])},
            {"b": ["b"]},
            CycleError,
            r"nothing computes a value: b/x -> b -> b/x\.",
        ),
    ],
)
def test_errors_around_blocks(operators, connectivity, error, text):
    with pytest.raises(error, match=text):
        graph_of(operators, connectivity)


@pytest.mark.parametrize("wide", [True, False])
def test_flattening_takes_linear_time(wide):
    def calls(count):
        if wide:
            chain = {k: [k + 1] for k in range(count - 1)}
            operators = {"a": Block({k: Tanh() for k in range(count)}, chain)}
            connectivity = {"x": ["a"]}
        else:
            operators = {k: LAYER if k % 2 else Shared(max(k - 1, 1)) for k in range(count)}
            connectivity = {"x": [0], **{k: [k + 1] for k in range(count - 1)}}
        made = 0

        def note(frame, event, argument):
            nonlocal made
            made += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            graph_of(operators, connectivity)
        finally:
            sys.setprofile(before)
        return made

    assert calls(4000) < 4.1 * calls(1000)
