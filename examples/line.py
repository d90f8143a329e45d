"""A line learned by one Linear: a minimal network. Run: python examples/line.py."""

from graphdl import Linear, MSELoss, Network, evaluate, fit
from graphdl.data import line, one_hot
from graphdl.optim import SGD

operators = {1: Linear(2, 2), "loss": MSELoss()}
connectivity = {"x": [1], 1: ["loss"], "target": ["loss"]}


def main() -> float:
    net = Network(operators, connectivity, seed=0)
    x, labels = line(1000, seed=2)
    x_test, labels_test = line(200, seed=1002)
    fit(net, x, one_hot(labels, 2, low=0.2, high=0.8), optimizer=SGD(lr=0.05), epochs=1000, batch_size=50)
    accuracy = evaluate(net, x_test, one_hot(labels_test, 2, low=0.2, high=0.8), metrics=("accuracy",))["accuracy"]
    print(f"test error {1 - accuracy:.1%}")
    for name, value in net.parameters.items():
        print(name, value.tolist())
    return accuracy


if __name__ == "__main__":
    main()
