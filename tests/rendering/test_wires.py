import pytest

from graphdl.rendering.theme import LIGHT
from graphdl.rendering.wires import gradient_style, pen_width, skips, wire_attributes


def attributes(graph, facts, tail, head, skip=False):
    return wire_attributes(graph, facts, (tail, head), graph.edges[tail, head, 0], skip, LIGHT)


@pytest.mark.parametrize(
    ("gradient", "label"), [(0.0, "∇ stopped"), (-1.0, "∇ × −1"), (-0.25, "∇ × −0.25"), (0.5, "∇ × 0.5")]
)
def test_gradient_labels(gradient, label):
    assert gradient_style(gradient).label == label


def test_an_untouched_gradient_has_no_style():
    assert gradient_style(1.0) is None
    assert gradient_style(1) is None


def test_an_edge_that_bypasses_another_path_is_a_skip(connect, dense, operator):
    graph = connect({"a": ["b", "sum"], "b": ["c"], "c": ["sum"], "sum": []})
    facts = dict.fromkeys(graph, dense()) | {"sum": operator("Sum", "merge")}
    assert skips(graph, facts) == {("a", "sum")}


def test_the_shorter_of_two_branches_is_no_skip(connect, dense, operator):
    graph = connect({"x": ["a", "b"], "a": ["sum", "probe"], "b": ["c"], "c": ["sum"], "sum": [], "probe": []})
    facts = dict.fromkeys(graph, dense()) | {"sum": operator("Sum", "merge")}
    assert skips(graph, facts) == set()


def test_parallel_edges_are_no_skips(connect, dense, operator):
    graph = connect({"a": ["sum", "sum"], "sum": []})
    assert skips(graph, {"a": dense(), "sum": operator("Sum", "merge")}) == set()


def test_only_merges_are_skipped_into(connect, dense, operator):
    graph = connect({"a": ["b", "attention", "cat"], "b": ["attention", "cat"], "attention": [], "cat": []})
    facts = dict.fromkeys(graph, dense()) | {"cat": operator("Concat", "merge")}
    assert skips(graph, facts) == {("a", "cat")}


def test_a_path_too_long_to_follow_counts_as_one(connect, dense, operator):
    graph = connect({index: [index + 1] for index in range(1, 3000)})
    graph.add_edge(1, 3000, slot=1, slot_name=None, gradient=1.0)
    facts = dict.fromkeys(graph, dense()) | {3000: operator("Sum", "merge")}
    assert skips(graph, facts) == {(1, 3000)}


def test_beside_a_path_too_long_to_follow_a_short_branch_is_still_no_skip(connect, dense, operator):
    graph = connect({index: [index + 1] for index in range(1, 3000)} | {"short": [3000]})
    graph.add_edges_from([(1, "short"), (2999, "probe")])
    facts = dict.fromkeys(graph, dense()) | {3000: operator("Sum", "merge")}
    assert skips(graph, facts) == set()
    graph.add_edge(1, 3000)
    assert skips(graph, facts) == {(1, 3000)}


def test_pen_width_grows_evenly_as_the_elements_double():
    widths = [pen_width(shape) for shape in (None, (1,), (2,), (2, 2), (8,))]
    assert widths == pytest.approx([1.0, 1.0, 1.13, 1.26, 1.39])
    assert pen_width((0,)) == 1.0
    assert pen_width((10**9, 10**9)) == 6.0


def test_the_spine_is_heavy_and_carries_its_shape(perceptron):
    graph, facts = perceptron
    wire = attributes(graph, facts, "fc2", "loss")
    assert wire["weight"] == "20"
    assert ">" not in wire["tooltip"]
    assert wire["label"].startswith("<&#160;&#160;2&#160;<BR")
    assert "<I>prediction</I>" in wire["label"]


def test_an_input_beside_the_spine_is_light_and_not_labelled_with_its_own_name(perceptron):
    graph, facts = perceptron
    wire = attributes(graph, facts, "target", "loss")
    assert wire["weight"] == "1"
    assert "label" not in wire
    assert wire["tooltip"] == "target → loss · slot target · 2 f32"


def test_the_slot_of_a_target_with_another_name_is_shown(connect, perceptron):
    graph, facts = perceptron
    graph.add_edge("y", "loss", slot=2, slot_name="<weight>", gradient=1.0)
    wire = attributes(graph, facts | {"y": facts["x"]}, "y", "loss")
    assert wire["label"] == "<&#160;&#160;<I>&lt;weight&gt;</I>&#160;>"


def test_the_slots_of_a_sum_are_not_shown(connect, dense, operator):
    graph = connect({"a": [("sum", {"slot_name": "left"})], "b": [("sum", {"slot_name": "right"})], "sum": []})
    facts = {"a": dense(), "b": dense(), "sum": operator("Sum", "merge")}
    assert "left" not in attributes(graph, facts, "a", "sum")["label"]
    facts["sum"] = operator("Subtract", "merge")
    assert "<I>left</I>" in attributes(graph, facts, "a", "sum")["label"]


def test_a_skip_is_dashed_red_weightless_and_without_shape(connect, dense, operator):
    graph = connect({"a": ["b", "sum"], "b": ["sum"], "sum": []})
    facts = dict.fromkeys(graph, dense()) | {"sum": operator("Sum", "merge")}
    wire = attributes(graph, facts, "a", "sum", skip=True)
    assert (wire["color"], wire["style"], wire["weight"]) == (LIGHT.skip, "dashed", "0")
    assert "label" not in wire


@pytest.mark.parametrize("skip", [False, True])
def test_a_stopped_gradient_is_seen_on_any_edge(connect, dense, skip):
    graph = connect({"a": [("b", {"gradient": 0.0})], "b": []})
    wire = attributes(graph, {"a": dense(), "b": dense()}, "a", "b", skip)
    assert (wire["color"], wire["dir"], wire["arrowtail"]) == (LIGHT.gradient, "both", "tee")
    assert "∇ stopped" in wire["label"]
    assert wire["tooltip"].endswith("∇ stopped")
