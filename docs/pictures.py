"""Draws the pictures of README.md into docs/img, from the README's own example: python docs/pictures.py."""

import re
import runpy
import tempfile
from pathlib import Path

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
    plot_points(HERE / "img/points.png", {"test": disc(1000, seed=1)}, lambda x: net.predict(x).argmax(1))


if __name__ == "__main__":
    main()
