"""Names with control, escape and bidirectional characters in everything that is printed or drawn."""

import io
import pickle
import re
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib.text
import numpy
import pytest
import torch
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from graphdl import Linear, MSELoss, Network, Sum, fit
from graphdl.cli import app
from graphdl.errors import GraphDLError, GraphDLWarning, SettingError, did_you_mean, path_text
from graphdl.optim import Adam
from graphdl.plots import plot_heat_map, plot_parallel
from graphdl.rendering import available, svg
from graphdl.search import fit_all
from graphdl.shown import MOST_OF_A_MESSAGE, message, received, shortened, shown, visible
from graphdl.training import History

NASTY = {
    "clear the screen": "a\x1b[2Jb",
    "a title": "\x1b]0;owned\x07",
    "new line": "a\nError: b",
    "overwrite": "safe\rgone",
    "tab and bell": "a\tb\x07",
    "null": "a\x00b",
    "C1": "a\x9b31mb",
    "delete": "a\x7f",
    "bidi override": "abc\u202egnp.exe",
    "bidi isolate": "\u2066a\u2069",
    "marks": "a\u200e\u200f\u061cb",
    "zero width": "fc\u200b1",
    "byte order mark": "\ufefffc1",
    "line separator": "a\u2028b",
    "tags": "a\U000e0041b",
    "surrogate": "a\ud800b",
    "markup": "[red]a[/red]",
    "closing markup": "a[/]",
    "link": "[link=file:///etc/passwd]a[/link]",
}
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
    "|[\U000e0000-\U000e0fff]"
)


def network(name):
    operators = {name: Linear(2, 2), "plus": Sum(), "loss": MSELoss()}
    return Network(operators, {name + "in": [name], name: ["plus"], "plus": ["loss"], "y": ["loss"]}, seed=0)


def errors(name):
    """Texts of errors and warnings that hold the name."""
    net = network(name)
    calls = [
        lambda: Network({name: Linear(2, 2)}, {name: [name]}),
        lambda: Network({name: Linear(2, 2)}, {"x": [name], name: [name + "?"]}),
        lambda: Network({name: Linear(2, 2)}, {"x": [name], "z": [name]}),
        lambda: net.freeze(name + "?"),
        lambda: net.predict({name + "?": torch.zeros(1, 2)}),
        lambda: net.forward({name + "in": torch.zeros(1, 5), "y": torch.zeros(1, 2)}),
        lambda: net.values[name],
        lambda: net.load_state_dict({name: torch.zeros(1)}),
        lambda: net.part(inputs=[name], outputs=[name + "?"]),
        lambda: Network.from_dict({name: 1}),
        lambda: net.render(f"{name[:1]}.{name}"),
    ]
    for call in calls:
        with pytest.raises(GraphDLError) as caught:
            call()
        yield str(caught.value)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn(f"{name} is odd", GraphDLWarning, stacklevel=1)
    yield str(seen[0].message)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_no_output_holds_a_nasty_name_raw(name):
    net = network(name)
    net.forward({name + "in": torch.zeros(3, 2), "y": torch.zeros(3, 2)})
    net.backward()
    cost = net.cost({name + "in": (3, 2), "y": (3, 2)})
    tables = [net.summary(), str(cost), cost._repr_html_()]
    texts = [repr(net), net.diagram(title=name).source, *errors(name)]
    for text in [*tables, *texts]:
        assert not RAW.search(text), text
    assert all("\n" not in text for text in errors(name))
    assert all(len(table.splitlines()) < 12 for table in tables)
    assert shown(name) in net.summary()


@pytest.mark.skipif(not available(), reason="neither dot nor pygraphviz is installed")
@pytest.mark.parametrize("direction", ["down", "right"])
def test_no_svg_holds_a_nasty_name_raw(direction):
    names = list(NASTY.values())
    operators = {name: Linear(2, 2) for name in names} | {f"{name}sum": Sum() for name in names} | {"plus": Sum()}
    connectivity = {f"{name}in": [name] for name in names} | {name: [f"{name}sum"] for name in names}
    net = Network(operators, connectivity | {f"{name}sum": ["plus"] for name in names})
    picture = svg(net.diagram(title="".join(names), direction=direction))
    assert not RAW.search(picture)
    text = "".join(ElementTree.fromstring(picture).itertext()).replace("\N{NO-BREAK SPACE}", " ")
    for name in names:
        assert all(visible(part) in text for part in name.split("/")), name


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_rich_prints_a_summary_as_it_is(name):
    file = io.StringIO()
    console = Console(file=file, width=400, force_terminal=False)
    console.print(network(name).summary(), markup=False, highlight=False)
    assert shown(name) in Text(file.getvalue()).plain


@pytest.mark.filterwarnings("ignore:Glyph")
def test_no_plot_holds_a_nasty_name_raw(tmp_path):
    pytest.importorskip("matplotlib")
    history = History()
    history.append({**dict.fromkeys(NASTY.values(), 1.0), "loss": 1.0})
    history.plot(tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert not RAW.search(text)


def test_letters_of_any_script_and_joined_emoji_stay():
    for name in ("多层感知机", "שלום", "می\u200cخواهم", "👩\u200d🔬", "é", "a b/c", "→ × ∇"):
        assert visible(name) == name


def test_an_error_stays_visible_in_a_pickle():
    again = pickle.loads(pickle.dumps(SettingError("a\x1bb")))
    assert str(again) == "a␛b"


def test_long_names_are_shortened_in_errors_and_tables():
    name = "ab" * 8192
    net = network(name)
    assert all(len(text) < 3_000 for text in errors(name))
    assert max(map(len, net.summary().splitlines())) < 2_000
    assert len(repr(net)) < 2_000
    assert net.diagram().source.count(">" + "ab" * 20) == 0


def test_a_text_is_shortened_in_its_middle():
    assert [shortened("abcdefghij", most) for most in (10, 9, 4)] == ["abcdefghij", "abcdef…ij", "ab…j"]
    assert len(message("word " * 10_000)) <= MOST_OF_A_MESSAGE


class Unwritten:
    def __repr__(self):
        raise RuntimeError("written")


def cyclic():
    held = [1]
    held.append(held)
    return held


@pytest.mark.parametrize(("value", "text"), [
    (Unwritten(), "an instance of Unwritten"),
    ([Unwritten()], "an instance of list"),
    (10**5000, "an instance of int"),
    (range(1000), "range(0, 1000)"),
    ({"b": (1, "x"), "a": set()}, "{'b': (1, 'x'), 'a': set()}"),
    (cyclic(), "an instance of list"),
], ids=["raises", "holds", "int", "range", "dict", "cycle"])  # fmt: skip
def test_a_value_is_received_as_it_is_written(value, text):
    assert received(value) == text


@pytest.mark.parametrize(
    "wrap", [lambda each: [each] * 200, lambda each: {1: ([each] * 100,) * 2}, lambda each: (each, "x" * 200)]
)
def test_a_large_value_is_not_written(wrap):
    class Written:
        times = 0

        def __repr__(self):
            Written.times += 1
            return "?"

    assert received(wrap(Written())).startswith("an instance of ")
    assert not Written.times


def test_a_long_cycle_shows_its_ends():
    operators = {f"n{i}": Sum() for i in range(1000)}
    with pytest.raises(GraphDLError, match=r"cycle: n0 -> n1 -> n2 -> n3 -> n4 -> \.\.\. 991 more \.\.\. -> n996 -> "):
        Network(operators, {f"n{i}": [f"n{(i + 1) % 1000}"] for i in range(1000)})
    assert path_text("abc") == "a -> b -> c"


@pytest.mark.parametrize(
    ("name", "guess"), [("layer70O1", "layer701"), ("layr5000", "layer5000"), ("head_", "head"), ("zzzzz", None)]
)
def test_a_guess_among_many_names(name, guess):
    known = [*(f"layer{i}" for i in range(20_000)), "head"]
    assert did_you_mean(name, known) == (f" Did you mean {guess!r}?" if guess else "")
    long = ["x" * 16_384, "y" * 16_384]
    assert did_you_mean("x" * 16_385, long) == f" Did you mean {long[0]!r}?"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_nothing_of_training_shows_a_nasty_name_raw(tmp_path, monkeypatch, capsys):
    """The name of a loss is in the names of its figures: histories, progress, sweeps, plots and the command line."""
    name = "l\x1b[31m\u202eA"
    operators = {"fc": Linear(2, 1), name: MSELoss(), "other": MSELoss()}
    net = Network(operators, {"x": ["fc"], "fc": [name, "other"], "y": [name, "other"]}, seed=0)
    x = torch.rand(8, 2)
    monkeypatch.setattr("graphdl.training.displays.SHORT", 0.0)
    history = fit(net, x, x[:, :1], optimizer=Adam(), epochs=2, batch_size=4, progress=True)
    assert any(name in key for key in history)
    swept = fit_all([net], x, x[:, :1], optimizers=Adam(), epochs=2, batch_size=4, progress=False)
    swept.figure = replace(swept.figure, name=name)
    figure = history.plot()
    line = capsys.readouterr().err
    made = CliRunner().invoke(app, list(map(str, (
        "train", net.save(tmp_path / "net.json"), write_arrays(tmp_path, x), "--epochs", 2, "--out", tmp_path / "run"
    ))))  # fmt: skip
    texts = [repr(history), history._repr_html_(), line, made.output, repr(swept), swept._repr_html_()]
    texts += [history.plot(tmp_path / "h.svg").read_text(encoding="utf-8")]
    texts += [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert made.exit_code == 0, made.output
    assert all(visible(name) in text for text in texts[:4])
    assert any(visible(name) in text for text in texts[7:])
    for text in texts:
        assert not RAW.search(text), text


def test_no_label_of_a_plot_is_raw_when_it_is_drawn_again():
    """Labels of ticks are set by the axes whenever they draw."""
    rows = [{"a\x1b": kind, "b": b, "accuracy": 0.5 + b / 10} for kind in ("x\u202e", "y") for b in (1, 2)]
    for figure in (plot_heat_map(rows, "a\x1b", "b", "accuracy"), plot_parallel(rows, ["a\x1b", "b"], "accuracy")):
        figure.canvas.draw()
        texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
        assert any("x\\u202e" in text for text in texts)
        assert not any(RAW.search(text) for text in texts)


def write_arrays(folder, x):
    """A file of the rows that the network takes."""
    numpy.savez(folder / "data.npz", x=x.numpy(), y=x[:, 0].numpy())
    return folder / "data.npz"
