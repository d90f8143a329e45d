"""Every script of examples/ runs and does what it says."""

import runpy
from pathlib import Path

import pytest
import torch

from graphdl.search import sweep_file

EXAMPLES = Path(__file__).parents[1] / "examples"


def main(name: str):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


LEAST = {"line": 0.99, "disc": 0.96, "branches": 0.97, "digits": 0.95, "convolution": 0.97}


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_classifiers(name, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(name)() >= least


def test_custom_operator():
    assert main("custom_operator")() < 0.12


def test_resnet(tmp_path):
    assert main("resnet")(epochs=4, folder=tmp_path) >= 0.97
    assert drawn(tmp_path) == {"network.svg", "confusion.png"}


def test_unet(tmp_path):
    assert main("unet")(epochs=5, count=640, folder=tmp_path) >= 0.85
    assert drawn(tmp_path) == {"network.svg", "segments.png"}


def test_vae(tmp_path):
    assert main("vae")(epochs=15, folder=tmp_path) <= 85  # 108 without a code, whose images are all the mean image
    assert drawn(tmp_path) == {"network.svg", "samples.png"}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_gan(tmp_path, threads):
    share, modes = main("gan")(steps=1000, folder=tmp_path)
    assert share >= 0.5
    assert modes == 8
    assert drawn(tmp_path) == {"network.svg", "points.png"}


def test_text_beats_pairs_of_characters(tmp_path):
    loss, bigram_loss = main("text")(epochs=4, folder=str(tmp_path))
    assert loss < bigram_loss - 0.1


def test_lstm_remembers(tmp_path):
    assert main("lstm")(folder=str(tmp_path)) < 0.01


def test_siamese_compares_images_never_seen(tmp_path):
    codes, pixels = main("siamese")(folder=str(tmp_path))
    assert codes > 0.975
    assert pixels < 0.85


def test_experts_help(tmp_path):
    mixture, dense = main("moe")(folder=str(tmp_path))
    assert mixture < dense / 4


def drawn(folder):
    return {path.name for path in folder.iterdir()}


OTHERS = {"custom_operator", "resnet", "unet", "vae", "gan", "text", "lstm", "siamese", "moe"}


def test_none_is_left_out():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*LEAST, *OTHERS}


def test_sweep():
    result = sweep_file(EXAMPLES / "sweep.toml", epochs=3, folds=2, progress=False)
    assert len(result) == 3 * 3 * 2 * 2
    assert {row["state"] for row in result.table} == {"finished"}
