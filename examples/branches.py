"""Two branches joined by a Sum: a graph that is not a chain. Run: python examples/branches.py. It draws into out/."""

from graphdl import CrossEntropyLoss, Linear, Network, ReLU, Sum, Tanh, evaluate, fit
from graphdl.data import disc
from graphdl.optim import Adam

operators = {
    1: Linear(2, 25),
    2: Tanh(),
    3: Linear(2, 25),
    4: ReLU(),
    5: Sum(),
    6: Linear(25, 2),
    7: CrossEntropyLoss(),
}
connectivity = {"x": [1, 3], 1: [2], 2: [5], 3: [4], 4: [5], 5: [6], 6: [7], "label": [7]}


def main(epochs: int = 300, folder: str = "out") -> float:
    net = Network(operators, connectivity, seed=0)
    x, labels = disc(1000, seed=0)
    x_test, labels_test = disc(1000, seed=1)
    fit(net, {"x": x, "label": labels}, optimizer=Adam(lr=5e-3), epochs=epochs, batch_size=50)
    accuracy = evaluate(net, {"x": x_test, "label": labels_test}, metrics=("accuracy",))["accuracy"]
    print(net.summary())
    print(f"test accuracy {accuracy:.1%}")
    net.render(f"{folder}/network.svg", title="Two branches and their sum")
    return accuracy


if __name__ == "__main__":
    main()
