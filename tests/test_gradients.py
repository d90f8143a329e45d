from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    Buffer,
    Concat,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Feed,
    Linear,
    MSELoss,
    Network,
    Operator,
    Parameter,
    ReLU,
    Shared,
    Sum,
    Tanh,
    check_gradients,
)
from graphdl.errors import GradientError, GraphDLError, OperatorError, SettingError, ShapeError
from graphdl.initializers import Constant, Normal


@dataclass(frozen=True)
class Bilinear(Operator):
    """y = w a b + v; da = w b dy, db = w a dy, dw = sum a b dy, dv = sum dy."""

    slots: ClassVar = ("a", "b")

    def parameters(self):
        return {"w": Parameter((1,), Normal()), "v": Parameter((1,), Normal())}

    def forward(self, p, a, b, *, training):
        return p["w"] * a * b + p["v"], (a, b)

    def right(self, p, saved, dy):
        a, b = saved
        gradients = {"w": (a * b * dy).sum().view(1), "v": dy.sum().view(1)}
        return (p["w"] * b * dy, p["w"] * a * dy), gradients

    def backward(self, p, saved, dy):
        return self.right(p, saved, dy)


def faulty(backward):
    """A Bilinear whose backward is changed: (right gradients, dy) -> gradients."""

    class Faulty(Bilinear):
        def backward(self, p, saved, dy):
            return backward(*self.right(p, saved, dy), dy)

    return Faulty()


def example():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, 2, generator=generator), torch.randn(3, 2, generator=generator)


def test_right_gradients_are_accepted_with_their_error():
    error = check_gradients(Bilinear(), *example())
    assert isinstance(error, float)
    assert 0 < error < 1e-8


FAULTS = {
    "sign": (lambda dxs, dps, dy: ((-dxs[0], dxs[1]), dps), r"of the input 'a' at \[0, 0\] is"),
    "scale": (lambda dxs, dps, dy: ((dxs[0], 1.0005 * dxs[1]), dps), "of the input 'b' at"),
    "swapped": (lambda dxs, dps, dy: (dxs[::-1], dps), "of the input 'a' at"),
    "none": (lambda dxs, dps, dy: ((None, dxs[1]), dps), r"of the input 'a' at \[0, 0\] is 0,"),
    "one-element": (
        lambda dxs, dps, dy: ((dxs[0], dxs[1].index_fill(1, torch.tensor([1]), 0)), dps),
        r"at \[0, 1\] is 0",
    ),
    "nan": (lambda dxs, dps, dy: ((dxs[0], dxs[1] * float("nan")), dps), "of the input 'b' at .* is nan"),
    "parameter": (lambda dxs, dps, dy: (dxs, dps | {"w": dps["w"] * 1.001}), r"of Faulty\.w at \[0\] is"),
    "swapped-parameters": (lambda dxs, dps, dy: (dxs, {"w": dps["v"], "v": dps["w"]}), r"of Faulty\.w at \[0\]"),
    "flat": (
        lambda dxs, dps, dy: (dxs, dps | {"v": dps["v"][0]}),
        r"the gradient of the parameter 'v' has the shape \(\), and the parameter \(1,\)",
    ),
    "in-place": (
        lambda dxs, dps, dy: ((dxs[0] + 0 * dy.mul_(2), dxs[1]), dps),
        "wrote into the gradient dy of 'Faulty'",
    ),
}


@pytest.mark.parametrize(("backward", "text"), FAULTS.values(), ids=FAULTS)
def test_wrong_gradients_are_refused(backward, text):
    with pytest.raises(GradientError, match=text):
        check_gradients(faulty(backward), *example())


def test_the_text_says_what_was_found_and_expected():
    with pytest.raises(GradientError) as caught:
        check_gradients(faulty(FAULTS["scale"][0]), *example())
    words = str(caught.value).split()
    found, expected = (
        float(words[words.index("is") + 1].strip(",")),
        float(words[words.index("quotient") + 2].strip(":")),
    )
    assert found / expected == pytest.approx(1.0005, rel=1e-6)
    assert "backward is not the derivative of forward, or the value is at a kink" in str(caught.value)


def test_a_missing_parameter_gradient_is_told():
    operator = faulty(lambda dxs, dps, dy: (dxs, {"w": dps["w"]}))
    with pytest.raises(OperatorError, match="Faulty: its backward returned no gradient of the parameter 'v'"):
        check_gradients(operator, *example())


def test_a_gradient_of_another_shape_is_told():
    operator = faulty(lambda dxs, dps, dy: ((dxs[0].sum(0), dxs[1]), dps))
    with pytest.raises(OperatorError, match=r"Faulty.* shape \(2,\) .*shape \(3, 2\)"):
        check_gradients(operator, *example())


def test_too_few_gradients_are_told():
    with pytest.raises(OperatorError, match=r"Faulty failed in backward"):
        check_gradients(faulty(lambda dxs, dps, dy: (dxs[:1], dps)), *example())


def test_an_operator_that_writes_into_its_input_or_parameter_is_told():
    class Writes(Bilinear):
        def forward(self, p, a, b, *, training):
            self.place(p, a).add_(1)
            return super().forward(p, a, b, training=training)

    class Input(Writes):
        def place(self, p, a):
            return a

    class Weight(Writes):
        def place(self, p, a):
            return p["w"]

    for operator, name in [(Input(), "the input 'a'"), (Weight(), r"Weight\.w")]:
        with pytest.raises(GradientError, match=f"wrote into {name}, which does not belong"):
            check_gradients(operator, *example())


def test_a_kink_is_reported():
    with pytest.raises(GradientError, match="the value is at a kink"):
        check_gradients(ReLU(), torch.tensor([1.0, 0.0]))
    assert check_gradients(ReLU(), torch.tensor([1.0, -1.0])) < 1e-8


def test_the_tolerance_and_the_seed():
    operator = faulty(FAULTS["scale"][0])
    assert 1e-5 < check_gradients(operator, *example(), tolerance=0.01) < 0.01
    assert check_gradients(Tanh(), torch.ones(2), seed=1) != check_gradients(Tanh(), torch.ones(2), seed=2)


def test_example_inputs_may_be_numbers_lists_arrays_and_of_any_type():
    for x in (0.5, [0.5, -1.0], torch.randn(2, 2).numpy(), torch.randn(2, 2).half(), torch.randn(2, 3).t()):
        assert check_gradients(Tanh(), x) < 1e-7
    assert check_gradients(Tanh(), torch.randn(0, 3)) == 0.0


def test_example_inputs_are_left_alone():
    a, b = (x.double() for x in example())
    held = a.clone(), b.clone()
    check_gradients(Bilinear(), a, b)
    assert torch.equal(a, held[0])
    assert torch.equal(b, held[1])
    leaf = torch.ones(2, 2, requires_grad=True)
    check_gradients(Tanh(), leaf)
    assert leaf.grad is None


def test_integers_are_not_varied():
    assert check_gradients(CrossEntropyLoss(), torch.randn(4, 3), torch.tensor([0, 1, 2, 1])) < 1e-8
    assert check_gradients(Sum(), torch.ones(2, 2, dtype=torch.int64), torch.randn(2, 2)) < 1e-7


def test_buffers_are_given_and_not_checked():
    @dataclass(frozen=True)
    class Scaled(Operator):
        def buffers(self):
            return {"factor": Buffer((1,), Constant(3.0))}

        def forward(self, p, x, *, training):
            return p["factor"] * x, None

        def backward(self, p, saved, dy):
            return (p["factor"] * dy,), {}

    assert check_gradients(Scaled(), torch.randn(3, 2)) < 1e-8


@dataclass(frozen=True)
class Counted(Operator):
    """y = steps x, where steps counts the passes: each changes its buffer, and the next would see it."""

    def buffers(self):
        return {"steps": Buffer((1,), Constant(3.0))}

    def forward(self, p, x, *, training):
        p["steps"].add_(1)
        return p["steps"] * x, p["steps"].clone()

    def backward(self, p, steps, dy):
        return (steps * dy,), {}


def test_every_pass_begins_with_the_same_buffers_which_stay():
    assert check_gradients(Counted(), torch.randn(3, 2)) < 1e-8
    net = Network({"a": Linear(2, 2), "count": Counted()}, {"x": ["a"], "a": ["count"]}, dtype=torch.float64)
    net.forward(torch.zeros(1, 2))
    assert check_gradients(net, {"x": torch.randn(3, 2)}) < 1e-7
    assert net.buffers["count.steps"].item() == 4


@dataclass(frozen=True)
class Noisy(Operator):
    """y = x drawn, whose gradient is off by `error`."""

    error: float = 1.0

    def draw(self, *inputs, generator):
        return torch.rand(inputs[0].shape, generator=generator, dtype=inputs[0].dtype)

    def forward(self, p, x, *, training, drawn=None):
        noise = torch.rand_like(x) if drawn is None else drawn
        return noise * x, noise

    def backward(self, p, noise, dy):
        return (noise * dy * self.error,), {}


def test_every_pass_draws_the_same_numbers_and_leaves_the_generator():
    assert check_gradients(Noisy(), torch.randn(3, 2)) < 1e-8
    with pytest.raises(GradientError, match="of the input 0"):
        check_gradients(Noisy(1.001), torch.randn(3, 2))
    net = Network({"noise": Noisy()}, {"x": ["noise"]}, seed=0, dtype=torch.float64)
    for operator, error in [(net, None), (Network({"noise": Noisy(2.0)}, {"x": ["noise"]}, dtype=torch.float64), 1)]:
        state = operator.generator.get_state()
        if error:
            with pytest.raises(GradientError):
                check_gradients(operator, {"x": torch.ones(2)})
        else:
            check_gradients(operator, {"x": torch.ones(2)})
        assert torch.equal(operator.generator.get_state(), state)


def test_shipped_operators_with_buffers_chance_and_integers():
    x = torch.randn(4, 3)
    for operator in (BatchNorm1d(), BatchNorm1d(momentum=None), Dropout(), Dropout(0.9)):
        assert check_gradients(operator, x) < 1e-7
    assert check_gradients(Embedding(5, 2), torch.tensor([[0, 4], [1, 1]])) < 1e-8


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_inputs_is_told(count):
    with pytest.raises(SettingError, match=f"Bilinear takes a and b, and {count} were given"):
        check_gradients(Bilinear(), *[torch.ones(2)] * count)
    assert check_gradients(Concat(), *[torch.randn(2, 1)] * 3) < 1e-7
    with pytest.raises(SettingError, match="Sum takes one input or more, and 0 were given"):
        check_gradients(Sum())


def test_what_is_no_operator_is_told():
    for subject in (Tanh, "Tanh", None):
        with pytest.raises(SettingError, match="an operator or a network"):
            check_gradients(subject, torch.ones(2))
    with pytest.raises(ShapeError, match=r"^Linear cannot take"):
        check_gradients(Linear(3, 2), torch.ones(2, 2))


def network(dtype=torch.float64, **changes):
    operators = {"a": Linear(2, 3), "t": Tanh(), "b": Shared("a"), "join": Bilinear(), "loss": MSELoss(weight=0.3)}
    edges = {"x": ["a", "b"], "a": ["t"], "t": ["join"], "b": ["join"], "join": ["loss"], "y": ["loss"]}
    return Network(operators | changes, edges, seed=0, dtype=dtype)


def inputs():
    generator = torch.Generator().manual_seed(4)
    return {"x": torch.randn(3, 2, generator=generator), "y": torch.randn(3, 3, generator=generator)}


def test_a_network_is_checked_whole():
    assert check_gradients(network(), inputs()) < 1e-7


@pytest.mark.parametrize("fault", ["scale", "parameter"])
def test_a_fault_within_a_network_is_seen(fault):
    with pytest.raises(GradientError):
        check_gradients(network(join=faulty(FAULTS[fault][0])), inputs(), tolerance=1e-6)


def test_the_parameters_of_a_network_are_left_as_they_were():
    net = network()
    before = net.state_dict()
    check_gradients(net, inputs())
    assert all(torch.equal(net.parameters[name], before[name]) for name in before)


def test_frozen_parameters_are_not_checked_and_stay():
    net = network(join=faulty(FAULTS["parameter"][0]))
    net.freeze("join")
    assert check_gradients(net, inputs()) < 1e-7


def test_an_edge_s_factor_is_no_derivative():
    net = Network({"a": Tanh(), "b": Tanh()}, {"x": ["a"], "a": [Feed("b", gradient=-1.0)]}, dtype=torch.float64)
    with pytest.raises(GradientError, match="of the input 'x'"):
        check_gradients(net, {"x": torch.ones(2)})


@pytest.mark.parametrize("given", [(), ({}, {}), (torch.ones(2),)])
def test_a_network_takes_one_dictionary_and_is_float64(given):
    text = r"takes net\.to\(dtype=torch\.float64\) and one dictionary"
    with pytest.raises(SettingError, match=text):
        check_gradients(network(), *given)
    with pytest.raises(SettingError, match=text):
        check_gradients(network(torch.float32), inputs())
    with pytest.raises(GraphDLError, match="The input 'x' is missing"):
        check_gradients(network(), {"y": torch.ones(3, 3)})


class Rows(Operator):
    """Rows of an image, by a view that holds for one layout only."""

    def forward(self, p, x, *, training):
        return x.view(len(x), -1), x.shape

    def backward(self, p, shape, dy):
        return (dy.reshape(shape),), {}


def test_an_operator_of_images_must_take_channels_last():
    with pytest.raises(ShapeError, match=r"view size is not compatible.*Use \.reshape"):
        check_gradients(Rows(), torch.randn(2, 3, 4, 4))
