import pytest
import torch

from graphdl import (
    CrossEntropyLoss,
    Flatten,
    Item,
    Linear,
    MSELoss,
    Multiply,
    Network,
    Operator,
    Product,
    Shared,
    Sum,
    Tanh,
)
from graphdl.arguments import meta_inputs
from graphdl.errors import MissingInputError, ShapeError, UnknownNodeError
from graphdl.execution.inference import infer_shapes, meta_parameters, require_complete
from graphdl.operators.tuples import shape_of

KNOWN = {"x": "", "target": ""}


class Halves(Operator):
    def forward(self, p, x, *, training):
        return tuple(x.chunk(2, 1)), x.shape

    def backward(self, p, shape, dy):
        return (torch.cat(dy, 1),), {}


def hollow(given, batch=None, dtype=torch.float32):
    return meta_inputs(given, KNOWN, dtype, batch)


def inferred(operators, connectivity, shapes):
    net = Network(operators, connectivity)
    values, sized = infer_shapes(net.engine.full_plan, meta_inputs(shapes, net.engine.inputs, net.dtype), net.dtype)
    return {key: shape_of(value) for key, value in values.items()}, sized


@pytest.mark.parametrize("shape", [(), (2,), (0, 3), [2, 3], torch.Size([4])])
def test_shapes_become_meta_tensors(shape):
    tensor = hollow({"x": shape})["x"]
    assert (tensor.shape, tensor.device.type, tensor.dtype) == (torch.Size(shape), "meta", torch.float32)


def test_a_batch_axis_is_put_before_a_shape():
    assert hollow({"x": (3,)}, batch=2)["x"].shape == (2, 3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (torch.float32, torch.float64),
        (torch.float16, torch.float64),
        (torch.int64, torch.int64),
        (torch.bool, torch.bool),
    ],
)
def test_tensors_give_their_shape_and_integers_their_type(given, found):
    tensor = hollow({"x": torch.ones(5, 2, dtype=given)}, batch=2, dtype=torch.float64)["x"]
    assert (tensor.shape, tensor.dtype, tensor.is_meta) == ((5, 2), found, True)


@pytest.mark.parametrize("shape", [3, None, "23", (2.0,), (True,), (-1,), ("2",), {2}])
def test_what_is_no_shape(shape):
    with pytest.raises(ShapeError, match=r"^The shape of input 'x' is a tuple of sizes, or a tensor, not .*\.$"):
        hollow({"x": shape})


def test_the_shape_of_an_unknown_input():
    with pytest.raises(
        UnknownNodeError, match=r"no input 'tarjet'\. Did you mean 'target'\? Its inputs are 'x' and 'tar"
    ):
        hollow({"tarjet": (2,)})


@pytest.mark.parametrize(
    ("value", "shape"),
    [(torch.ones(2, 3), (2, 3)), (torch.tensor(1), ()), ((torch.ones(2), (torch.ones(1),)), ((2,), ((1,),)))],
)
def test_shape_of_a_value(value, shape):
    assert shape_of(value) == shape


def test_meta_parameters_hold_no_data():
    found = meta_parameters(Linear(10**6, 10**6), torch.float64)
    assert {name: (tuple(t.shape), t.dtype, t.is_meta) for name, t in found.items()} == {
        "weight": ((10**6, 10**6), torch.float64, True),
        "bias": ((10**6,), torch.float64, True),
    }


def test_sizes_follow_along_the_graph():
    operators = {"a": Linear(out_features=4), "b": Linear(out_features=4), "sum": Sum(), "c": Linear(out_features=1)}
    connectivity = {"x": ["a", "b"], "a": ["sum"], "b": ["sum"], "sum": ["c"]}
    shapes, sized = inferred(operators, connectivity, {"x": (7, 3)})
    assert shapes == {"x": (7, 3), "a": (7, 4), "b": (7, 4), "sum": (7, 4), "c": (7, 1)}
    assert {key: sized[key].in_features for key in ("a", "b", "c")} == {"a": 3, "b": 3, "c": 4}


def test_a_size_that_is_given_stays():
    operator = Linear(3, 4)
    assert inferred({"a": operator}, {"x": ["a"]}, {"x": (7, 3)})[1]["a"] is operator


def test_shapes_are_found_as_far_as_the_inputs_lead():
    operators = {"a": Linear(3, 4), "loss": MSELoss(), "other": Tanh()}
    shapes, _ = inferred(operators, {"x": ["a"], "a": ["loss"], "t": ["loss"], "z": ["other"]}, {"x": (7, 3)})
    assert shapes == {"x": (7, 3), "a": (7, 4)}


def test_a_shared_operators_size_follows_from_the_node_that_comes_first():
    operators = {"second": Linear(out_features=3), "first": Shared("second")}
    shapes, sized = inferred(operators, {"x": ["first"], "first": ["second"]}, {"x": (7, 3)})
    assert shapes == {"x": (7, 3), "first": (7, 3), "second": (7, 3)}
    assert sized["second"].in_features == 3


def test_a_shared_operator_whose_two_inputs_differ():
    operators = {"second": Linear(out_features=4), "first": Shared("second")}
    with pytest.raises(
        ShapeError,
        match=r"^second \(Linear\) .* \(7, 4\) float32 from first\. Expected \(n, \.\.\., 3\): give such data",
    ):
        inferred(operators, {"x": ["first"], "first": ["second"]}, {"x": (7, 3)})


def test_a_tuple_of_outputs_has_a_tuple_of_shapes():
    shapes, _ = inferred({"split": Halves(), "item": Item(1)}, {"x": ["split"], "split": ["item"]}, {"x": (7, 5)})
    assert shapes == {"x": (7, 5), "split": ((7, 3), (7, 2)), "item": (7, 2)}


def test_a_wrong_shape_is_explained_as_in_a_pass():
    operators = {"a": Flatten(), "b": Flatten(), "prod": Product()}
    with pytest.raises(ShapeError, match=r"^prod \(Product\) .*: \(7, 4\) float32 from a, \(7, 5\) float32 from b\."):
        inferred(operators, {"x": ["a"], "z": ["b"], "a": ["prod"], "b": ["prod"]}, {"x": (7, 4), "z": (7, 5)})


def test_a_number_has_no_axis_of_features():
    with pytest.raises(ShapeError, match=r"^a \(Linear\) cannot take its inputs: the input is a single number"):
        inferred({"a": Linear(out_features=4)}, {"x": ["a"]}, {"x": ()})


def test_class_indices_are_told_by_their_shape():
    operators, connectivity = {"loss": CrossEntropyLoss()}, {"x": ["loss"], "t": ["loss"]}
    assert inferred(operators, connectivity, {"x": (7, 3), "t": (7,)})[0]["loss"] == ()


def test_a_network_whose_sizes_are_known_is_complete():
    require_complete({"a": Linear(2, 3), "b": Tanh()}, ["x"])


def test_unknown_sizes_are_named_with_the_call_that_finds_them():
    with pytest.raises(MissingInputError) as caught:
        require_complete({"a": Linear(2, 3), 7: Linear(out_features=4)}, ["x", 1])
    assert str(caught.value) == (
        "7 (Linear) needs in_features, which follows from the shapes of the inputs: call "
        "net.build({'x': (...), 1: (...)}) with each shape, without the batch axis."
    )


def test_equal_operators_run_once_for_equal_shapes(monkeypatch):
    runs = []
    monkeypatch.setattr(Tanh, "value", lambda self, x, out=None: runs.append(x.shape) or torch.tanh(x))
    chain = {f"t{i}": [f"t{i + 1}"] for i in range(299)}
    narrow = {"wide": ["t0"], "x": ["wide", "other"]}
    operators = {f"t{i}": Tanh() for i in range(300)} | {"wide": Linear(2, 7), "other": Tanh()}
    found, _ = inferred(operators, chain | narrow, {"x": (5, 2)})
    assert (found["t299"], found["other"], sorted(runs)) == ((5, 7), (5, 2), [(5, 2), (5, 7)])


def test_settings_that_are_equal_numbers_of_different_types_are_told_apart():
    operators = {"whole": Multiply(2), "real": Multiply(2.0), "again": Multiply(2)}
    net = Network(operators, {"x": ["whole", "real", "again"]})
    types = [
        value.dtype for value in net.engine.infer({"x": torch.ones(3, 1, dtype=torch.int64, device="meta")}).values()
    ]
    assert types == [torch.int64, torch.int64, torch.float32, torch.int64]


def test_custom_operators_run_each_time():
    runs = []

    class Counted(Halves):
        def forward(self, p, x, *, training):
            runs.append(x.shape)
            return x, None

    inferred({"a": Counted(), "b": Counted()}, {"x": ["a", "b"]}, {"x": (5, 2)})
    assert len(runs) == 2
