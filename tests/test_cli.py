import subprocess
import sys

import pytest
from typer.testing import CliRunner

from graphdl import Linear, Network
from graphdl.__main__ import main
from graphdl.cli import app


def invoke(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def model(tmp_path):
    return Network({"fc1": Linear(2, 3)}, {"x": ["fc1"]}).save(tmp_path / "model.json")


def test_run_trains_prints_and_draws(tmp_path):
    result = invoke("run", "branches", "--epochs", 2, "--out", tmp_path / "out", "--seed", 0)
    assert result.exit_code == 0, result.output
    for text in ("2 epochs in", "epochs/s", "training  accuracy", "test      accuracy", "network.svg", "curves.png"):
        assert text in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "network.svg",
        "points.png",
        "curves.png",
        "model.json",
        "weights.safetensors",
    }


def test_the_model_that_run_writes_can_be_drawn_and_read(tmp_path):
    invoke("run", "digits", "--epochs", 1, "--out", tmp_path)
    drawn = invoke("draw", tmp_path / "model.json", "-o", tmp_path / "new" / "again.svg")
    assert drawn.exit_code == 0, drawn.output
    assert "linear1" in (tmp_path / "new" / "again.svg").read_text()
    assert "4 operators, 4,810 parameters, 4,810 trainable" in invoke("summary", tmp_path / "model.json").output


def test_draw_takes_a_title_and_a_theme(model, tmp_path):
    light, dark = tmp_path / "light.dot", tmp_path / "dark.dot"
    assert invoke("draw", model, "-o", light, "--title", "A <title>").exit_code == 0
    assert invoke("draw", model, "-o", dark, "--dark").exit_code == 0
    assert "A &lt;title&gt;" in light.read_text()
    assert "model" in dark.read_text()
    assert light.read_text().replace("A &lt;title&gt;", "model") != dark.read_text()


def test_draw_takes_a_direction_single_boxes_and_a_resolution(model, tmp_path):
    plain, right, coarse = (tmp_path / name for name in ("plain.dot", "right.dot", "coarse.png"))
    assert invoke("draw", model, "-o", plain).exit_code == 0
    assert invoke("draw", model, "-o", right, "--right", "--unfolded").exit_code == 0
    assert "rankdir=TB" in plain.read_text()
    assert "rankdir=LR" in right.read_text()
    assert invoke("draw", model, "-o", coarse, "--dpi", 30).exit_code == 0
    assert coarse.stat().st_size < 20_000


def test_reproduce_prints_figures_and_writes_a_page(tmp_path):
    result = invoke("reproduce", "d1", "--quick", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    for text in ("D1  A line", "MSE, test error in %", "(published 0.5)", "systems.md"):
        assert text in result.output
    assert (tmp_path / "img" / "systems" / "d1_line.png").exists()


def test_help_teaches():
    text = invoke("--help").output
    assert "graphdl run disc" in text
    assert "graphdl summary" in text
    text = invoke("run", "--help").output
    for name in ("line", "disc-linear", "branches", "digits"):
        assert name in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "dics"), "SettingError: No example is called 'dics'. Did you mean 'disc'?"),
        (("reproduce", "D9"), "SettingError: No experiment is called 'D9'."),
        (("summary", "absent.json"), "FileFormatError: absent.json cannot be read"),
        (("draw", "absent.json"), "FileFormatError: absent.json cannot be read"),
    ],
)
def test_errors_are_one_clear_line(arguments, text, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["graphdl", *arguments])
    with pytest.raises(SystemExit, match=r"^1$"):
        main()
    printed = capsys.readouterr()
    assert text in printed.err
    assert "Traceback" not in printed.err + printed.out
    assert len(printed.err.strip().splitlines()) == 1


def test_errors_of_a_process_are_one_line():
    done = subprocess.run([sys.executable, "-m", "graphdl", "run", "dics"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("SettingError: No example is called 'dics'.")
