import subprocess
import sys
from pathlib import Path

import graphviz
import pytest

from graphdl.errors import DrawingError
from graphdl.rendering import available, diagram, drawing, render, svg

needs_an_engine = pytest.mark.skipif(not available(), reason="neither dot nor pygraphviz is installed")


@pytest.fixture
def picture(perceptron):
    return diagram(*perceptron, title="MLP")


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """A program `dot` on the path that does what its shell script says."""

    def install(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "dot"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    return install


@needs_an_engine
@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.PNG", b"\x89PNG"), ("deep/er/a.pdf", b"%PDF")])
def test_the_suffix_chooses_the_format(picture, tmp_path, name, start):
    path = render(picture, tmp_path / name)
    assert path == tmp_path / name
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["a.dot", "a.gv", "new/a.DOT"])
def test_the_source_needs_no_engine(picture, tmp_path, no_engine, name):
    assert render(picture, str(tmp_path / name)).read_text(encoding="utf-8") == picture.source


@pytest.mark.parametrize("name", ["a.jpg", "a", ".svg"])
def test_another_suffix_is_refused(picture, tmp_path, name):
    with pytest.raises(DrawingError, match=r"its suffix must be \.svg, \.png, \.pdf or \.dot"):
        render(picture, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_suffix_gets_a_suggestion(picture, tmp_path):
    with pytest.raises(DrawingError, match=r"Did you mean '\.svg'\?"):
        render(picture, tmp_path / "a.svgg")


def test_without_an_engine_both_remedies_are_named_and_the_source_is_kept(picture, tmp_path, no_engine):
    assert not available()
    with pytest.raises(DrawingError) as caught:
        render(picture, tmp_path / "new" / "net.svg")
    text = str(caught.value)
    assert "`apt-get install graphviz`" in text
    assert "`pip install graphdl[draw]`" in text
    source = tmp_path / "new" / "net.dot"
    assert repr(str(source)) in text
    assert source.read_text(encoding="utf-8") == picture.source
    assert not (tmp_path / "new" / "net.svg").exists()


def test_a_notebook_is_told_the_remedies_too(picture, no_engine):
    with pytest.raises(DrawingError, match="neither the program `dot` nor pygraphviz is installed"):
        svg(picture)


@pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")
def test_the_program_comes_first(picture, tmp_path, fake_dot, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    fake_dot("cat > /dev/null; echo drawn by the program, $2")
    assert available()
    assert svg(picture).startswith("drawn by the program")


@pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")
def test_a_failure_of_the_program_is_explained(picture, tmp_path, fake_dot):
    fake_dot("cat > /dev/null; echo syntax error in line 3 >&2; exit 7")
    with pytest.raises(DrawingError, match=r"`dot` failed with exit status 7: syntax error in line 3") as caught:
        render(picture, tmp_path / "net.png")
    assert "net.dot" in str(caught.value)
    assert (tmp_path / "net.dot").exists()
    assert not (tmp_path / "net.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")
def test_a_program_that_draws_nothing_is_a_failure(picture, fake_dot):
    fake_dot("cat > /dev/null")
    with pytest.raises(DrawingError, match="Graphviz gave an empty svg"):
        svg(picture)


def test_a_program_that_vanished_is_explained(picture, monkeypatch):
    def vanished(*arguments, **settings):
        raise graphviz.ExecutableNotFound(["dot"])

    monkeypatch.setattr("shutil.which", lambda program: "/usr/bin/dot")
    monkeypatch.setattr(graphviz.Digraph, "pipe", vanished)
    with pytest.raises(DrawingError, match=r"could not be started.*apt-get install graphviz"):
        svg(picture)


def test_a_program_that_fails_silently_says_so(picture, monkeypatch):
    def silent(*arguments, **settings):
        raise subprocess.CalledProcessError(-11, ["dot"])

    monkeypatch.setattr("shutil.which", lambda program: "/usr/bin/dot")
    monkeypatch.setattr(graphviz.Digraph, "pipe", silent)
    with pytest.raises(DrawingError, match="exit status -11: it gave no reason"):
        svg(picture)


def test_without_the_program_pygraphviz_draws(picture, monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert "<svg" in svg(picture)


def test_a_failure_of_pygraphviz_is_explained(picture, tmp_path, monkeypatch):
    pygraphviz = pytest.importorskip("pygraphviz")

    def broken(*arguments, **settings):
        raise OSError("no layout")

    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setattr(pygraphviz.AGraph, "draw", broken)
    with pytest.raises(DrawingError, match=r"pygraphviz failed to draw the diagram: no layout\. .*net\.dot"):
        render(picture, tmp_path / "net.svg")


def test_a_file_that_cannot_be_written_is_explained(picture, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DrawingError, match=r"cannot be written to .*net\.dot.*: .*Choose a path"):
        render(picture, tmp_path / "file" / "net.dot")


def test_a_raster_picture_is_sharp_and_leaves_the_diagram_alone(picture, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(drawing, "_drawer", lambda: lambda digraph, form: seen.append(digraph.source) or b"drawn")
    before = picture.source
    render(picture, tmp_path / "net.png")
    render(picture, Path(tmp_path / "net.svg"))
    assert ["dpi=144" in source for source in seen] == [True, False]
    assert picture.source == before


@pytest.mark.parametrize("drawn", [True, False])
def test_a_notebook_shows_a_diagram_without_the_program_dot(monkeypatch, drawn):
    monkeypatch.setattr("shutil.which", lambda name: None)
    if not drawn:
        monkeypatch.setattr(drawing, "available", lambda: False)
    shown = drawing.Diagram("picture")
    shown.node("a", "here")
    ((kind, text),) = shown._repr_mimebundle_().items()
    assert kind == ("image/svg+xml" if drawn else "text/plain")
    assert "here" in text


@pytest.mark.parametrize("dpi", [0, -1, 2401, 72.5, True, "72"])
def test_a_resolution_that_is_none_is_refused(picture, tmp_path, dpi):
    with pytest.raises(DrawingError, match="dpi is the number of pixels per inch, a whole number from 1 to 2400"):
        render(picture, tmp_path / "a.png", dpi)


@needs_an_engine
def test_the_resolution_scales_a_picture(picture, tmp_path):
    def size(dpi):
        return int.from_bytes(render(picture, tmp_path / "a.png", dpi).read_bytes()[16:20], "big")

    assert size(200) == pytest.approx(2 * size(100), abs=2)
