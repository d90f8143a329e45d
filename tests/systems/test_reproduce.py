"""Every experiment can be run; a part of them is, briefly."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from graphdl import Network
from graphdl.data import disc, one_hot
from graphdl.errors import SettingError
from graphdl.initializers import TypeOne
from graphdl.systems import EXPERIMENTS, find_experiments, reproduce
from graphdl.systems.a1_optimizers import network
from graphdl.systems.a5_torch import train_ours, train_twin, twin
from graphdl.systems.common import Draws

DRAWN = ("A1", "A5", "B1", "C2", "D2")
"""Each system but E, whose experiment is as those of D; each kind of picture."""

PUBLISHED = {
    "A1": {"SGD": 97.0, "momentum": 96.5, "Adam": 98.3, "BFGS": 95.1},
    "B1": {"SGD, best cross-validated": 97.0, "Adam, best cross-validated": 98.0},
    "C2": {"published settings": 62.0},
    "D2": {"SGD, training": 10.2, "SGD, test": 11.0},
    "A5": {"graphdl compiled, iterations for one": 2.2},
}


def module(name: str):
    return importlib.import_module(f"graphdl.systems.{EXPERIMENTS[name]}")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_takes(name):
    experiment = module(name)
    taken = inspect.signature(experiment.run).parameters
    assert list(taken)[:3] == ["seeds", "epochs", "folder"]
    assert set(experiment.QUICK) <= set(taken)
    assert len(taken["seeds"].default) >= 10
    assert list(taken["seeds"].default) == list(range(len(taken["seeds"].default)))
    assert experiment.__doc__.startswith(f"{name}: ")


@pytest.mark.parametrize("name", DRAWN)
def test_experiments_report(name, tmp_path):
    reports = []
    page = reproduce([name], tmp_path, quick=True, tell=lambda report, seconds: reports.append(report))
    (report,) = reports
    for what, published in PUBLISHED[name].items():
        found = [result for result in report.results if result.what.startswith(what)]
        assert found
        assert found[0].published == published
    text = page.read_text()
    assert f"## {name}: {report.title}" in text
    assert "These figures are of `--quick`" in text
    pictures = re.findall(r"\]\((.*?)\)", text)
    assert len(pictures) == len(report.pictures) > 0
    for picture in pictures:
        assert picture.startswith("img/systems/")
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_names():
    assert find_experiments([]) == list(EXPERIMENTS)
    assert find_experiments(["c1", "A2"]) == ["A2", "C1"]
    with pytest.raises(
        SettingError, match=r"^No experiment is called 'A12'\. Did you mean 'A\d'\? The experiments are A1, A2"
    ):
        find_experiments(["A12"])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"systems\.md cannot be written"):
        reproduce(["D2"], tmp_path / "file" / "out", quick=True)


def test_draws_are_the_data_of_each_seed():
    draws = Draws.of(disc, [3, 4], test=50)
    for k, seed in enumerate((3, 4)):
        for rows, expected in ((draws.training[k], disc(1000, seed=seed)), (draws.test[k], disc(50, seed=1000 + seed))):
            assert torch.equal(draws.x[rows], expected[0])
            assert torch.equal(draws.labels[rows], expected[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_the_twin_in_torch_trains_alike(compiled):
    x, labels = disc(200, seed=0)
    data, net = (x, one_hot(labels, 2)), Network(*network(TypeOne()), seed=0)
    model = twin(net)
    assert torch.equal(model(x), net.predict(x))
    ours, theirs = train_ours(net, data, 7, compiled)(5), train_twin(model, data, 7)(5)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_the_page_of_the_repository_has_every_experiment():
    page = Path(__file__).parents[2] / "docs" / "systems.md"
    assert re.findall(r"^## (\w+):", page.read_text(), re.MULTILINE) == list(EXPERIMENTS)
    assert "--quick" not in page.read_text()
