from __future__ import annotations

import builtins
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy
import pytest
import torch

from graphdl import Feed, Identity, Linear, MSELoss, Network, Operator, Sum, Tanh
from graphdl.errors import GraphDLError, OperatorError
from graphdl.execution import program
from graphdl.execution.program import CHUNK, add, backward_program, forward_program, scale

EVIL = ["__import__('os').system('x')", "a\nb", "v[0]", "'''", '"; raise SystemExit #', "ünïcode", "{0}", "training"]
PAIR = {"r", "if", "__class__", "is", "tuple", "and", "len", "else", "no_pair", "None"}
FORWARD = PAIR | {"G", "def", "run", "training", "v", "s", "P", "_"}
BACKWARD = PAIR | {"def", "run", "v", "g", "s", "P", "d", "own", "dy", "dx", "not", "isinstance", "Tensor"}
BACKWARD |= {"TupleGradient", "as_tuple"}


def words(source):
    return set(re.findall(r"[^\W\d]\w*", source))


def chain(keys, operator=Tanh):
    keys = list(keys)
    return Network({key: operator() for key in keys}, {a: [b] for a, b in pairwise(["x", *keys])})


def programs(net, starts=None, wanted=("x",)):
    plan = net.engine.full_plan
    backward = net.engine.backward_plan(plan, starts or net.outputs, wanted)
    forward = [forward_program(plan, keep_values=v, keep_saved=s) for v in (False, True) for s in (False, True)]
    return forward, [backward_program(backward, keep=keep) for keep in (False, True)]


def test_no_name_of_a_node_is_in_the_text():
    net = chain(EVIL)
    forward, backward = programs(net)
    for one in forward:
        assert words(one.source) - {f"f{k}" for k in range(len(EVIL))} <= FORWARD
    for one in backward:
        assert words(one.source) - {f"b{k}" for k in range(len(EVIL))} <= BACKWARD | {"add", "scale"}
    assert all(set(one.source) <= set(map(chr, range(10, 127))) for one in (*forward, *backward))


def test_nodes_with_odd_names_are_computed():
    net = chain(EVIL)
    x = torch.randn(3, 2)
    expected = x.clone().requires_grad_()
    y = expected
    for _ in EVIL:
        y = torch.tanh(y)
    y.sum().backward()
    assert torch.equal(net.forward(x)["training"], y.detach())
    torch.testing.assert_close(net.backward({"training": torch.ones(3, 2)})["x"], expected.grad)


def test_factors_are_plain_numbers():
    operators = {"a": Identity(), "b": Sum()}
    for factor in (-0.5, 1e300, 5e-324, -3, 1 / 3):
        net = Network(operators, {"x": ["a"], "a": [Feed("b", gradient=factor)]})
        source = programs(net)[1][0].source
        assert f"scale(dx[0], {factor!r})" in source
        assert eval(f"{factor!r}") == factor


@pytest.mark.parametrize("factor", [numpy.float64(0.5), numpy.float64(-1)])
def test_factors_of_numpy_are_taken(factor):
    net = Network({"a": Identity(), "b": Sum()}, {"x": ["a"], "a": [Feed("b", gradient=factor)]})
    net.forward(torch.ones(2, 2))
    assert torch.equal(net.backward({"b": torch.ones(2, 2)})["x"], torch.full((2, 2), float(factor)))


def test_a_number_that_prints_as_code_is_not_run():
    class Number(float):
        def __repr__(self):
            return "__import__('builtins').__setattr__('caught', 1)"

    net = Network({"a": Identity(), "b": Sum()}, {"x": ["a"], "a": [Feed("b", gradient=Number(0.5))]})
    net.forward(torch.ones(2, 2))
    assert net.backward({"b": torch.ones(2, 2)})["x"].unique().item() == 0.5
    assert not hasattr(builtins, "caught")


@dataclass(frozen=True)
class Fails(Operator):
    """Fails on the way there or back."""

    there: bool

    def forward(self, p, x, *, training):
        if self.there:
            raise FloatingPointError("on the way there")
        return x, None

    def backward(self, p, saved, dy):
        raise FloatingPointError("on the way back")


@pytest.mark.parametrize("position", [0, 1, CHUNK - 1, CHUNK, 1717, 2 * CHUNK - 1, 2 * CHUNK, 2499])
def test_the_failing_node_of_many_is_named(position):
    operators = {k: Identity() for k in range(2500)}
    edges = {a: [b] for a, b in pairwise(["x", *operators])}
    net = Network(operators | {position: Fails(there=True)}, edges)
    with pytest.raises(GraphDLError, match=rf"^{position} \(Fails\) .*on the way there") as caught:
        net.forward(torch.ones(2, 3))
    assert isinstance(caught.value.__cause__, FloatingPointError)
    net = Network(operators | {position: Fails(there=False)}, edges)
    net.forward(torch.ones(2, 3))
    with pytest.raises(OperatorError, match=rf"^{position} \(Fails\) failed in backward.*on the way back"):
        net.backward({2499: torch.ones(2, 3)})


def test_a_slip_in_an_operator_is_not_blamed_on_the_shapes():
    with pytest.raises(OperatorError, match=r"^a \(Fails\) failed in forward.*on the way there"):
        chain(["a"], lambda: Fails(there=True)).forward(torch.ones(2, 3))


def test_an_operator_that_runs_a_network_fails_at_its_own_node():
    inner = chain(["deep"], lambda: Fails(there=True))

    @dataclass(frozen=True)
    class Nested(Operator):
        def forward(self, p, x, *, training):
            return inner.predict(x), None

        def backward(self, p, saved, dy):
            return (dy,), {}

    net = Network({"a": Tanh(), "outer": Nested()}, {"x": ["a"], "a": ["outer"]})
    with pytest.raises(GraphDLError, match=r"^outer \(Nested\) .*deep \(Fails\) .*on the way there"):
        net.forward(torch.ones(2, 3))


def test_an_interrupt_is_not_explained_away():
    @dataclass(frozen=True)
    class Interrupted(Operator):
        def forward(self, p, x, *, training):
            raise KeyboardInterrupt

        def backward(self, p, saved, dy):
            return (dy,), {}

    with pytest.raises(KeyboardInterrupt):
        chain(["a"], Interrupted).forward(torch.ones(2, 3))


def test_chunks_are_functions_of_a_thousand_steps():
    forward, _ = programs(chain(range(2 * CHUNK + 1)))
    assert forward[0].source.count("def run") == 3
    assert [name for name in dir(program) if name.isupper()] == ["AS_TUPLE", "CHUNK", "NAMES"]


def test_programs_are_made_once():
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"fc": ["loss"], "y": ["loss"]})
    for _ in range(3):
        net.forward({"fc": torch.ones(3, 2), "y": torch.ones(3, 1)})
        net.backward()
    plan = net.engine.full_plan
    assert len(plan.programs) == 1
    assert len(net.engine.backward_plan(plan, ("loss",), net.inputs).programs) == 1


def test_scale():
    x = torch.ones(2)
    assert scale(None, 2.0) is None
    assert scale(x, 2.0).tolist() == [2, 2]
    assert [element.tolist() for element in scale((x, x), -1.0).as_tuple()] == [[-1, -1]] * 2
    assert x.tolist() == [1, 1]


def test_add_writes_only_into_sums_of_its_own():
    a, b, c = (torch.full((2,), value) for value in (1.0, 2.0, 4.0))
    gradients, own = [None], set()
    add(gradients, 0, None, own)
    assert gradients == [None]
    add(gradients, 0, a, own)
    assert gradients[0] is a
    add(gradients, 0, None, own)
    add(gradients, 0, b, own)
    total = gradients[0]
    assert total is not a
    add(gradients, 0, c, own)
    assert gradients[0] is total
    assert [tensor.tolist() for tensor in (a, b, c, total)] == [[1, 1], [2, 2], [4, 4], [7, 7]]


def test_add_takes_tuples():
    a, b = (torch.ones(2), torch.zeros(1)), (torch.ones(2), torch.ones(1))
    gradients = [None]
    for gradient in (a, b, None, b):
        add(gradients, 0, gradient, set())
    assert [element.tolist() for element in gradients[0].as_tuple()] == [[3, 3], [2]]
    assert [element.tolist() for element in a] == [[1, 1], [0]]
