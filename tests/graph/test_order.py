import itertools
import random

import networkx
import pytest

from graphdl.errors import CycleError
from graphdl.graph import Feed, ancestors, build_graph, inputs_of, topological_order

MANY = 100_000


class One:
    slots = ("input",)


class Two:
    slots = ("prediction", "target")


class Any:
    slots = None


def graph_of(operators, connectivity):
    return build_graph(operators, {key: tuple(map(Feed, fed)) for key, fed in connectivity.items()})


def ring(*nodes):
    return {a: [b] for a, b in zip(nodes, (*nodes[1:], nodes[0]), strict=True)}


def test_every_node_comes_after_all_that_it_reads():
    random.seed(0)
    names = random.sample(range(1000), 60)
    edges = {a: [b for b in names[k + 1 :] if random.random() < 0.1] for k, a in enumerate(names)}
    graph = graph_of({name: Any() for name in sorted(names)}, edges)
    order = topological_order(graph)
    place = {key: k for k, key in enumerate(order)}
    assert sorted(order) == sorted(names)
    assert all(place[a] < place[b] for a, fed in edges.items() for b in fed)


def test_the_order_follows_from_the_declaration_alone():
    operators, edges = {"b": Any(), "a": Any(), "c": Any()}, {"x": ["c", "b", "a"]}
    assert topological_order(graph_of(operators, edges)) == topological_order(graph_of(operators, edges))


def test_a_cycle_is_printed_whole_in_the_direction_of_its_edges():
    graph = graph_of({"a": Any(), "b": One(), "c": One()}, {"x": ["a"], **ring("a", "b", "c")})
    with pytest.raises(CycleError) as caught:
        topological_order(graph)
    assert str(caught.value) == (
        "The connectivity has a cycle: a -> b -> c -> a. A network is evaluated once from its inputs to its outputs: "
        "remove one of these edges. To apply the same operator again, give the next node Shared(...)."
    )


def test_a_cycles_text_has_no_networkx_error_behind_it():
    with pytest.raises(CycleError) as caught:
        topological_order(graph_of({"a": Any()}, ring("a")))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_self_loop_is_a_cycle():
    with pytest.raises(CycleError, match=r"cycle: a -> a\."):
        topological_order(graph_of({"a": Any(), "b": One()}, {"x": ["a"], "a": ["a", "b"]}))


def test_nodes_that_lead_into_a_cycle_or_out_of_it_are_not_printed():
    operators = {"out": One(), "in": One(), 1: Any(), 2: Any()}
    with pytest.raises(CycleError, match=r"cycle: 1 -> 2 -> 1\."):
        topological_order(graph_of(operators, {"x": ["in"], "in": [1], 1: [2], 2: ["out", 1]}))


def test_of_tangled_cycles_a_true_one_is_printed():
    random.seed(1)
    edges = {k: random.sample(range(40), 3) for k in range(40)}
    graph = graph_of({k: Any() for k in range(40)}, edges)
    with pytest.raises(CycleError) as caught:
        topological_order(graph)
    cycle = [int(node) for node in str(caught.value).split(": ")[1].split(".")[0].split(" -> ")]
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert all(graph.has_edge(a, b) for a, b in itertools.pairwise(cycle))


def test_a_short_cycle_in_a_large_graph_is_found():
    middle = MANY // 2
    edges = {k: [k + 1] for k in range(MANY - 1)}
    edges[middle] = [middle + 1, middle - 2]
    with pytest.raises(CycleError, match=rf"cycle: {middle - 2} -> {middle - 1} -> {middle} -> {middle - 2}\."):
        topological_order(graph_of({k: Any() for k in range(MANY)}, edges))


def test_a_cycle_of_100_000_nodes_is_reported_by_its_ends():
    with pytest.raises(CycleError) as caught:
        topological_order(graph_of({k: One() for k in range(MANY)}, ring(*range(MANY))))
    assert f"0 -> 1 -> 2 -> 3 -> 4 -> ... {MANY - 9:,} more ... -> {MANY - 4} -> " in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        (["c"], {"x", "a", "c"}),
        (["x"], {"x"}),
        (["b", "c"], {"x", "y", "a", "b", "c"}),
        ([], set()),
    ],
)
def test_ancestors_are_the_nodes_and_all_that_they_depend_on(nodes, found):
    graph = graph_of({"a": Any(), "b": Any(), "c": Any()}, {"x": ["a"], "y": ["b"], "a": ["b", "c"]})
    assert ancestors(graph, nodes) == found


def test_ancestors_agree_with_networkx_on_a_random_graph():
    random.seed(2)
    edges = {a: [b for b in range(a + 1, 50) if random.random() < 0.08] for a in range(50)}
    graph = graph_of({k: Any() for k in range(50)}, edges)
    for key in range(50):
        assert ancestors(graph, [key]) == networkx.ancestors(graph, key) | {key}


def test_inputs_say_why_they_are_inputs():
    graph = graph_of({"a": One(), "loss": Two(), "free": Two()}, {"x": ["loss"], "a": [], "free": []})
    assert inputs_of(graph) == {
        "x": "it is a key of connectivity and not an operator",
        "a": "nothing feeds a (One)",
        "loss": "nothing feeds the slot 'target' of loss (Two)",
        "free.prediction": "nothing feeds the slot 'prediction' of free (Two)",
        "free.target": "nothing feeds the slot 'target' of free (Two)",
    }
