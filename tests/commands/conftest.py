import csv

import numpy
import pytest
from typer.testing import CliRunner

from graphdl import BCEWithLogitsLoss, CrossEntropyLoss, Linear, MSELoss, Network, Tanh
from graphdl.cli import app
from graphdl.data import disc

POINTS = disc(120, seed=0)[0]
LABELS = (POINTS[:, 0] > 0.5).long()
KINDS = [["out", "in"][label] for label in LABELS]


@pytest.fixture
def run():
    """Run the command line in this process; raise the error with which it ended."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200", "NO_COLOR": "1"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture
def table(tmp_path):
    """Points in the plane with their kinds."""
    return write_csv(tmp_path / "data.csv", {"a": POINTS[:, 0].tolist(), "kind": KINDS, "b": POINTS[:, 1].tolist()})


@pytest.fixture
def arrays(tmp_path):
    numpy.savez(tmp_path / "data.npz", x=POINTS.numpy(), target=LABELS.numpy())
    return tmp_path / "data.npz"


LOSSES = {"entropy": (2, CrossEntropyLoss()), "squares": (2, MSELoss()), "logits": (1, BCEWithLogitsLoss())}


def network(loss):
    outputs, operator = LOSSES[loss]
    chain = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    operators = {"fc1": Linear(out_features=8), "tanh": Tanh(), "fc2": Linear(8, outputs), "loss": operator}
    return Network(operators, chain, seed=0)


@pytest.fixture(params=LOSSES)
def model(request, tmp_path):
    return network(request.param).save(tmp_path / "model.json")


@pytest.fixture
def entropy(tmp_path):
    return network("entropy").save(tmp_path / "model.json")


@pytest.fixture
def tensors():
    return POINTS, LABELS
