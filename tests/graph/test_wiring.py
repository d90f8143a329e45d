"""Which of two unnamed edges into a loss is the prediction, and what becomes of slots that nothing feeds."""

import pickle

import pytest

from graphdl import CrossEntropyLoss, Linear, MSELoss, Network
from graphdl.errors import ArityError, SettingError
from graphdl.graph import (
    Feed,
    Shared,
    build_graph,
    input_kinds,
    normalise_connectivity,
    normalise_operators,
    sources,
    sources_by_role,
)
from graphdl.operators import LayerNorm
from graphdl.slots import InputSlot


class Plain:
    slots = ("input",)
    trains = False
    differentiable = True


class Layer(Plain):
    trains = True


class Join(Plain):
    slots = None


class Loss(Plain):
    slots = (InputSlot("prediction", role="prediction"), InputSlot("target", role="target"))


class Stop(Plain):
    differentiable = False


class Lookup(Plain):
    slots = (InputSlot("index", kind="integer"),)


class Choice(Plain):
    slots = (InputSlot("condition", kind="boolean"), "input")


class Weighted(Plain):
    slots = (*Loss.slots, InputSlot("weights", optional=True))


class Backwards(Plain):
    slots = Loss.slots[::-1]


def build(operators, connectivity):
    return build_graph(normalise_operators(operators), normalise_connectivity(connectivity))


def predicted(operators, connectivity, loss="loss"):
    graph = build(operators, connectivity)
    return [source for role in ("prediction", "target") for source in sources_by_role(graph, loss, role)]


NODES = {"fc": Layer(), "tanh": Plain(), "plain": Plain(), "teacher": Layer()}
NODES |= {"stop": Stop(), "lookup": Lookup(), "choice": Choice()}


@pytest.mark.parametrize("loss", [Loss(), Weighted(), Backwards()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize(
    "connectivity",
    [
        {"x": ["fc"], "target": ["loss"], "fc": ["tanh"], "tanh": ["loss"]},
        {"x": ["fc"], "fc": ["tanh"], "tanh": ["loss"], "target": ["loss"]},
        {"x": ["fc", "plain"], "plain": ["loss"], "fc": ["tanh"], "tanh": ["loss"]},
        {"x": ["fc", "teacher"], "teacher": [Feed("loss", gradient=0)], "fc": ["tanh"], "tanh": ["loss"]},
        {"x": ["fc", "teacher"], "teacher": [Feed("plain", gradient=0.0)], "plain": ["loss"], "fc": ["tanh"],
         "tanh": [Feed("loss", gradient=-1)]},
        {"x": ["fc"], "fc": ["tanh", Feed("plain", gradient=0)], "plain": ["loss"], "tanh": ["loss"]},
        {"x": ["fc", "teacher"], "teacher": ["stop"], "stop": ["loss"], "fc": ["tanh"], "tanh": ["loss"]},
        {"x": ["fc", "teacher"], "teacher": ["lookup"], "lookup": ["loss"], "fc": ["tanh"], "tanh": ["loss"]},
        {"x": ["fc", "teacher"], "plain": ["choice"], "teacher": [Feed("choice", slot="condition")],
         "choice": ["loss"], "fc": ["tanh"], "tanh": ["loss"]},
    ],
)  # fmt: skip
def test_of_two_unnamed_edges_the_one_that_training_changes_is_the_prediction(connectivity, loss):
    used = {node for node in NODES if node in connectivity}
    graph = build({**{key: NODES[key] for key in used}, "loss": loss}, connectivity)
    assert sources_by_role(graph, "loss", "prediction") == ("tanh",)
    assert "tanh" not in sources_by_role(graph, "loss", "target")


@pytest.mark.parametrize(
    ("connectivity", "expected"),
    [
        ({"a": ["loss"], "b": ["loss"]}, ["a", "b"]),
        ({"b": ["loss"], "a": ["loss"]}, ["b", "a"]),
        ({"x": ["fc", "teacher"], "fc": ["loss"], "teacher": ["loss"]}, ["fc", "teacher"]),
        ({"x": ["fc", "teacher"], "teacher": ["loss"], "fc": ["loss"]}, ["teacher", "fc"]),
        ({"x": ["fc"], "fc": ["loss", "loss"]}, ["fc", "fc"]),
    ],
)
def test_where_training_does_not_decide_the_order_written_does(connectivity, expected):
    assert predicted({**{k: NODES[k] for k in connectivity if k in NODES}, "loss": Loss()}, connectivity) == expected


@pytest.mark.parametrize(
    ("feeds", "expected"),
    [
        ({"t": [Feed("loss", slot="prediction")], "fc": ["loss"]}, ["t", "fc"]),
        ({"t": [Feed("loss", slot=0)], "fc": [Feed("loss", slot=1)]}, ["t", "fc"]),
        ({"fc": [Feed("loss", slot="target")], "t": ["loss"]}, ["t", "fc"]),
    ],
)
def test_named_slots_are_as_they_are_named(feeds, expected):
    assert predicted({"fc": Layer(), "loss": Loss()}, {"x": ["fc"], **feeds}) == expected


def test_shared_counts_as_its_owner():
    operators = {"fc": Layer(), "copy": Shared("fc"), "plain": Plain(), "again": Shared("plain"), "loss": Loss()}
    edges = {"x": ["fc", "plain"], "y": ["copy", "again"], "again": ["loss"], "copy": ["loss"]}
    assert predicted(operators, edges) == ["copy", "again"]


def test_three_unnamed_edges_are_as_they_are_written():
    edges = {"a": ["loss"], "x": ["fc"], "w": ["loss"], "fc": ["loss"]}
    assert list(sources(build({"fc": Layer(), "loss": Weighted()}, edges), "loss").values()) == ["a", "w", "fc"]


def test_the_rule_is_for_losses_alone():
    class Two(Plain):
        slots = ("prediction", "target")

    edges = {"x": ["fc"], "t": ["two"], "fc": ["two"]}
    assert list(sources(build({"fc": Layer(), "two": Two()}, edges), "two").values()) == ["t", "fc"]


def test_long_chains_are_followed_in_linear_time():
    count = 20_000
    operators = {0: Layer(), **{k: Plain() for k in range(1, count)}, **{f"loss{k}": Loss() for k in range(count)}}
    edges = {"t": [f"loss{k}" for k in range(count)], "x": [0]}
    edges |= {k: [*([k + 1] if k + 1 < count else []), f"loss{k}"] for k in range(count)}
    graph = build(operators, edges)
    assert sources_by_role(graph, f"loss{count - 1}", "prediction") == (count - 1,)


def test_an_optional_slot_that_nothing_feeds_is_absent():
    graph = build({"loss": Weighted()}, {"p": ["loss"], "t": ["loss"]})
    assert (graph.nodes["loss"]["absent"], graph.nodes["loss"]["implicit"]) == ((2,), {})
    assert graph.nodes["loss"]["reads"] == 3


def test_of_unfed_slots_only_the_required_become_inputs():
    graph = build({"loss": Weighted()}, {"p": ["loss"]})
    assert (graph.nodes["loss"]["absent"], graph.nodes["loss"]["implicit"]) == ((2,), {1: "loss"})
    fed = build({"loss": Weighted()}, {"w": [Feed("loss", slot="weights")]})
    assert fed.nodes["loss"]["implicit"] == {0: "loss.prediction", 1: "loss.target"}
    assert fed.nodes["loss"]["absent"] == ()


def test_too_many_edges_for_optional_slots_too():
    with pytest.raises(ArityError, match=r"takes 3 inputs \(prediction, target, weights\)"):
        build({"loss": Weighted()}, {name: ["loss"] for name in "abcd"})


class Indices(Plain):
    slots = (InputSlot("x", kind="integer"), InputSlot("mask", optional=True, kind="boolean"))


class Classes(Plain):
    slots = (InputSlot("prediction", role="prediction"), InputSlot("target", role="target", kind="class"))


def test_the_kinds_of_the_inputs():
    operators = {"e": Indices(), "fc": Layer(), "loss": Classes()}
    edges = {"words": ["e"], "m": ["e"], "e": ["fc"], "fc": ["loss"], "y": ["loss"]}
    graph = build(operators, edges)
    assert input_kinds(graph) == {"words": "integer", "m": "boolean", "y": "integer"}
    assert input_kinds(graph, {"fc": (5, 3), "y": (5,)})["y"] == "integer"
    assert "y" not in input_kinds(graph, {"fc": (5, 3), "y": (5, 3)})
    assert input_kinds(build({"e": Indices(), "a": Plain()}, {"a": ["e"]})) == {}
    assert input_kinds(build({"e": Indices()}, {"e": []})) == {"e": "integer"}


def test_a_slot_is_a_string_that_declares_more():
    slot = InputSlot("mask", optional=True, kind="boolean")
    again = pickle.loads(pickle.dumps(slot))
    assert (again, again.optional, again.kind, again.role) == ("mask", True, "boolean", None)
    with pytest.raises(SettingError, match=r"role must be None or 'prediction' or 'target', not 'traget'\. Did you"):
        InputSlot("y", role="traget")


def test_an_input_that_is_also_computed_with_is_no_class_index():
    operators = {"fc": Linear(2, 3), "norm": LayerNorm(3), "loss": CrossEntropyLoss(), "error": MSELoss()}
    edges = {"x": ["fc"], "fc": ["loss", "error"], "p": ["norm", Feed("loss", slot="target")], "norm": ["error"]}
    assert input_kinds(Network(operators, edges).graph) == {}
