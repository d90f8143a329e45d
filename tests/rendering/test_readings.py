import re

import pytest
import torch

from graphdl import Linear, MSELoss, Network, ReLU, Sum
from graphdl.errors import DrawingError
from graphdl.readings import BARS, readings
from graphdl.rendering import Reading
from graphdl.rendering.readings import blend, readings_table
from graphdl.rendering.theme import DARK, LIGHT


def network():
    operators = {"fc": Linear(2, 2), "relu": ReLU(), "plus": Sum(), "loss": MSELoss()}
    connectivity = {"x": ["fc"], "fc": ["relu", "plus"], "relu": ["plus"], "plus": ["loss"], "y": ["loss"]}
    return Network(operators, connectivity, seed=0)


def passed(rows=2, backward=True):
    net = network()
    generator = torch.Generator().manual_seed(0)
    net.forward({name: torch.randn(rows, 2, generator=generator) for name in ("x", "y")})
    if backward:
        net.backward()
    return net


def labels(source):
    """Node -> its label's text without markup, by the ids of rows and pills."""
    return {
        line: re.sub("<[^>]*>", " ", line).split()
        for line in source.splitlines()
        if "label=<" in line and "->" not in line
    }


def test_small_values_and_gradients_are_drawn_in_numbers():
    net = passed()
    source = net.diagram(values=True, gradients=True).source
    for recorded in (net.values, net.value_gradients):
        for key, tensor in recorded.items():
            for number in tensor.flatten().tolist():
                assert f">{number:.3g}<".replace("-", "−") in source, key
    assert source.count(">value<") == len(net.values)
    assert source.count(">∇<") == len(net.value_gradients)
    assert "shape=circle" not in source


def test_nothing_recorded_is_drawn_unless_it_is_asked_for():
    source = passed().diagram().source
    assert ">value<" not in source
    assert ">∇<" not in source
    assert ">∇<" not in passed().diagram(values=True).source


def test_large_values_are_drawn_as_statistics_and_a_histogram():
    net = passed(rows=50)
    source = net.diagram(values=True).source
    x = net.values["x"].double()
    assert f"{x.mean():.3g} ± {x.std(correction=0):.3g}".replace("-", "−") in source
    assert f"{x.min():.3g} … {x.max():.3g}".replace("-", "−") in source


def test_without_a_pass_nothing_can_be_shown(tmp_path):
    with pytest.raises(DrawingError, match=r"cannot show values: no pass was recorded\. Call net\.forward\(inputs\)"):
        network().render(tmp_path / "net.svg", values=True)
    with pytest.raises(DrawingError, match=r"cannot show gradients.*net\.backward\(\) first"):
        passed(backward=False).diagram(values=True, gradients=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tensor", "numbers"),
    [
        (torch.tensor(3), ((3,),)),
        (torch.tensor([True, False]), ((True, False),)),
        (torch.tensor([1, 2]), ((1, 2),)),
        (torch.ones(2, 2, 2), ((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0))),
        (torch.zeros(5, 6), ((0.0,) * 6,) * 5),
    ],
)
def test_the_numbers_of_small_tensors(tensor, numbers):
    assert readings(tensor) == (Reading(numbers=numbers),)


def test_the_statistics_of_large_tensors():
    (found,) = readings(torch.arange(100.0))
    assert found.lines == ("49.5 ± 28.9", "0 … 99")
    assert (len(found.bars), sum(found.bars)) == (BARS, 100)
    (odd,) = readings(torch.tensor([*range(40), float("nan"), float("inf")]))
    assert odd.lines[-1] == "2 of 42 not finite"
    assert sum(odd.bars) == 40
    (nothing,) = readings(torch.full((40,), float("nan")))
    assert nothing == Reading(lines=("40 of 40 not finite",))
    (same,) = readings(torch.ones(40))
    assert same.bars == (40,)
    assert readings(torch.zeros(0, 3)) == (Reading(lines=("empty, (0, 3)",)),)
    assert readings(torch.arange(99)) == readings(torch.arange(99.0))


def test_a_tuple_has_a_reading_for_each_tensor():
    assert readings((torch.ones(1), (torch.zeros(1), None))) == (Reading(((1.0,),)), Reading(((0.0,),)))
    assert readings(None) == ()


def test_signs_are_seen_in_the_colours():
    table = readings_table([Reading(((-2.0, 2.0, 0.0, float("nan"), float("-inf")),))], (), LIGHT)
    grounds = re.findall('BGCOLOR="(#[0-9A-F]{6})"', table)
    assert grounds[0] == grounds[4] == blend(LIGHT.card, LIGHT.negative, 0.56)
    assert grounds[1] == blend(LIGHT.card, LIGHT.positive, 0.56)
    assert grounds[2] == grounds[3] == blend(LIGHT.card, LIGHT.positive, 0.06)
    assert readings_table((), (), DARK) == ""


def test_the_highest_bar_fills_its_column_and_none_vanishes():
    table = readings_table([Reading(bars=(1000, 1, 0), lines=("a",))], (), LIGHT)
    filled = blend(LIGHT.card, LIGHT.muted, 0.75)
    assert re.findall(f'HEIGHT="([0-9]+)" BGCOLOR="{filled}"', table) == ["18", "1"]


def test_large_and_small_numbers_have_means_and_deviations():
    """Sums, squares and differences of the largest numbers are infinite."""
    largest = torch.tensor([1.7e308, -1.7e308], dtype=torch.float64).repeat(50)
    (reading,) = readings(largest)
    assert reading.lines == ("0 ± 1.7e+308", "-1.7e+308 … 1.7e+308")
    assert (reading.bars[0], reading.bars[-1], sum(reading.bars)) == (50, 50, 100)
    assert readings(largest.abs())[0].lines[0] == "1.7e+308 ± 0"
    assert readings(largest / 1e308)[0].lines == ("0 ± 1.7", "-1.7 … 1.7")
    assert readings(largest / 1e300 / 1e308)[0].lines[0] == "0 ± 1.7e-300"
