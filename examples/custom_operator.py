"""A custom operator: forward, backward, a check of its gradients. Run: python examples/custom_operator.py."""

import torch

import graphdl
from graphdl import Linear, MSELoss, Network, Operator, Parameter, check_gradients, fit
from graphdl.data import disc, one_hot
from graphdl.initializers import Constant
from graphdl.optim import Adam


@graphdl.register
class Swish(Operator):
    """y = x sigmoid(beta x), where beta is learned; x (n, c) -> y (n, c), beta ()."""

    first_beta: float = 1.0

    family = "activation"

    def parameters(self):
        return {"beta": Parameter((), Constant(self.first_beta))}

    def forward(self, p, x, *, training):
        s = torch.sigmoid(p["beta"] * x)
        return x * s, (x, s)

    def backward(self, p, saved, dy):
        x, s = saved
        slope = dy * s * (1 - s)
        return (dy * s + p["beta"] * slope * x,), {"beta": (slope * x * x).sum()}


operators = {"fc1": Linear(2, 25), "swish": Swish(), "fc2": Linear(25, 2), "loss": MSELoss()}
connectivity = {"x": ["fc1"], "fc1": ["swish"], "swish": ["fc2"], "fc2": ["loss"], "target": ["loss"]}


def main(epochs: int = 200) -> float:
    print(f"largest error of a gradient: {check_gradients(Swish(), torch.randn(4, 3)):.1e}")
    net = Network(operators, connectivity, seed=0)
    x, labels = disc(1000, seed=0)
    history = fit(net, x, one_hot(labels, 2), optimizer=Adam(lr=1e-2), epochs=epochs, batch_size=50)
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, beta {float(net.parameters['swish.beta']):.2f}")
    return history["loss"][-1]


if __name__ == "__main__":
    main()
