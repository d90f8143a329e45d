from dataclasses import dataclass

import pytest
import torch

from graphdl import (
    Concat,
    CrossEntropyLoss,
    Feed,
    Flatten,
    Item,
    Linear,
    MSELoss,
    Network,
    Operator,
    Shared,
    Subtract,
    Sum,
    Tanh,
)
from graphdl.errors import GraphDLError, OperatorError, ShapeError


@dataclass(frozen=True)
class Faulty(Operator):
    """Fails as told, in forward or in backward."""

    forward_error: object = None
    backward_error: object = None
    returned: object = None

    def forward(self, p, x, *, training):
        if self.forward_error is not None:
            raise self.forward_error
        return x, None

    def backward(self, p, saved, dy):
        if self.backward_error is not None:
            raise self.backward_error
        return self.returned


def failure(net, inputs):
    with pytest.raises(GraphDLError) as caught:
        net.forward(inputs)
    return caught.value


def test_a_shape_error_names_node_operator_shapes_origins_and_expectation():
    net = Network({"fc1": Flatten(), "fc2": Linear(4, 1)}, {"x": ["fc1"], "fc1": ["fc2"]})
    error = failure(net, torch.ones(5, 3))
    assert type(error) is ShapeError
    assert str(error).startswith(
        "fc2 (Linear) cannot take its inputs. Its inputs: (5, 3) float32 from fc1. Expected (n, ..., 4): "
        "give such data, or change in_features to 3. The operation itself said: "
    )


@pytest.mark.parametrize(
    ("operator", "shapes", "text"),
    [
        (
            Sum(),
            [(5, 2), (5, 3)],
            r"^node \(Sum\) .*: \(5, 2\) float32 from the input a, \(5, 3\) float32 from the input b\.",
        ),
        (Sum(), [(5, 2), (2,)], r"^node \(Sum\) cannot take its inputs: the inputs must have the same number of axes"),
        (Subtract(), [(5, 2), (4, 2)], r"^node \(Subtract\) .*: \(5, 2\) float32 from the input a, \(4, 2\)"),
        (Concat(), [(5, 2), (4, 2)], r"from the input b\. Expected inputs of the same shape except along axis 1\."),
        (
            MSELoss(),
            [(5, 1), (5,)],
            r"differ in shape: write target.unsqueeze\(1\)\. .*: \(5, 1\) float32 .*, \(5,\) float32",
        ),
        (CrossEntropyLoss(), [(5, 3), (4,)], r"Expected a prediction \(n, c, \.\.\.\) with class indices"),
    ],
)
def test_every_input_of_a_failing_node_is_told(operator, shapes, text):
    net = Network({"node": operator}, {"a": ["node"], "b": ["node"]})
    error = failure(net, {name: torch.ones(shape) for name, shape in zip("ab", shapes, strict=True)})
    assert type(error) is ShapeError
    with pytest.raises(ShapeError, match=text):
        raise error


def test_inputs_are_told_in_the_order_of_the_slots():
    net = Network({"loss": MSELoss()}, {"t": [Feed("loss", slot="target")], "p": ["loss"]})
    error = failure(net, {"t": torch.ones(2), "p": torch.ones(3)})
    assert "(3,) float32 from the input p, (2,) float32 from the input t" in str(error)


def test_an_implicit_input_is_told_by_its_name():
    net = Network({"loss": MSELoss()}, {})
    error = failure(net, {"loss.prediction": torch.ones(2), "loss.target": torch.ones(3)})
    assert "(2,) float32 from the input loss.prediction, (3,) float32 from the input loss.target" in str(error)


def test_a_shared_node_is_told_by_its_own_name():
    net = Network({"a": Linear(2, 3), "flat": Flatten(), "b": Shared("a")}, {"x": ["a"], "a": ["flat"], "flat": ["b"]})
    assert str(failure(net, torch.ones(5, 2))).startswith("b (Linear) cannot take its inputs.")


def test_the_error_of_torch_is_the_cause():
    error = failure(Network({"a": Linear(2, 3)}, {"x": ["a"]}), torch.ones(5, 4))
    assert isinstance(error.__cause__, RuntimeError)
    assert str(error).endswith(f"The operation itself said: {error.__cause__}")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_types_that_do_not_mix(dtype):
    error = failure(Network({"a": Linear(2, 3)}, {"x": ["a"]}), torch.ones(5, 2, dtype=dtype))
    assert type(error) is OperatorError
    assert str(error).startswith(
        f"a (Linear) cannot mix the types of its inputs and parameters. Its inputs: (5, 2) "
        f"{str(dtype).removeprefix('torch.')} from the input x; its parameters are float32. Give floating-point inputs"
    )


def test_class_indices_out_of_range():
    net = Network({"loss": CrossEntropyLoss()}, {"x": ["loss"], "t": ["loss"]})
    error = failure(net, {"x": torch.ones(4, 3), "t": torch.tensor([0, 1, 2, 3])})
    assert type(error) is OperatorError
    assert "Expected class indices 0 to 2; the target's are from 0 to 3: give" in str(error)


def test_class_indices_given_as_floats():
    net = Network({"loss": CrossEntropyLoss()}, {"x": ["loss"], "t": ["loss"]})
    error = failure(net, {"x": torch.ones(4, 3), "t": torch.zeros(4)})
    assert "shape of class indices but holds floats: give integers" in str(error)


def test_an_error_that_has_nothing_to_do_with_shapes():
    error = failure(Network({"a": Faulty(KeyError("rate"))}, {"x": ["a"]}), torch.ones(2))
    assert isinstance(error.__cause__, KeyError)
    assert "a (Faulty)" in str(error)
    assert "'rate'" in str(error)


def test_an_operators_own_error_of_shapes_keeps_its_words():
    error = failure(Network({"a": Faulty(ShapeError("too flat"))}, {"x": ["a"]}), torch.ones(2))
    assert str(error) == "a (Faulty) cannot take its inputs: too flat. Its inputs: (2,) float32 from the input x."


def test_an_interrupt_is_not_explained_away():
    net = Network({"a": Faulty(KeyboardInterrupt())}, {"x": ["a"]})
    with pytest.raises(KeyboardInterrupt):
        net.forward(torch.ones(2))


@pytest.mark.parametrize("index", [2, -3])
def test_an_item_beyond_the_tuple(index):
    class Pair(Tanh):
        def forward(self, p, x, *, training):
            return (x, x), None

    net = Network({"pair": Pair(), "item": Item(index)}, {"x": ["pair"], "pair": ["item"]})
    error = failure(net, torch.ones(2))
    assert str(error) == (
        f"item (Item) cannot take its inputs: Item({index}) selects from a tuple of outputs, but its input is "
        "a tuple of 2 tensors. Its inputs: a tuple of (2,) float32, (2,) float32 from pair."
    )


def test_a_forward_that_returns_no_pair():
    class Bare(Tanh):
        def forward(self, p, x, *, training):
            return torch.ones(3)

    error = failure(Network({"a": Bare()}, {"x": ["a"]}), torch.ones(2))
    assert type(error) is OperatorError
    assert str(error).startswith("a (Bare) returned something else than a pair: forward returns (output, saved), as")


@pytest.mark.parametrize(
    "operator",
    [
        Faulty(backward_error=ValueError("no way back")),
        Faulty(returned=None),
        Faulty(returned=()),
        Faulty(returned=((), {})),
        Faulty(returned=([], {}, 1)),
    ],
)
def test_a_backward_that_fails_is_told_with_the_contract(operator):
    net = Network({"a": operator}, {"x": ["a"]})
    net.forward(torch.ones(2))
    with pytest.raises(OperatorError) as caught:
        net.backward({"a": torch.ones(2)})
    assert str(caught.value).startswith("a (Faulty) failed in backward: ")
    assert str(caught.value).endswith(
        "A backward returns a tuple of one gradient or None for each input, "
        "and a dictionary of its parameters' gradients; "
        "graphdl.check_gradients(operator, *example_inputs) tests it."
    )


def test_a_backward_that_forgets_a_parameter():
    class Forgetful(Linear):
        def backward(self, p, x, dy):
            return (dy @ p["weight"],), {"weight": dy.t() @ x}

    net = Network({"a": Forgetful(2, 3)}, {"x": ["a"]})
    net.forward(torch.ones(5, 2))
    with pytest.raises(
        OperatorError, match=r"^a: its backward returned no gradient of the parameter 'bias'\. backward"
    ):
        net.backward({"a": torch.ones(5, 3)})


def test_a_failing_pass_leaves_the_network_usable():
    net = Network({"a": Linear(2, 3)}, {"x": ["a"]}, seed=0)
    expected = net.predict(torch.ones(5, 2))
    failure(net, torch.ones(5, 4))
    assert net.predict(torch.ones(5, 2)).equal(expected)
