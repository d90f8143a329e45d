import pytest

from graphdl.errors import ArityError, CycleError, DuplicateSlotError, SettingError, UnknownNodeError, UnreachableError
from graphdl.graph import Feed, Shared, build_graph, normalise_connectivity, normalise_operators


class One:
    slots = ("input",)


class Loss:
    slots = ("prediction", "target")


class Concat:
    slots = None


def build(operators, connectivity):
    return build_graph(normalise_operators(operators), normalise_connectivity(connectivity))


def test_shared_names_an_operator():
    with pytest.raises(UnknownNodeError) as caught:
        build({"encode_a": One(), "encode_b": Shared("encoda_a")}, {})
    assert str(caught.value) == (
        "encode_b is Shared('encoda_a'), but no operator has that name. Did you mean 'encode_a'? "
        "Shared takes the key of the node whose operator it uses."
    )


def test_shared_names_no_input():
    with pytest.raises(UnknownNodeError, match=r"^b is Shared\('x'\), but no operator has that name"):
        build({"a": One(), "b": Shared("x")}, {"x": ["a", "b"]})


def test_a_circle_of_shared_nodes_is_printed_without_what_leads_to_it():
    with pytest.raises(CycleError, match=r"^Shared has a cycle: b -> c -> b\. Give one of these nodes"):
        build({"a": Shared("b"), "b": Shared("c"), "c": Shared("b")}, {})


def test_a_node_that_shares_itself_is_a_circle():
    with pytest.raises(CycleError, match=r"cycle: a -> a\."):
        build({"a": Shared("a")}, {})


def test_too_many_edges():
    with pytest.raises(ArityError) as caught:
        build({"tanh": One(), "relu": One(), "fc3": One()}, {"x": ["tanh", "relu"], "tanh": ["fc3"], "relu": ["fc3"]})
    assert str(caught.value) == "fc3 (One) takes 1 input and is fed by tanh and relu: put a Sum or a Concat between"


def test_too_many_edges_into_named_slots():
    with pytest.raises(ArityError, match=r"^loss \(Loss\) takes 2 inputs \(prediction, target\) and is fed by a, b"):
        build({"loss": Loss()}, {"a": ["loss"], "b": ["loss"], "c": ["loss"]})


@pytest.mark.parametrize(
    ("operator", "slot", "text"),
    [
        (Loss(), "tagret", r"no slot 'tagret', and x feeds that slot\. Did you mean 'target'\? Its slots are 0 to 1,"),
        (Loss(), 2, r"no slot 2, and x feeds that slot\. Its slots are 0 to 1, or 'prediction' and 'target'\.$"),
        (Loss(), -1, r"no slot -1,"),
        (One(), "target", r"no slot 'target', .* Its slots are 0, or 'input'\.$"),
        (Concat(), "left", r"no slot 'left', .* Its slots are 0, for its one edge\.$"),
        (Concat(), 1, r"no slot 1, .* Its slots are 0, for its one edge\.$"),
    ],
)
def test_a_slot_that_the_operator_does_not_have(operator, slot, text):
    with pytest.raises(ArityError, match=rf"^node \({type(operator).__name__}\) has {text}"):
        build({"node": operator}, {"x": [Feed("node", slot=slot)]})


def test_slots_beyond_the_edges_of_a_node_that_takes_any_number():
    with pytest.raises(ArityError, match=r"no slot 2, and b .* are 0 to 1, one for each of its 2 edges\.$"):
        build({"c": Concat()}, {"a": ["c"], "b": [Feed("c", slot=2)]})


@pytest.mark.parametrize("slots", [(0, 0), ("prediction", 0), (1, "target")])
def test_two_edges_claim_the_same_slot(slots):
    with pytest.raises(DuplicateSlotError, match=r"^loss \(Loss\): slot .* is fed by both a and b\. Give each"):
        build({"loss": Loss()}, {"a": [Feed("loss", slot=slots[0])], "b": [Feed("loss", slot=slots[1])]})


def test_a_misspelt_fed_node():
    with pytest.raises(UnknownNodeError) as caught:
        build({"tanh": One(), "fc": One()}, {"x": ["tahn"]})
    assert str(caught.value) == (
        "x feeds 'tahn', but no operator has that name. Did you mean 'tanh'? Declare it, or correct the "
        "edge: connectivity maps a node to those that it feeds, reads({...}) to those that it reads. "
        "The operators are 'tanh' and 'fc'."
    )


def test_the_operators_of_a_large_network_are_not_all_listed():
    with pytest.raises(UnknownNodeError, match=r"The operators are 'node0', .*, 'node10' and 989 more\.$"):
        build({f"node{k}": One() for k in range(1000)}, {"x": ["q"]})


def test_an_input_is_not_fed():
    with pytest.raises(
        UnknownNodeError, match=r"^x feeds 'ralu', which is an input: .* Did you mean 'relu'\? Give 'ra"
    ):
        build({"relu": One()}, {"x": ["ralu"], "ralu": ["relu"]})


def test_the_number_1_is_not_the_string():
    with pytest.raises(UnknownNodeError, match=r"^x feeds '1', but no operator has that name\. Did you mean 1\?"):
        build({1: One()}, {"x": ["1"]})


def test_an_input_that_feeds_nothing():
    with pytest.raises(
        UnreachableError, match=r"^'tahn' is a key of .* it feeds nothing\. Did you mean 'tanh'\? Remove"
    ):
        build({"tanh": One()}, {"x": ["tanh"], "tahn": []})


def test_an_operator_that_is_nowhere_in_connectivity():
    with pytest.raises(UnreachableError) as caught:
        build({"a": Concat(), "tanh": One()}, {"x": ["a"], "tahn": ["a"]})
    assert str(caught.value) == (
        "tanh is in operators but not in connectivity: nothing feeds it and it feeds nothing. Did you mean 'tahn'? "
        "Connect it, remove it, or write 'tanh': [] in connectivity to keep it as a separate network."
    )


@pytest.mark.parametrize(
    ("operators", "text"),
    [
        ({}, "^operators must be a dictionary from nodes to operators, with at least one entry, such as .*, not {}"),
        ([One()], "^operators must be a dictionary"),
        (None, "^operators must be a dictionary"),
        ({None: One()}, "^A key of operators is None, a NoneType: the key of a node must be a str or an int"),
        ({True: One()}, "^A key of operators is True, a bool"),
        ({1.0: One()}, "^A key of operators is 1.0, a float"),
        ({("a",): One()}, "^A key of operators is .*, a tuple"),
        ({"a": []}, r"^operators\['a'\] holds 0 operators, but a node computes one"),
        (
            {"a": [One(), One()]},
            r"^operators\['a'\] holds 2 operators, but .*: give each operator its own node and connect",
        ),
    ],
)
def test_operators_that_are_no_dictionary_of_nodes(operators, text):
    with pytest.raises(SettingError, match=text):
        normalise_operators(operators)


@pytest.mark.parametrize(
    ("connectivity", "text"),
    [
        (None, "^connectivity must be a dictionary from nodes to the nodes they feed, such as .*, not None"),
        ([("a", "b")], "^connectivity must be a dictionary"),
        ({1.0: ["a"]}, "^A key of connectivity is 1.0, a float"),
        ({False: ["a"]}, "^A key of connectivity is False, a bool"),
        ({"x": "fc1"}, r"^connectivity\['x'\] is 'fc1': write a list of nodes, such as \['fc1'\]$"),
        ({"x": 1}, r"^connectivity\['x'\] is 1: write a list of nodes, such as \[1\]$"),
        ({"x": Feed("a")}, r"^connectivity\['x'\] is Feed\(.*\): write a list of nodes, such as \[Feed\("),
        ({"x": None}, r"^connectivity\['x'\] is None, a NoneType: write a list of nodes, or \[\] for none$"),
        ({"x": {"a"}}, r"^connectivity\['x'\] is {'a'}, a set: write a list of nodes"),
        (
            {"x": ["a", None]},
            r"^An entry of connectivity\['x'\] is None, a NoneType: the key of a node must be a str or an",
        ),
        ({"x": [["a"]]}, r"^An entry of connectivity\['x'\] is \['a'\], a list"),
    ],
)
def test_a_connectivity_that_is_no_dictionary_of_lists(connectivity, text):
    with pytest.raises(SettingError, match=text):
        normalise_connectivity(connectivity)
