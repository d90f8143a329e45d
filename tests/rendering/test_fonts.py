import os
import subprocess
import sys
import warnings

import pytest

from graphdl import Linear, Network
from graphdl.errors import GraphDLWarning
from graphdl.rendering import available, drawing, fonts

pytestmark = pytest.mark.skipif(not available(), reason="neither dot nor pygraphviz is installed")

LATIN = (range(0x20, 0x250), range(0x2000, 0x2700))


@pytest.fixture
def net():
    return Network({"多层": Linear(2, 2)}, {"вход": ["多层"]})


def test_letters_that_no_font_has_are_named(net, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_covered", lambda: (*LATIN, range(0x400, 0x500)))
    with pytest.warns(GraphDLWarning, match=r"No font of this machine has 多层: .* fonts-noto-cjk, or write a \.svg"):
        net.render(tmp_path / "net.png", dpi=20)


@pytest.mark.parametrize(("name", "covered"), [("a.svg", LATIN), ("a.png", (range(0x20, 0x10000),)), ("a.png", ())])
def test_nothing_is_said_where_letters_are_there_or_left_to_the_viewer(net, tmp_path, monkeypatch, name, covered):
    monkeypatch.setattr(fonts, "_covered", lambda: covered)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.render(tmp_path / name)


def test_marks_of_the_picture_itself_are_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_covered", lambda: (range(0x20, 0x7F),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network({"fc": Linear(2, 2)}, {"x": ["fc"]}).render(tmp_path / "a.png", dpi=20)


def test_the_characters_of_fonts_are_read(monkeypatch):
    answer = subprocess.CompletedProcess([], 0, ":charset=20-7e a0 4e00-9fff\n:charset=20-7e\n")
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", lambda *given, **named: answer)
    assert set(fonts._covered.__wrapped__()) == {range(0x20, 0x7F), range(0xA0, 0xA1), range(0x4E00, 0xA000)}
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert fonts._covered.__wrapped__() == ()


@pytest.mark.parametrize("program", [True, False])
def test_libraries_write_nothing_to_the_terminal(tmp_path, program):
    """Without its configuration fontconfig complains."""
    if not program:
        pytest.importorskip("pygraphviz")
    code = (
        "import shutil, sys\n"
        f"shutil.which = shutil.which if {program} else lambda name: None\n"
        "from graphdl import Linear, Network\n"
        f"Network({{'fc': Linear(2, 2)}}, {{'x': ['fc']}}).render({str(tmp_path / 'a.png')!r})\n"
        "print('still here', file=sys.stderr)"
    )
    environment = {**os.environ, "FONTCONFIG_FILE": "/nonexistent", "FONTCONFIG_PATH": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == "still here\n"


def test_the_standard_error_is_given_back_after_a_failure(capfd):
    def fail():
        with drawing._silent_libraries():
            os.write(2, b"hidden")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"
