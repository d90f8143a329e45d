import pytest
import torch

from graphdl.errors import SettingError
from graphdl.experiments import EXPERIMENTS, find_experiment

SEED = 2  # what the command line takes by default


@pytest.fixture(scope="module")
def results():
    return {name: experiment.run(SEED, progress=False) for name, experiment in EXPERIMENTS.items()}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("line", 0, 0.01),
        ("disc-linear", 0.08, 0.14),  # a line cannot do better
        ("disc-tanh", 0, 0.015),
        ("disc", 0, 0.025),
        ("branches", 0, 0.03),
        ("digits", 0, 0.04),
    ],
)
def test_test_errors(results, name, least, most):
    assert least <= 1 - results[name].accuracies["test"] <= most


def test_published_sizes(results):
    for name in ("line", "disc-linear", "disc-tanh"):
        assert (len(results[name].training[0]), len(results[name].test[0])) == (1000, 200)
        assert (EXPERIMENTS[name].optimizer.lr, EXPERIMENTS[name].epochs, EXPERIMENTS[name].batch_size) == (
            0.05,
            1000,
            50,
        )
    assert (len(results["disc"].training[0]), len(results["disc"].test[0])) == (1000, 1000)


def test_accuracies_are_those_of_the_predictions(results):
    for result in results.values():
        inputs, labels = result.test
        assert result.accuracies["test"] == pytest.approx(float((result.classify(inputs) == labels).float().mean()))


def test_training_and_test_data_differ(results):
    for result in results.values():
        assert not torch.equal(result.training[0][:100], result.test[0][:100])


def test_the_same_seed_gives_the_same_network():
    a, b = (EXPERIMENTS["branches"].run(3, epochs=3, progress=False) for _ in range(2))
    assert dict(a.history) == dict(b.history)
    for name, value in a.net.parameters.items():
        assert torch.equal(value, b.net.parameters[name])
    c = EXPERIMENTS["branches"].run(4, epochs=3, progress=False)
    assert dict(a.history) != dict(c.history)


@pytest.mark.parametrize(("name", "picture"), [("branches", "points.png"), ("digits", "confusion.png")])
def test_drawn_files(results, name, picture, tmp_path):
    drawn = results[name].draw(tmp_path / "new")
    assert [path.name for path in drawn] == ["network.svg", picture, "curves.png", "model.json", "weights.safetensors"]
    for path in drawn:
        assert path.stat().st_size > 100


def test_a_misspelt_name_is_told():
    with pytest.raises(SettingError, match=r"Did you mean 'branches'\? The examples are line, disc"):
        find_experiment("brances")
