import pytest

from graphdl.errors import ArityError
from graphdl.graph import (
    Feed,
    Shared,
    build_graph,
    inputs_of,
    normalise_connectivity,
    normalise_operators,
    topological_order,
)

MANY = 100_000


class One:
    slots = ("input",)


class Loss:
    slots = ("prediction", "target")


class Concat:
    slots = None


def build(operators, connectivity):
    return build_graph(normalise_operators(operators), normalise_connectivity(connectivity))


def slots_of(graph, key):
    return {data["slot"]: source for source, _, data in graph.in_edges(key, data=True)}


def test_a_node_carries_what_it_is():
    one = One()
    graph = build({"a": one}, {"x": ["a"]})
    assert graph.nodes["x"] == {
        "kind": "input",
        "operator": None,
        "owner": "x",
        "implicit": {},
        "absent": (),
        "reads": 0,
    }
    computed = {"kind": "operator", "operator": one, "owner": "a", "implicit": {}, "absent": (), "reads": 1}
    assert graph.nodes["a"] == computed


def test_nodes_stand_in_the_order_declared_inputs_first():
    graph = build({"c": One(), "b": One(), "a": One()}, {"a": ["b"], "y": ["a"], "b": ["c"]})
    assert list(graph) == ["y", "c", "b", "a"]


def test_an_edge_carries_where_it_ends():
    graph = build({"loss": Loss()}, {"t": [Feed("loss", slot="target", gradient=-2)], "p": ["loss"]})
    assert graph.edges["t", "loss", 0] == {"slot": 1, "slot_name": "target", "gradient": -2}
    assert graph.edges["p", "loss", 0] == {"slot": 0, "slot_name": "prediction", "gradient": 1.0}


@pytest.mark.parametrize("operators", [{"a": Concat()}, {"a": One()}])
def test_a_slot_without_alternative_has_no_name(operators):
    assert build(operators, {"x": ["a"]}).edges["x", "a", 0]["slot_name"] is None


def test_keys_are_strings_and_integers_and_differ():
    graph = build({1: One(), "1": One()}, {1: ["1"]})
    assert list(graph.edges()) == [(1, "1")]


@pytest.mark.parametrize("sink", [{}, {"b": []}, {"b": ()}])
def test_a_sink_may_be_left_out_or_feed_nothing(sink):
    graph = build({"a": One(), "b": One()}, {"x": ["a"], "a": ["b"], **sink})
    assert not graph.succ["b"]


def test_lists_and_tuples_declare_the_same():
    listed = build({"a": [One], "b": (One,)}, {"x": ("a", Feed("b"))})
    assert listed.nodes["a"]["operator"] is listed.nodes["b"]["operator"] is One
    assert set(listed.edges()) == {("x", "a"), ("x", "b")}


def test_inputs_come_in_the_order_in_which_the_edges_are_written():
    graph = build({"c": Concat()}, {"z": ["c"], "a": ["c"], "m": ["c"]})
    assert slots_of(graph, "c") == {0: "z", 1: "a", 2: "m"}


@pytest.mark.parametrize("slot", [1, "target"])
def test_an_edge_names_its_slot_by_position_or_name(slot):
    graph = build({"loss": Loss()}, {"t": [Feed("loss", slot=slot)], "p": ["loss"]})
    assert slots_of(graph, "loss") == {0: "p", 1: "t"}


def test_edges_without_a_slot_fill_those_that_are_left():
    graph = build({"c": Concat()}, {"a": ["c"], "b": [Feed("c", slot=0)], "d": ["c"], "e": [Feed("c", slot=2)]})
    assert slots_of(graph, "c") == {0: "b", 1: "a", 2: "e", 3: "d"}


def test_the_same_edge_may_stand_twice():
    graph = build({"c": Concat()}, {"a": ["c", "c"], "b": ["c"]})
    assert slots_of(graph, "c") == {0: "a", 1: "a", 2: "b"}
    assert graph.nodes["c"]["reads"] == 3


def test_parallel_edges_keep_their_own_gradient_factor():
    graph = build({"c": Concat()}, {"a": [Feed("c", gradient=2.0), Feed("c", gradient=0)]})
    assert [data["gradient"] for _, _, data in graph.in_edges("c", data=True)] == [2.0, 0]


@pytest.mark.parametrize("operator", [One(), Concat()])
@pytest.mark.parametrize("connectivity", [{}, {1: []}])
def test_an_operator_that_nothing_feeds_reads_an_input_named_after_it(operator, connectivity):
    graph = build({1: operator}, connectivity)
    assert graph.nodes[1]["implicit"] == {0: 1}
    assert list(inputs_of(graph)) == [1]


@pytest.mark.parametrize(("slot", "unfed"), [("prediction", 1), ("target", 0), (None, 1)])
def test_one_unfed_slot_becomes_an_input_named_after_the_node(slot, unfed):
    graph = build({"loss": Loss()}, {"x": [Feed("loss", slot=slot)]})
    assert graph.nodes["loss"]["implicit"] == {unfed: "loss"}


def test_several_unfed_slots_become_inputs_named_after_node_and_slot():
    graph = build({"loss": Loss(), 7: Loss()}, {})
    assert list(inputs_of(graph)) == ["loss.prediction", "loss.target", "7.prediction", "7.target"]


@pytest.mark.parametrize(
    ("operators", "connectivity"),
    [
        ({"loss": Loss(), "loss.target": One()}, {}),
        ({"loss": Loss(), "a": One()}, {"loss.target": ["a"], "loss": []}),
        ({1: Loss(), "1": Loss()}, {}),
    ],
)
def test_an_implicit_inputs_name_is_taken(operators, connectivity):
    with pytest.raises(
        ArityError, match=r"nothing feeds its slots prediction and target, .* the name '.*' is already used\. Feed"
    ):
        build(operators, connectivity)


def test_shared_takes_the_operator_through_a_chain_in_any_order():
    one, other = One(), One()
    graph = build({"c": Shared("b"), "b": Shared("a"), "a": one, "d": Shared("c"), "e": other}, {})
    assert {key: graph.nodes[key]["owner"] for key in graph} == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e"}
    assert all(graph.nodes[key]["operator"] is one for key in "abcd")


def test_a_chain_of_100_000_shared_nodes_ends_at_its_owner():
    graph = build({**{k: Shared(k + 1) for k in range(MANY)}, MANY: One()}, {})
    assert graph.nodes[0]["owner"] == MANY


def test_100_000_operators_in_a_chain():
    graph = build({k: One() for k in range(MANY)}, {"x": [0], **{k: [k + 1] for k in range(MANY - 1)}})
    assert topological_order(graph) == ("x", *range(MANY))


def test_100_000_operators_side_by_side():
    operators = {**{k: One() for k in range(MANY)}, "join": Concat()}
    graph = build(operators, {"x": list(range(MANY)), **{k: ["join"] for k in range(MANY)}})
    assert graph.nodes["join"]["reads"] == MANY
    assert topological_order(graph)[-1] == "join"


def test_normalising_copies_the_dictionaries():
    operators, connectivity = {"a": One()}, {"x": ["a"]}
    plain, edges = normalise_operators(operators), normalise_connectivity(connectivity)
    operators["b"] = One()
    connectivity["x"].append("b")
    assert list(plain) == ["a"]
    assert edges == {"x": (Feed("a"),)}
