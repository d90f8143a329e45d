import ast
import itertools
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import graphdl.rendering
from graphdl.errors import DrawingError
from graphdl.rendering import NodeFacts, available, diagram, svg
from graphdl.rendering.theme import DARK, LIGHT

ODD_NAMES = [
    '<b>&"bold"|{x}',
    "多层感知机",
    "back\\slash\\N\\G\\l",
    '"quoted"',
    "it's",
    "&amp;&lt;",
    "emoji 🙂",
    "%s {0} $x",
    '#"<TABLE>',
    "n0:r0:e",
    "-->",
    "]]>",
]
INVISIBLE_NAMES = {
    "": '""',
    "  ": '"  "',
    "new\nline": "new⏎line",
    "ctrl\x00\x1b": "ctrl␀␛",
    "\ud800": "\ufffd",
}


def lines_with(source, start):
    return [line.strip() for line in source.splitlines() if line.strip().startswith(start)]


def edges(source):
    return [line.strip() for line in source.splitlines() if " -> " in line]


def svg_texts(picture):
    root = ElementTree.fromstring(svg(picture))
    return [
        "".join(element.itertext()).replace("\N{NO-BREAK SPACE}", " ")
        for element in root.iter("{http://www.w3.org/2000/svg}text")
    ]


def svg_tooltips(picture):
    root = ElementTree.fromstring(svg(picture))
    return {element.get("{http://www.w3.org/1999/xlink}title") for element in root.iter()}


def svg_ids(picture):
    return {element.get("id") for element in ElementTree.fromstring(svg(picture)).iter()}


needs_an_engine = pytest.mark.skipif(not available(), reason="neither dot nor pygraphviz is installed")


def test_the_public_names():
    assert set(graphdl.rendering.__all__) >= {"NodeFacts", "available", "diagram", "render", "svg"}


def test_a_perceptron_is_one_card_between_pills(perceptron):
    source = diagram(*perceptron, title="MLP").source
    assert [line.split(" [")[0] for line in lines_with(source, "n") if "->" not in line][1:] == ["n0", "n1", "n2", "n3"]
    assert source.count("PORT=") == 3
    assert "subgraph" not in source
    assert [edge.split(" [")[0] for edge in edges(source)] == ["n0 -> n2", "n2 -> n3", "n1 -> n3"]


def test_splines_are_never_orthogonal(perceptron):
    assert "ortho" not in diagram(*perceptron, title="MLP").source


@pytest.mark.parametrize(("name", "theme"), [("light", LIGHT), ("dark", DARK)])
def test_a_theme_colours_ground_and_words(perceptron, name, theme):
    source = diagram(*perceptron, title="MLP", theme=name).source
    assert f'bgcolor="{theme.background}"' in source
    assert theme.tone("dense").strong in source


def test_an_unknown_theme_is_refused(perceptron):
    with pytest.raises(DrawingError, match="no theme 'blue'"):
        diagram(*perceptron, title="MLP", theme="blue")


def test_a_sum_is_a_circle_with_a_plus_and_its_skip_leaves_from_the_row(connect, dense, operator):
    graph = connect({"a": ["b"], "b": ["c", "sum"], "c": ["sum"], "sum": ["d"], "d": []})
    facts = dict.fromkeys(graph, dense()) | {"sum": operator("Sum", "merge")}
    source = diagram(graph, facts, title="skip").source
    circle = next(line for line in lines_with(source, "n") if "shape=circle" in line)
    assert "<B>+</B>" in circle
    assert 'id="op:sum"' in circle
    assert LIGHT.skip in circle
    skip = next(edge for edge in edges(source) if "dashed" in edge)
    assert skip.startswith("n0:r1:_ -> n2 [")
    assert "weight=0" in skip


def test_parallel_edges_are_both_drawn(connect, dense, operator):
    graph = connect({"a": ["sum", "sum"], "sum": []})
    source = diagram(graph, {"a": dense(), "sum": operator("Sum", "merge")}, title="double").source
    assert [edge.split(" [")[0] for edge in edges(source)] == ["n0 -> n1", "n0 -> n1"]


def test_an_implicit_input_is_a_pill_beside_its_namesake(connect, dense):
    graph = connect({1: [], "1": []}, implicit={1: {0: 1}, "1": {0: "1"}})
    source = diagram(graph, {1: dense(), "1": dense()}, title="int and text").source
    assert source.count("shape=box") == 2
    assert len(edges(source)) == 2
    assert all(f'"op:{key}"' in source for key in ("1", "&#x27;1&#x27;"))


def test_frames_are_nested_and_carry_their_totals(connect, dense, operator):
    graph = connect(
        {
            "net/in": ["net/block/a", "net/block/b"],
            "net/block/a": ["net/block/sum"],
            "net/block/b": ["net/block/sum"],
            "net/block/sum": [],
        }
    )
    facts = dict.fromkeys(graph, dense(1, 1)) | {"net/block/sum": operator("Sum", "merge")}
    source = diagram(graph, facts, title="frames").source
    outer, inner = source.index("subgraph cluster0"), source.index("subgraph cluster1")
    assert outer < inner
    assert source[inner:].splitlines()[-1] == "}"
    assert [">6<" in source[outer:inner], ">4<" in source[inner:]] == [True, True]


def test_the_innermost_frame_around_a_skip_has_room_for_it(connect, dense, operator):
    names = ("in", "one/a", "one/b", "two/c", "two/d/e", "two/sum")
    graph = connect({f"net/{tail}": [f"net/{head}"] for tail, head in itertools.pairwise(names)})
    graph.add_edge("net/one/a", "net/two/sum", slot=1, slot_name=None, gradient=1.0)
    facts = dict.fromkeys(graph, dense()) | {"net/two/sum": operator("Sum", "merge")}
    source = diagram(graph, facts, title="room").source
    margins = [line.rsplit("margin=", 1)[1][:2] for line in lines_with(source, "graph [") if "margin=" in line]
    assert margins == ["34", "14", "14"]


def test_folded_blocks_are_counted_but_drawn_once(blocks):
    source = diagram(*blocks(12), title="folded").source
    assert "×12" in source
    assert "block0 to block11" in source
    assert "block1/" not in source
    assert f">{12 * 3 + 3} operators" in source


def test_two_losses_and_their_weights_are_drawn(connect, dense):
    graph = connect({"fc": ["one", "two"], "one": [], "two": []})
    facts = {
        "fc": dense(),
        "one": NodeFacts("loss", "MSELoss"),
        "two": NodeFacts("loss", "L1", settings="× 0.1"),
    }
    source = diagram(graph, facts, title="losses").source
    assert source.count("shape=box") == 2
    assert "× 0.1" in source


def test_an_empty_graph_is_a_title(connect):
    assert ">empty<" in diagram(connect({}), {}, title="empty").source


def test_keys_that_look_like_numbers_are_drawn(connect, dense):
    keys = [-1, "-1", "--5", "9" * 5000, "٣", 3]
    graph = connect({key: [] for key in keys})
    source = diagram(graph, dict.fromkeys(keys, dense()), title="numbers").source
    assert [f'ID="op:{shown}"' in source for shown in ("-1", "&#x27;-1&#x27;", "--5", "٣", "3")] == [True] * 5


@needs_an_engine
def test_odd_names_can_be_read_in_the_picture(connect, dense):
    names = [*ODD_NAMES, *INVISIBLE_NAMES]
    graph = connect({tail: [head] for tail, head in zip(names, [*names[1:], "end"], strict=True)})
    picture = diagram(graph, dict.fromkeys([*names, "end"], dense()), title='<T> & "q" \\N')
    texts = [text.strip() for text in svg_texts(picture)]
    assert texts[0] == '<T> & "q" \\N'
    for shown in [*ODD_NAMES, *INVISIBLE_NAMES.values()]:
        assert shown.strip() in texts, shown


@needs_an_engine
def test_odd_names_can_be_read_on_pills_frames_edges_and_tooltips(connect, dense, operator):
    for name in ODD_NAMES:
        first, second, target = f"{name}/a", f"{name}/b", f"{name}"
        graph = connect({first: [second], target: [(second, {"slot_name": f"s{name}"})], second: []})
        facts = {
            first: dense(),
            second: operator("Concat", "merge", settings=name),
            target: NodeFacts("input"),
        }
        picture = diagram(graph, facts, title="odd")
        texts = [text.strip() for text in svg_texts(picture)]
        assert texts.count(name) == 3, name
        assert any(text.startswith(f"s{name}"[:15]) for text in texts), name
        tooltips = svg_tooltips(picture)
        row = f"{first} · Linear · 25 → 25 · 25 f32 · 650 parameters"
        assert {name, row, f"{target} · input", f"{second} · Concat · {name} · 25"} <= tooltips, name
        assert f"{target} → {second} · slot s{name}" in tooltips
        assert {f"op:{second}", f"a_op:{first}", f"space:{name}"} <= svg_ids(picture), name


@needs_an_engine
def test_rows_can_be_found_by_id(perceptron):
    assert {"a_op:fc1", "a_op:tanh", "op:loss", "op:x"} <= svg_ids(diagram(*perceptron, title="MLP"))


def test_five_thousand_nodes_take_a_moment(connect, dense, operator):
    graph = connect({index: [index + 1] for index in range(5000)})
    for index in range(0, 4990, 5):
        graph.add_edge(index, index + 5, slot=1, slot_name=None, gradient=1.0)
    facts = {index: dense() if index % 5 else operator("Sum", "merge") for index in graph}
    start = time.perf_counter()
    source = diagram(graph, facts, title="long").source
    assert time.perf_counter() - start < 10
    assert source.count("dashed") == 998


def test_pictures_know_no_tensors():
    """Only errors and files of graphdl and the drawing libraries are imported, by any file."""
    allowed = {
        "graphdl.errors",
        "graphdl.files",
        "graphdl.rendering",
        "graphdl.shown",
        "networkx",
        "graphviz",
        "pygraphviz",
    }
    for file in Path(graphdl.rendering.__file__).parent.glob("*.py"):
        for statement in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            names += [str(statement.module)] if isinstance(statement, ast.ImportFrom) else []
            foreign = {
                ".".join(name.split(".")[:2]) for name in names if name.split(".")[0] not in sys.stdlib_module_names
            }
            assert foreign <= allowed, file


def test_edges_lead_down_or_to_the_right(perceptron):
    assert "rankdir=TB" in diagram(*perceptron, title="MLP").source
    assert "rankdir=LR" in diagram(*perceptron, title="MLP", direction="right").source
    with pytest.raises(DrawingError, match=r"no direction 'rigth': the directions are .*Did you mean 'right'\?"):
        diagram(*perceptron, title="MLP", direction="rigth")


def test_unfolded_every_node_has_a_box(blocks):
    graph, facts = blocks(5)
    source = diagram(graph, facts, title="", unfolded=True).source
    boxes = [line for line in lines_with(source, "n") if "->" not in line and not line.startswith("node")]
    assert len(boxes) == len(graph)
    assert "shape=circle" not in source
    assert "×5" not in source
    assert source.count("PORT=") == sum(fact.kind == "operator" and fact.operator != "Sum" for fact in facts.values())


@pytest.mark.parametrize("name", ["sum", "layer/plus <b>"])
def test_a_circle_carries_its_name_beside_it(connect, dense, operator, name):
    graph = connect({"a": [name], "b": [name], name: []})
    source = diagram(graph, {"a": dense(), "b": dense(), name: operator("Sum", "merge")}, title="").source
    circle = next(line for line in lines_with(source, "n") if "shape=circle" in line)
    shown = name.replace("<", "&lt;").replace(">", "&gt;")
    assert f'<FONT COLOR="{LIGHT.muted}" POINT-SIZE="9">{shown}</FONT>' in circle
