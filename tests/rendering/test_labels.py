import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from graphdl.rendering.cards import Place
from graphdl.rendering.labels import card_label, frame_label, hint, pill_label, title_label
from graphdl.rendering.nodes import ImplicitInput, NodeFacts
from graphdl.rendering.theme import LIGHT

ALONE = Place((), (), 1)
ODD = """<b>&"'|{}\\N层\n\x00"""


def parsed(label):
    assert label[0] == "<"
    assert label[-1] == ">"
    return ElementTree.fromstring(f"<label>{label[1:-1]}</label>")


def texts(label):
    return [text for text in parsed(label).itertext() if text.strip()]


def card(facts, place=ALONE):
    return card_label(list(facts), {key: f"op:{key}" for key in facts}, facts, place, LIGHT)


def test_a_row_shows_class_name_settings_and_parameters(dense):
    assert texts(card({"enc/fc1": dense(2, 25)})) == ["Linear", "fc1", "2 → 25", "75"]


def test_a_row_carries_port_id_and_tooltip(dense, operator):
    rows = [
        cell for cell in parsed(card({"fc": dense(2, 25), 1: operator("Tanh")})).iter("TD") if "PORT" in cell.attrib
    ]
    assert [(row.get("PORT"), row.get("ID")) for row in rows] == [("r0", "op:fc"), ("r1", "op:1")]
    assert rows[0].get("TOOLTIP") == "fc · Linear · 2 → 25 · 25 f32 · 75 parameters"


def test_a_row_wears_the_colours_of_its_family(dense):
    label = card({"fc": dense()})
    assert 'COLOR="#4F46E5"' in label
    assert 'BGCOLOR="#EEF2FF"' in label


def test_columns_of_a_card_line_up(dense, operator):
    label = card({"a": dense(2, 25), "b": dense(1000, 1000), "c": operator("Tanh")})
    widths = re.findall(r'WIDTH="(\d+)"', label)
    assert widths[:3] == widths[3:6] == widths[6:9]


def test_shared_and_frozen_operators_are_marked(dense):
    assert texts(card({"a": dense(shares="enc_a", frozen=True)}))[1:] == ["a", "frozen", "25 → 25", "= enc_a"]


def test_a_card_is_titled_by_the_namespace_it_stands_for(dense):
    assert texts(card({"a/fc": dense()}, Place((), ("a", "b"), 12)))[:2] == ["a/b", "×12"]


def test_odd_words_are_escaped_everywhere(dense):
    facts = NodeFacts("operator", ODD, ODD, ODD, shares=ODD, dtype=ODD)
    shown = "<b>&\"'|{}\\\\N层⏎␀"
    assert texts(card({ODD: facts}, Place((), (ODD,), 1))) == [shown, shown, shown, shown, f"= {shown}"]
    assert texts(pill_label(ODD, NodeFacts("loss", ODD, settings=ODD), ALONE, LIGHT)) == [shown] * 3
    assert texts(frame_label(Place((), (ODD,), 1), 0, LIGHT)) == [shown]
    assert texts(title_label(ODD, {"a": facts}, 0, LIGHT))[0::2] == [shown, shown]


def test_a_very_long_name_is_shortened_and_whole_in_its_tooltip(dense):
    label = card({"n" * 500: dense()})
    assert texts(label)[1] == "n" * 25 + "…"
    assert "n" * 500 in label


def test_long_settings_stand_in_several_lines(dense):
    settings = "32 → 64, num_layers 2, batch_first, bidirectional, dropout 0.1"
    label = card({"rnn": replace(dense(), settings=settings)})
    assert texts(label)[2:4] == ["32 → 64, num_layers 2, batch_first,", "bidirectional, dropout 0.1"]
    assert label.count('<BR ALIGN="LEFT"/>') == 2
    assert settings in label
    assert texts(card({"rnn": replace(dense(), settings="a, " * 99)}))[4].endswith("…")


def test_hint_tells_everything(dense):
    facts = dense(2, 25, frozen=True, shares="other")
    assert hint("fc", facts) == "fc · Linear · 2 → 25 · 25 f32 · shares the parameters of other · frozen"
    assert hint(1, NodeFacts("input")) == "1 · input"


def test_pills():
    shaped = NodeFacts("input", shape=(3, 32, 32), dtype="f32")
    assert texts(pill_label("enc/x", shaped, ALONE, LIGHT)) == ["x", "3×32×32 f32"]
    assert texts(pill_label("enc/x", NodeFacts("input"), Place((), ("enc",), 1), LIGHT)) == ["enc/x"]
    assert texts(pill_label(ImplicitInput("enc/fc"), NodeFacts("input"), ALONE, LIGHT)) == ["enc/fc"]
    loss = NodeFacts("loss", "MSELoss", settings="× 0.1")
    assert texts(pill_label("loss", loss, ALONE, LIGHT)) == ["loss", "MSELoss", "× 0.1"]
    merge = NodeFacts("operator", "Concat", "merge", "axis 1")
    assert texts(pill_label("cat", merge, ALONE, LIGHT)) == ["Concat", "cat", "axis 1"]


def test_a_frame_shows_name_parameters_and_repeats():
    assert texts(frame_label(Place((), ("block0",), 12), 7_090_000, LIGHT)) == ["block0", "7.09M", "×12"]
    assert texts(frame_label(Place((), ("block0",), 1), 0, LIGHT)) == ["block0"]


def test_the_title_counts_and_lists_the_families_in_use(perceptron):
    _, facts = perceptron
    lines = texts(title_label("MLP", facts, 127, LIGHT))
    assert [" ".join(line.split()) for line in lines[:2]] == ["MLP", "4 operators · 127 parameters"]
    assert lines[2:] == ["input", "dense", "activation", "loss"]


def test_a_legend_wraps_evenly_and_ends_with_unknown_families(operator):
    families = ["zeta", "", *LIGHT.families]
    facts = {family: operator("X", family) for family in families}
    label = title_label("", facts, 0, LIGHT)
    assert texts(label)[1:] == [*LIGHT.families, "zeta", "other"]
    assert label.count("<TABLE") == 1 + -(-(len(LIGHT.families) + 2) // 6)


def test_an_empty_network_has_a_title():
    assert texts(title_label("empty", {}, 0, LIGHT))[0] == "empty"
