import itertools
from dataclasses import replace

import networkx
import pytest

from graphdl.rendering.folding import fold


def test_equal_blocks_fold_into_the_first(blocks):
    folded = fold(*blocks(12))
    assert folded.repeats == {("block0",): 12}
    assert folded.last == {("block0",): ("block11",)}
    assert [key for key in folded.graph if str(key).startswith("block")] == [
        "block0/mlp/fc",
        "block0/sum",
        "block0/mlp/act",
    ]


def test_what_follows_the_last_block_follows_the_first(blocks):
    graph = fold(*blocks(12)).graph
    assert set(graph.successors("block0/sum")) == {"head"}
    single, _ = blocks(1)
    assert set(graph.in_edges("block0/sum", data="slot")) == set(single.in_edges("block0/sum", data="slot"))


def test_the_graph_that_was_given_is_left_alone(blocks):
    graph, facts = blocks(5)
    fold(graph, facts)
    assert "block4/sum" in graph


def test_two_blocks_are_no_run(blocks):
    assert fold(*blocks(2)).repeats == {}
    assert fold(*blocks(3)).repeats == {("block0",): 3}


@pytest.mark.parametrize(
    "change",
    [{"settings": "other"}, {"shape": (7,)}, {"frozen": True}, {"parameters": 1}, {"shares": "embed"}],
)
def test_a_block_that_differs_divides_the_run(blocks, change):
    graph, facts = blocks(9)
    facts["block5/mlp/fc"] = replace(facts["block5/mlp/fc"], **change)
    assert fold(graph, facts).repeats == {("block0",): 5, ("block6",): 3}


def test_a_block_wired_otherwise_divides_the_run(blocks):
    graph, facts = blocks(8)
    graph.edges["block3/mlp/act", "block3/sum", 0]["gradient"] = 0.0
    assert fold(graph, facts).repeats == {("block0",): 3, ("block4",): 4}


def test_blocks_joined_otherwise_are_not_folded(blocks, connect, dense):
    graph, facts = blocks(6)
    graph.edges["block2/sum", "block3/sum", 0]["gradient"] = -1.0
    assert fold(graph, facts).repeats == {("block0",): 3}


def test_a_block_that_feeds_the_outside_too_ends_the_run(blocks, dense):
    graph, facts = blocks(7)
    graph.add_edge("block2/mlp/act", "probe", slot=0, slot_name=None, gradient=1.0)
    facts["probe"] = dense()
    folded = fold(graph, facts)
    assert folded.repeats == {("block0",): 3, ("block3",): 4}
    assert ("block0/mlp/act", "probe") in folded.graph.edges()


def test_a_node_that_feeds_all_blocks_alike_does_not_hinder(blocks):
    folded = fold(*blocks(4, mask=True))
    assert folded.repeats == {("block0",): 4}
    assert list(folded.graph.successors("mask")) == ["block0/sum"]


def test_a_node_outside_for_each_block_does_hinder(blocks, dense):
    graph, facts = blocks(4)
    for index in range(4):
        graph.add_edge(f"extra{index}", f"block{index}/sum", slot=2, slot_name=None, gradient=1.0)
        facts[f"extra{index}"] = dense()
    assert fold(graph, facts).repeats == {}


def test_a_run_ends_where_another_node_feeds_the_next_block(connect, dense):
    tails = ["q", "q", "q", "p", "p", "p"]
    connectivity = {"x": ["b0/p"]} | {f"b{index}/p": [f"b{index}/q"] for index in range(7)}
    graph = connect(connectivity)
    for index, tail in enumerate(tails):
        graph.add_edge(f"b{index}/{tail}", f"b{index + 1}/p", slot=0, slot_name=None, gradient=1.0)
    folded = fold(graph, dict.fromkeys(graph, dense()))
    assert folded.repeats == {("b0",): 4, ("b4",): 3}
    assert ("b0/p", "b4/p") in folded.graph.edges()


def test_parallel_blocks_are_not_folded(connect, dense, operator):
    heads = [f"head{index}/fc" for index in range(4)]
    graph = connect({"x": heads} | {head: ["sum"] for head in heads})
    facts = dict.fromkeys(heads, dense()) | {"x": dense(), "sum": operator("Sum", "merge")}
    assert fold(graph, facts).repeats == {}


def test_the_order_of_declaration_does_not_matter(blocks):
    graph, facts = blocks(6)
    backwards = networkx.MultiDiGraph()
    backwards.add_nodes_from(reversed(list(graph.nodes)))
    backwards.add_edges_from(reversed(list(graph.edges(data=True))))
    assert fold(backwards, facts).repeats == {("block0",): 6}


def test_runs_fold_within_runs(connect, dense):
    keys = ["x", *(f"stage{stage}/layer{layer}/fc" for stage in range(3) for layer in range(4))]
    graph = connect({tail: [head] for tail, head in itertools.pairwise(keys)})
    folded = fold(graph, dict.fromkeys(keys, dense()))
    assert folded.repeats == {("stage0",): 3, ("stage0", "layer0"): 4}
    assert list(folded.graph) == keys[:2]


def test_sharing_within_the_block_is_compared_as_such(connect, dense):
    keys = ["x", *(f"b{index}/{name}" for index in range(4) for name in ("one", "two"))]
    graph = connect({tail: [head] for tail, head in itertools.pairwise(keys)})
    own = {key: dense(shares=key.replace("two", "one") if "two" in key else None) for key in keys}
    assert fold(graph, own).repeats == {("b0",): 4}
    first = {key: dense(shares="b0/one" if key > "b0/one" else None) for key in keys}
    assert fold(graph, first).repeats == {("b1",): 3}


def test_a_first_block_that_nothing_feeds_is_not_like_the_others(connect, dense):
    keys = [f"b{index}/fc" for index in range(4)]
    graph = connect({tail: [head] for tail, head in itertools.pairwise(keys)})
    assert fold(graph, dict.fromkeys(keys, dense())).repeats == {("b1",): 3}


def test_blocks_with_inputs_of_their_own_are_not_folded(blocks, connect):
    graph, facts = blocks(4)
    for index in range(4):
        graph.add_edge(f"block{index}/in", f"block{index}/sum", slot=2, slot_name=None, gradient=1.0)
        facts[f"block{index}/in"] = facts["x"]
    assert fold(graph, facts).repeats == {}


def test_folding_never_closes_a_cycle(connect, dense):
    graph = connect({"x": ["a/w", "b/w", "c/w"], "a/w": ["b/v"], "b/w": ["c/v"], "c/u": ["y"], "y": ["a/v"]})
    for block in "abc":
        graph.add_edge(f"{block}/v", f"{block}/u", slot=0, slot_name=None, gradient=1.0)
    folded = fold(graph, dict.fromkeys(graph, dense()))
    assert folded.repeats == {}
    assert len(folded.graph) == len(graph)


def test_a_run_that_leads_back_into_itself_is_not_folded(connect, dense):
    keys = ["x", "a/1", "b/1", "c/1", "a/2", "b/2", "c/2"]
    graph = connect({tail: [head] for tail, head in itertools.pairwise(keys)})
    folded = fold(graph, dict.fromkeys(keys, dense()))
    assert folded.repeats == {}
    assert set(folded.graph) == set(keys)
