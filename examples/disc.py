"""A perceptron that learns a disc in the unit square. Run: python examples/disc.py. It draws into out/."""

from graphdl import Linear, MSELoss, Network, ReLU, Tanh, evaluate, fit
from graphdl.data import disc, one_hot
from graphdl.optim import Adam
from graphdl.plots import plot_points

operators = {
    "fc1": Linear(2, 25), "act1": ReLU(),
    "fc2": Linear(25, 25), "act2": ReLU(),
    "fc3": Linear(25, 25), "act3": Tanh(),
    "fc4": Linear(25, 2),
    "loss": MSELoss(),
}  # fmt: skip
connectivity = {
    "x":    ["fc1"],
    "fc1":  ["act1"], "act1": ["fc2"],
    "fc2":  ["act2"], "act2": ["fc3"],
    "fc3":  ["act3"], "act3": ["fc4"],
    "fc4":  ["loss"],
    "target": ["loss"],
}  # fmt: skip


def main(epochs: int = 1000, folder: str = "out") -> float:
    net = Network(operators, connectivity, seed=0)
    x, labels = disc(1000, seed=0)
    x_test, labels_test = disc(1000, seed=1)
    history = fit(
        net,
        {"x": x, "target": one_hot(labels, 2)},
        optimizer=Adam(lr=2e-3),
        epochs=epochs,
        batch_size=50,
        validation={"x": x_test, "target": one_hot(labels_test, 2)},
        metrics=("accuracy",),
    )
    accuracy = evaluate(net, x_test, one_hot(labels_test, 2), metrics=("accuracy",))["accuracy"]
    print(f"{history.epochs / history.seconds:.0f} epochs a second, test accuracy {accuracy:.1%}")
    net.render(f"{folder}/network.svg", title="The disc")
    history.plot(f"{folder}/curves.png")
    plot_points(f"{folder}/points.png", {"test": (x_test, labels_test)}, lambda points: net.predict(points).argmax(1))
    return accuracy


if __name__ == "__main__":
    main()
