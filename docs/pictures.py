"""Draws pictures of README.md, from its own example, and of the guide into docs/img: python docs/pictures.py."""

import re
import runpy
import tempfile
from pathlib import Path

from graphdl import Linear, MSELoss, Network, Sum, Tanh
from graphdl.data import disc
from graphdl.plots import plot_points

HERE = Path(__file__).parent


def main() -> None:
    """Run the example, draw its network and what it has learnt."""
    example = re.findall(r"```python\n(.*?)```", (HERE.parent / "README.md").read_text(), re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "example.py")
        script.write_text(example.replace('"out/', f'"{folder}/'))
        net = runpy.run_path(str(script))["net"]
    net.forward({"x": [[0.0, 0.0]], "target": [[1.0, 0.0]]})
    net.render(HERE / "img/branches.png", title="Two branches")
    values_and_gradients()
    plot_points(HERE / "img/points.png", {"test": disc(1000, seed=1)}, lambda x: net.predict(x).argmax(1))


def values_and_gradients() -> None:
    """Draw a small network with all its numbers."""
    operators = {"fc1": Linear(2, 3), "tanh": Tanh(), "fc2": Linear(2, 3), "sum": Sum(), "out": Linear(3, 1)}
    connectivity = {"x": ["fc1", "fc2"], "fc1": ["tanh"], "tanh": ["sum"], "fc2": ["sum"], "sum": ["out"]}
    feeding = {"out": ["loss"], "target": ["loss"]}
    net = Network({**operators, "loss": MSELoss()}, {**connectivity, **feeding}, seed=0)
    net.forward({"x": [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], "target": [[1.0], [0.0], [0.0]]})
    net.backward()
    look = {"title": "One pass", "direction": "right", "values": True, "gradients": True}
    net.render(HERE / "img/values.png", dpi=110, **look)


if __name__ == "__main__":
    main()
