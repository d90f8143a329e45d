from graphdl.rendering.cards import MOST_ROWS, Card, Place, arrange, form, group, parameter_totals, prefixes
from graphdl.rendering.nodes import NodeFacts


def rows(graph, facts):
    return [card.rows for card in group(graph, facts)]


def test_a_chain_becomes_one_card(perceptron):
    graph, facts = perceptron
    assert rows(graph, facts) == [("x",), ("target",), ("fc1", "tanh", "fc2"), ("loss",)]


def test_a_card_ends_where_the_namespace_does(connect, dense):
    graph = connect({"a/1": ["a/2"], "a/2": ["b/1"], "b/1": ["c"], "c": []})
    assert rows(graph, dict.fromkeys(graph, dense())) == [("a/1", "a/2"), ("b/1",), ("c",)]


def test_a_card_ends_where_the_path_forks_or_joins(connect, dense, operator):
    graph = connect({"a": ["b"], "b": ["c", "d"], "c": ["e"], "d": ["e"], "e": ["f"], "f": []})
    facts = dict.fromkeys(graph, dense()) | {"e": operator("Attention", "attention")}
    assert rows(graph, facts) == [("a", "b"), ("c",), ("d",), ("e", "f")]


def test_a_card_ends_at_an_edge_that_has_something_to_show(connect, dense):
    stopped = connect({"a": [("b", {"gradient": 0.0})], "b": []})
    double = connect({"a": ["b", "b"], "b": []})
    facts = {"a": dense(), "b": dense()}
    assert rows(stopped, facts) == rows(double, facts) == [("a",), ("b",)]


def test_merges_inputs_and_losses_stand_alone(connect, dense, operator):
    graph = connect({"a": ["sum"], "sum": ["cat"], "cat": ["b"], "b": ["loss"], "loss": []})
    facts = {"a": dense(), "sum": operator("Sum", "merge"), "cat": operator("Concat", "merge"), "b": dense()}
    cards = group(graph, facts | {"loss": NodeFacts("loss", "MSELoss")})
    assert [card.form for card in cards] == ["card", "circle", "pill", "card", "pill"]


def test_form_depends_on_kind_class_and_family(operator):
    assert form(NodeFacts("input")) == form(NodeFacts("loss", "Sum")) == "pill"
    assert form(operator("Subtract", "arithmetic")) == "circle"
    assert form(operator("Mean", "merge")) == "pill"
    assert form(operator("Scale", "arithmetic")) == "card"


def test_a_very_long_chain_goes_on_in_another_card(connect, dense):
    graph = connect({index: [index + 1] for index in range(2 * MOST_ROWS)})
    cards = group(graph, dict.fromkeys(graph, dense()))
    assert [len(card.rows) for card in cards] == [MOST_ROWS, MOST_ROWS, 1]
    assert [row for card in cards for row in card.rows] == list(range(2 * MOST_ROWS + 1))


def test_int_and_text_keys_stay_apart(connect, dense):
    graph = connect({1: ["1"], "1": []})
    assert rows(graph, dict.fromkeys(graph, dense())) == [(1, "1")]


def test_prefixes():
    assert prefixes(()) == []
    assert prefixes(("a", "b")) == [("a",), ("a", "b")]


def cards_in(*namespaces):
    return [Card((index,), "card", path) for index, path in enumerate(namespaces)]


def test_a_namespace_with_one_card_is_its_title_and_needs_no_frame():
    frames, places = arrange(cards_in(("head",), ()), {})
    assert frames == []
    assert places == [Place((), ("head",), 1), Place((), (), 1)]


def test_a_namespace_with_several_things_is_a_frame():
    frames, places = arrange(cards_in(("layer1",), ("layer1", "res1"), ("layer1", "res2")), {})
    assert [(frame.path, frame.place) for frame in frames] == [(("layer1",), Place((), ("layer1",), 1))]
    assert places == [
        Place(("layer1",), (), 1),
        Place(("layer1",), ("res1",), 1),
        Place(("layer1",), ("res2",), 1),
    ]


def test_a_namespace_that_holds_one_frame_only_joins_its_title():
    frames, _ = arrange(cards_in(("a", "b", "c"), ("a", "b", "d")), {})
    assert [(frame.path, frame.place.title) for frame in frames] == [(("a", "b"), ("a", "b"))]


def test_frames_come_outermost_first():
    frames, _ = arrange(cards_in(("a", "b"), ("a", "b"), ("a",)), {})
    assert [frame.path for frame in frames] == [("a",), ("a", "b")]
    assert frames[1].place == Place(("a",), ("b",), 1)


def test_repeats_are_shown_on_the_frame_or_on_the_only_card():
    frames, places = arrange(cards_in(("block0",), ("block0",), ("layer0",)), {("block0",): 12, ("layer0",): 6})
    assert frames[0].place.times == 12
    assert [place.times for place in places] == [1, 1, 6]


def test_a_namespace_of_nothing_but_a_folded_block_keeps_its_frame():
    frames, places = arrange(cards_in(("blocks", "0")), {("blocks", "0"): 12})
    assert [frame.path for frame in frames] == [("blocks",)]
    assert places == [Place(("blocks",), ("0",), 12)]


def test_parameter_totals_include_what_is_within(dense):
    facts = {"a/b/c": dense(1, 1), "a/d": dense(2, 2), "e": dense(3, 3), "f": dense(4, 4, shares="e")}
    assert parameter_totals(facts) == {(): 2 + 6 + 12, ("a",): 8, ("a", "b"): 2}
