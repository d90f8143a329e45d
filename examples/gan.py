"""Two networks that train each other to draw points of eight Gaussians. Run: graphdl run gan. It draws into out/.

After 4,000 steps, in 20 s on one core, 96 % of the points are near one of the eight modes, and all modes are found;
with other seeds 80 to 94 %.
"""

import math

import torch
from torch import Tensor

from graphdl import BCEWithLogitsLoss, GaussianNoise, LeakyReLU, Linear, Network, ReLU, Sequential
from graphdl.optim import Adam, Cosine
from graphdl.plots import COLOURS, new_figure, save_figure

operators = {
    "generator": Sequential(
        fc1=Linear(8, 128), relu1=ReLU(), fc2=Linear(128, 128), relu2=ReLU(), points=Linear(128, 2)
    ),
    "judge": Sequential(
        noise=GaussianNoise(0.05),
        fc1=Linear(2, 128),
        relu1=LeakyReLU(0.2),
        fc2=Linear(128, 128),
        relu2=LeakyReLU(0.2),
        logit=Linear(128, 1),
    ),
    "loss": BCEWithLogitsLoss(),
}
connectivity = {"noise": ["generator"], "generator": ["judge"], "judge": ["loss"], "real": ["loss"]}

SPREAD = 0.05
ANGLES = torch.arange(8) * math.tau / 8
MODES = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)


def ring(count: int, generator: torch.Generator) -> Tensor:
    """Points (n, 2) around eight modes on the unit circle."""
    modes = MODES[torch.randint(8, (count,), generator=generator)]
    return modes + SPREAD * torch.randn(count, 2, generator=generator)


def train(net: Network, steps: int, rows: int, generator: torch.Generator) -> None:
    """Train the judge, a part of the network, to tell points; and the network, with a frozen judge, to mislead it."""
    judge = net.part(inputs=["generator/points", "real"], outputs=["loss"])
    net.freeze("judge")
    optimizer = Adam(lr=Cosine(2e-3, steps=steps), betas=(0.5, 0.99))
    train_judge, train_generator = optimizer.bind(judge), optimizer.bind(net)
    torch.set_num_threads(1)  # as fit does for small steps
    real, forged = torch.ones(rows, 1), torch.zeros(rows, 1)
    for _ in range(steps):
        points = net.predict(torch.randn(rows, 8, generator=generator), outputs=["generator"])
        judge.forward(
            {"generator/points": torch.cat([ring(rows, generator), points]), "real": torch.cat([real, forged])}
        )
        judge.backward()
        train_judge.step()
        net.forward({"noise": torch.randn(rows, 8, generator=generator), "real": real})
        net.backward()
        train_generator.step()


def plot(path: str, **sets: Tensor) -> None:
    """Sets of points (n, 2), one above the other."""
    figure = new_figure(5, 5)
    axes = figure.subplots()
    for colour, (label, points) in zip(COLOURS, sets.items(), strict=False):
        axes.scatter(*points.T, s=4, alpha=0.5, color=colour, label=label)
    axes.set_aspect("equal")
    figure.legend(loc="outside lower center", ncols=len(sets), frameon=False, markerscale=3)
    save_figure(figure, path)


def main(steps: int = 4000, folder: str = "out", seed: int = 0) -> tuple[float, int]:
    net = Network(operators, connectivity, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    train(net, steps, 256, generator)
    points = net.predict(torch.randn(2000, 8, generator=generator), outputs=["generator"])
    distances, nearest = torch.cdist(points, MODES).min(1)
    near = distances < 3 * SPREAD
    share, modes = float(near.float().mean()), len(nearest[near].unique())
    print(f"{share:.1%} of the points are within three standard deviations of a mode; {modes} of 8 modes are found")
    plot(f"{folder}/points.png", real=ring(2000, generator), generated=points)
    net.render(f"{folder}/network.svg", title="A generator and its judge")
    return share, modes


if __name__ == "__main__":
    main()
