"""The experiments of `graphdl run`: small classifiers, each with its data, its training and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from graphdl.data import digits, disc, line, one_hot, split
from graphdl.errors import SettingError, did_you_mean, listing
from graphdl.files import write_bytes
from graphdl.graph import Feed, Key
from graphdl.network import Network
from graphdl.operators import CrossEntropyLoss, Linear, MSELoss, Operator, ReLU, Sum, Tanh
from graphdl.optim import SGD, Adam, Optimizer
from graphdl.plots import plot_confusion, plot_points
from graphdl.serialization import packed
from graphdl.training import History, evaluate, fit

Labelled: TypeAlias = tuple[Tensor, Tensor]
Data: TypeAlias = Callable[[int], tuple[Labelled, Labelled]]


@dataclass(frozen=True)
class Experiment:
    """A classifier and how it is trained.

    title         what it is, in a line
    operators, connectivity   the network
    data          seed -> training and test data, each (inputs, class indices)
    encode        class indices -> what the loss takes as target; None leaves them as they are
    """

    title: str
    operators: Mapping[Key, Operator]
    connectivity: Mapping[Key, list[Key | Feed]]
    data: Data
    optimizer: Optimizer
    epochs: int
    batch_size: int = 50
    encode: Callable[[Tensor], Tensor] | None = None

    def network(self, seed: int) -> Network:
        """The network before training."""
        return Network(self.operators, self.connectivity, seed=seed)

    def run(self, seed: int = 0, *, epochs: int | None = None, progress: bool = True) -> Result:
        """Train the network and measure it; the same seed gives the same figures."""
        net = self.network(seed)
        training, test = self.data(seed)
        history = fit(
            net, *self._encoded(training), optimizer=self.optimizer, epochs=epochs or self.epochs,
            batch_size=self.batch_size, validation=self._encoded(test), metrics=("accuracy",), progress=progress,
        )  # fmt: skip
        accuracies = {
            name: evaluate(net, *self._encoded(data), metrics=("accuracy",))["accuracy"]
            for name, data in (("training", training), ("test", test))
        }
        return Result(self, net, history, training, test, accuracies)

    def _encoded(self, data: Labelled) -> Labelled:
        inputs, labels = data
        return inputs, labels if self.encode is None else self.encode(labels)


@dataclass(frozen=True)
class Result:
    """A trained experiment: accuracies of the "training" and the "test" data."""

    experiment: Experiment
    net: Network
    history: History
    training: Labelled
    test: Labelled
    accuracies: dict[str, float]

    def classify(self, inputs: Tensor) -> Tensor:
        """The class that the network predicts for each row."""
        prediction: Tensor = self.net.predict(inputs)
        return prediction.argmax(1)

    def draw(self, folder: str | Path) -> list[Path]:
        """Draw the network, its decisions and its learning curves, save it and its weights; return the files."""
        folder = Path(folder)
        kept = [self.net.save(folder / "model.json"), folder / "weights.safetensors"]
        write_bytes(kept[1], packed(self.net))
        drawn = [self.net.render(folder / "network.svg", title=self.experiment.title)]
        if self.test[0].shape[1] == 2:
            data = {"training": self.training, "test": self.test}
            drawn.append(plot_points(folder / "points.png", data, self.classify))
        else:
            drawn.append(plot_confusion(folder / "confusion.png", self.test[1], self.classify(self.test[0])))
        drawn.append(self.history.plot(folder / "curves.png"))
        return [*drawn, *kept]


def _perceptron(*operators: Operator, loss: Operator) -> dict[str, Any]:
    """operators and connectivity of a chain from the input x to a loss, each node named after its operator."""
    names = [f"{type(operator).__name__.lower()}{k}" for k, operator in enumerate(operators, 1)]
    connectivity: dict[Key, list[Key]] = {source: [fed] for source, fed in pairwise(["x", *names, "loss"])}
    connectivity["target"] = ["loss"]
    return {"operators": {**dict(zip(names, operators, strict=True)), "loss": loss}, "connectivity": connectivity}


def _points(draw: Callable[..., Labelled], test_rows: int, *centre: tuple[float, float]) -> Data:
    """Points with their classes: 1000 for training, and others for the test."""
    return lambda seed: (draw(1000, *centre, seed=seed), draw(test_rows, *centre, seed=seed + 1000))


def _digits(seed: int) -> tuple[Labelled, Labelled]:
    x, labels = digits()
    training, test = split(x, labels, fractions=(0.8, 0.2), seed=seed, stratify=labels)
    return (training[0], training[1]), (test[0], test[1])


EXPERIMENTS: dict[str, Experiment] = {
    "line": Experiment(
        "A line, by one Linear",
        **_perceptron(Linear(2, 2), loss=MSELoss()),
        data=_points(line, 200),
        encode=partial(one_hot, classes=2, low=0.2, high=0.8),
        optimizer=SGD(lr=0.05),
        epochs=1000,
    ),
    "disc": Experiment(
        "The disc in the unit square",
        **_perceptron(
            Linear(2, 25), ReLU(), Linear(25, 25), ReLU(), Linear(25, 25), Tanh(), Linear(25, 2), loss=MSELoss()
        ),
        data=_points(disc, 1000),
        encode=partial(one_hot, classes=2),
        optimizer=Adam(lr=2e-3),
        epochs=1000,
    ),
    "disc-linear": Experiment(
        "A quarter of a disc, by one Linear: out of its reach",
        **_perceptron(Linear(2, 2), loss=MSELoss()),
        data=_points(disc, 200, (0.0, 0.0)),
        encode=partial(one_hot, classes=2),
        optimizer=SGD(lr=0.05),
        epochs=1000,
    ),
    "disc-tanh": Experiment(
        "A quarter of a disc, by three hidden layers of Tanh",
        **_perceptron(
            *(Linear(2, 25), Tanh(), Linear(25, 25), Tanh(), Linear(25, 25), Tanh(), Linear(25, 2)),
            loss=MSELoss(weight=2),  # the mean over the rows of the squared distance in the plane of the two outputs
        ),
        data=_points(disc, 200, (0.0, 0.0)),
        encode=partial(one_hot, classes=2),
        optimizer=SGD(lr=0.05),
        epochs=1000,
    ),
    "branches": Experiment(
        "The disc, by two branches and their Sum",
        operators={
            1: Linear(2, 25), 2: Tanh(),
            3: Linear(2, 25), 4: ReLU(),
            5: Sum(), 6: Linear(25, 2), 7: CrossEntropyLoss(),
        },
        connectivity={"x": [1, 3], 1: [2], 2: [5], 3: [4], 4: [5], 5: [6], 6: [7], "target": [7]},
        data=_points(disc, 1000),
        optimizer=Adam(lr=5e-3),
        epochs=300,
    ),
    "digits": Experiment(
        "Handwritten digits of 8 x 8 pixels",
        **_perceptron(Linear(64, 64), ReLU(), Linear(64, 10), loss=CrossEntropyLoss()),
        data=_digits,
        optimizer=Adam(lr=1e-3),
        epochs=60,
        batch_size=32,
    ),
}  # fmt: skip


def find_experiment(name: str, others: Iterable[str] = ()) -> Experiment:
    """The experiment of that name. Raises SettingError if there is none; its text names the other examples as well."""
    if name not in EXPERIMENTS:
        known = [*EXPERIMENTS, *others]
        raise SettingError(
            f"No example is called {name!r}.{did_you_mean(name, known)} The examples are {listing(known)}."
        )
    return EXPERIMENTS[name]
