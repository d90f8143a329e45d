"""A mixture of experts: a gate that sees the place chooses who answers. Run: graphdl run moe.

The target is a linear function of twenty numbers, another one in each of eight sectors around a point. Eight linear
experts answer, and the output is the sum of their answers, weighted by the softmax of a gate. A dense network with as
many parameters, trained in the same way, makes an error nine times as large (0.44, not 0.05).
"""

import math

import torch
from torch import Tensor

from graphdl import Concat, Linear, MSELoss, Multiply, Network, ReduceSum, Sequential, Softmax, Tanh, evaluate, fit
from graphdl.optim import Adam, Cosine

EXPERTS = [f"expert{k}" for k in range(1, 9)]

operators = {
    "gate": Sequential(fc1=Linear(2, 32), tanh=Tanh(), fc2=Linear(32, len(EXPERTS)), share=Softmax()),
    **{expert: Linear(20, 1) for expert in EXPERTS},
    "answers": Concat(),
    "weighted": Multiply(),
    "sum": ReduceSum(keepdim=True),
    "loss": MSELoss(),
}
connectivity = {
    "place": ["gate"],
    "x": EXPERTS,
    **{expert: ["answers"] for expert in EXPERTS},
    "answers": ["weighted"],
    "gate": ["weighted"],
    "weighted": ["sum"],
    "sum": ["loss"],
    "target": ["loss"],
}

dense_operators = {
    "both": Concat(),
    "dense": Sequential(fc1=Linear(22, 15), tanh1=Tanh(), fc2=Linear(15, 10), tanh2=Tanh(), fc3=Linear(10, 1)),
    "loss": MSELoss(),
}
dense_connectivity = {"place": ["both"], "x": ["both"], "both": ["dense"], "dense": ["loss"], "target": ["loss"]}


def sectors(rows: int, seed: int) -> dict[str, Tensor]:
    """Places, numbers, and the values of the functions of the sectors."""
    generator = torch.Generator().manual_seed(seed)
    place, x = torch.randn(rows, 2, generator=generator), torch.randn(rows, 20, generator=generator)
    slopes = torch.randn(8, 20, generator=torch.Generator().manual_seed(0)) / math.sqrt(20)
    sector = ((torch.atan2(place[:, 1], place[:, 0]) / math.pi + 1) * 4).long().clamp(max=7)
    return {"place": place, "x": x, "target": (slopes[sector] * x).sum(1, keepdim=True)}


def main(epochs: int = 60, folder: str = "out", seed: int = 0) -> tuple[float, float]:
    training, test = sectors(4000, seed + 1), sectors(2000, seed + 2)
    optimizer, losses = Adam(lr=Cosine(1e-2, steps=epochs * 4000 // 100)), []
    mixture, dense = (
        Network(operators, connectivity, seed=seed),
        Network(dense_operators, dense_connectivity, seed=seed),
    )
    for name, net in (("mixture", mixture), ("dense", dense)):
        history = fit(net, training, optimizer=optimizer, epochs=epochs, batch_size=100, compile=True)
        losses.append(evaluate(net, test)["loss"])
        size = sum(parameter.numel() for parameter in net.parameters.values())
        print(f"{name:7}  {size} parameters, test error {losses[-1]:.3f}, {history.seconds:.0f} s of training")
    mixture.render(f"{folder}/network.svg", title="A mixture of experts")
    return losses[0], losses[1]


if __name__ == "__main__":
    main()
