import json
import shutil
import subprocess

import pytest

from benchmarks.zoo.convolutional import resnet18
from graphdl import Block, Linear, Network, Residual, Sequential, Sum, Tanh

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not installed")


def crossings(digraph):
    """The frames whose title an edge crosses, by the layout of dot, and the number of titles."""
    drawn = subprocess.run(["dot", "-Tjson0"], input=digraph.source.encode(), capture_output=True, check=True)
    layout = json.loads(drawn.stdout)
    titles = {}
    for frame in layout["objects"]:
        if frame["name"].startswith("cluster"):
            x, y = map(float, frame["lp"].split(","))
            w, h = 36 * float(frame["lwidth"]) - 3, 36 * float(frame["lheight"]) - 2
            titles[frame["name"]] = (x - w, x + w, y - h, y + h)
    points = [point for edge in layout["edges"] for point in spline(edge["pos"])]
    return len(titles), {
        name
        for name, (left, right, low, high) in titles.items()
        if any(left < x < right and low < y < high for x, y in points)
    }


def spline(pos):
    _, *points = (tuple(map(float, part.split(",")[-2:])) for part in pos.split())
    for start in range(0, len(points) - 3, 3):
        for step in range(41):
            t = step / 40
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            piece = points[start : start + 4]
            yield tuple(sum(w * p[axis] for w, p in zip(weights, piece, strict=True)) for axis in (0, 1))


def row(block, number, name="block"):
    names = [f"{name}{i}" for i in range(number)]
    connectivity = {a: [b] for a, b in zip(["x", *names], names, strict=False)}
    return Network(dict.fromkeys(names, block), connectivity, seed=0)


RESIDUAL = Residual(Linear(4, 4), Tanh())
BLOCKS = {
    "residual": RESIDUAL,
    "narrow": Block({"a": Tanh(), "b": Sum()}, {"x": ["a"], "a": ["b", "b"]}),
    "nested": Sequential(first=RESIDUAL, second=RESIDUAL),
}


@needs_dot
@pytest.mark.parametrize("direction", ["down", "right"])
@pytest.mark.parametrize("name", ["block", "a_block_with_a_name_of_some_length"])
@pytest.mark.parametrize("number", [1, 2, 12])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_no_edge_crosses_the_title_of_a_frame(block, number, name, direction):
    net = row(block, number, name).build({"x": (4,)})
    found, crossed = crossings(net.diagram(direction=direction))
    assert found
    assert not crossed


@needs_dot
@pytest.mark.parametrize("direction", ["down", "right"])
def test_no_edge_crosses_a_title_of_resnet_18(direction):
    net, batch = resnet18(2, (8, 8, 16, 16), 8)
    net.predict(batch)
    assert crossings(net.diagram(direction=direction)) == (12, set())
