import time

import pytest

from graphdl import Block, Network, ReLU, Sum
from graphdl.errors import DrawingError
from graphdl.rendering import svg
from graphdl.rendering.size import MOST_LENGTH, MOST_NODES, MOST_SOURCE


def chain(names):
    return Network(dict.fromkeys(names, ReLU()), {a: [b] for a, b in zip(["x", *names], names, strict=False)})


def dense(n):
    names = [f"sum{i}" for i in range(n)]
    return Network(dict.fromkeys(names, Sum()), {name: names[i:] for i, name in enumerate(["x", *names[:-1]])})


@pytest.mark.parametrize("unfolded", [False, True])
def test_a_graph_that_is_too_large_for_a_source_is_refused_at_once(unfolded):
    net = chain([f"n{i}" for i in range(MOST_SOURCE)])
    start = time.perf_counter()
    with pytest.raises(DrawingError, match=r"10,001 nodes and 10,000 edges, and the limit is 10,000.*net\.part\("):
        net.diagram(unfolded=unfolded)
    assert time.perf_counter() - start < 2


def test_a_graph_that_is_too_large_for_graphviz_is_written_as_a_source(tmp_path):
    net = chain([f"n{i}" for i in range(MOST_NODES)])
    assert net.render(tmp_path / "net.dot").exists()
    for draw in (lambda: net.render(tmp_path / "net.svg"), lambda: svg(net.diagram())):
        with pytest.raises(DrawingError, match=r"2,001 nodes and 2,000 edges of the total length 2,000.*write a \.dot"):
            draw()
    assert [path.name for path in tmp_path.iterdir()] == ["net.dot"]
    assert net.diagram()._repr_mimebundle_().keys() == {"text/plain"}


def test_a_dense_graph_is_refused_by_the_length_of_its_edges(tmp_path):
    """The lengths of the edges of n sums: 1 + ... + n from the input, and as many from each sum, of those after it."""
    assert 30 * 31 * 32 / 6 < MOST_LENGTH < 31 * 32 * 33 / 6
    assert dense(30).diagram().refused == ""
    with pytest.raises(DrawingError, match=f"32 nodes and 496 edges of the total length {31 * 32 * 33 // 6:,}"):
        dense(31).render(tmp_path / "net.svg")


def test_blocks_that_are_folded_count_once():
    block = Block({str(i): ReLU() for i in range(5)}, {"x": ["0"], **{str(i): [str(i + 1)] for i in range(4)}})
    names = [f"block{i}" for i in range(3000)]
    connectivity = {a: [b] for a, b in zip(["x", *names], names, strict=False)}
    net = Network(dict.fromkeys(names, block), connectivity)
    assert "×3000" in net.diagram().source
    with pytest.raises(DrawingError, match="15,001 nodes"):
        net.diagram(unfolded=True)
