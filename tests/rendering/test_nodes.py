import pytest

from graphdl.errors import DrawingError
from graphdl.rendering.nodes import ImplicitInput, NodeFacts, complete, namespace, short_name


def test_namespace_is_what_stands_before_the_last_slash():
    assert namespace("layer1/res1/conv") == ("layer1", "res1")
    assert namespace("conv") == namespace(3) == namespace(ImplicitInput("a/b")) == ()
    assert namespace("/") == ("",)


def test_short_name_is_what_stands_after_it():
    assert [short_name(key) for key in ("a/b/c", "c", 3, "a/", ImplicitInput("a/b"))] == [
        "c",
        "c",
        "3",
        "",
        "a/b",
    ]


def test_complete_adds_an_input_for_every_implicit_name(connect, dense):
    graph = connect({1: [2], 2: []}, implicit={1: {0: 1}})
    whole, facts = complete(graph, {1: dense(), 2: dense()})
    assert list(whole.edges) == [(1, 2, 0), (ImplicitInput(1), 1, 0)]
    assert facts[ImplicitInput(1)] == NodeFacts("input")
    assert list(graph) == [1, 2]


def test_an_implicit_input_has_the_facts_given_under_its_name(connect, dense):
    known = NodeFacts("input", shape=(2,))
    graph = connect({"fc": []}, implicit={"fc": {0: "x"}})
    _, facts = complete(graph, {"fc": dense(), "x": known})
    assert facts[ImplicitInput("x")] is known


def test_one_implicit_input_may_feed_several_slots(connect, operator):
    whole, _ = complete(connect({"sum": []}, {"sum": {0: "x", 1: "x"}}), {"sum": operator("Sum", "merge")})
    assert whole.number_of_edges(ImplicitInput("x"), "sum") == 2


def test_missing_facts_are_named(connect):
    with pytest.raises(DrawingError, match=r"no facts are given about 'a' and 1\. Every node .* needs NodeFacts"):
        complete(connect({"a": [1]}), {})


def test_shared_parameters_count_once():
    assert NodeFacts("operator", parameters=5).own_parameters == 5
    assert NodeFacts("operator", parameters=5, shares="a").own_parameters == 0


def test_tone_is_the_family_of_an_operator_and_the_kind_of_the_others():
    tones = [NodeFacts(kind, family="dense").tone for kind in ("input", "operator", "loss")]
    assert tones == ["input", "dense", "loss"]
