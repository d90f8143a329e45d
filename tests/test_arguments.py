import numpy as np
import pytest
import torch

from graphdl.arguments import gather_inputs, to_tensor
from graphdl.errors import MissingInputError, SettingError, UnknownNodeError

CPU = torch.device("cpu")


def gather(given, needed=("x",), known=("x", "target"), operators=("tanh",), dtype=torch.float32):
    return gather_inputs(given, needed, {name: f"why {name}" for name in known}, operators, CPU, dtype)


def tensor_of(value, dtype=torch.float32):
    return to_tensor(value, "The input 'x'", CPU, dtype)


def test_a_tensor_of_the_right_type_is_taken_as_it_is():
    x = torch.ones(2, 3)
    assert gather({"x": x})["x"] is x


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.0, 2.0]]),
        np.array([[1.0, 2.0]], dtype=np.float16),
        [[1.0, 2.0]],
        ((1.0, 2.0),),
        [torch.tensor([1.0, 2.0])],
        torch.tensor([[1.0, 2.0]], dtype=torch.float64),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_floating_point_numbers_take_the_networks_type(value, dtype):
    found = tensor_of(value, dtype)
    assert found.dtype is dtype
    assert found.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_integers_keep_their_type(dtype):
    assert tensor_of(torch.ones(2, dtype=dtype)).dtype is dtype
    assert tensor_of(torch.ones(2, dtype=dtype).numpy()).dtype is dtype


@pytest.mark.parametrize(("value", "dtype"), [(2, torch.int64), (2.0, torch.float32), (np.float64(2), torch.float32)])
def test_a_number_is_a_tensor_without_axes(value, dtype):
    found = tensor_of(value)
    assert (found.shape, found.dtype, found.item()) == (torch.Size(), dtype, 2)


def test_an_array_is_copied():
    array = np.ones((2, 2), dtype=np.float32)
    found = tensor_of(array)
    array[:] = 5
    assert found.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("view", [lambda a: a[::-1], lambda a: a.T, lambda a: a[:, ::2]])
def test_any_view_of_an_array_will_do(view):
    array = view(np.arange(12.0).reshape(3, 4))
    assert tensor_of(array).tolist() == array.tolist()


def test_a_read_only_array_will_do():
    array = np.ones(3)
    array.setflags(write=False)
    assert tensor_of(array).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "is a NoneType; give a tensor or an array of numbers"),
        ("text", "is a str; give a tensor"),
        ({1, 2}, "is a set; give a tensor"),
        ([[1.0], [1.0, 2.0]], "does not hold numbers in a regular shape: row 0 has 1 value, and row 1 2 values"),
        (["a"], "holds strings, such as 'a': number them"),
        (np.array([None]), "holds None at \\[0\\]: fill missing values"),
    ],
)
def test_what_is_no_tensor(value, text):
    with pytest.raises(SettingError, match=rf"^The input 'x' {text}"):
        tensor_of(value)


@pytest.mark.parametrize("value", [torch.ones(2), np.ones(2), [1.0, 1.0]])
def test_one_tensor_will_do_where_one_input_is_needed(value):
    assert gather(value)["x"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("needed", "text"), [((), "A tensor was given, and no input is needed"), (("x", 1), "One tensor .* 2 inputs are")]
)
def test_one_tensor_for_another_number_of_inputs(needed, text):
    with pytest.raises(MissingInputError, match=rf"^{text}.* dictionary"):
        gather(torch.ones(2), needed)


def test_several_missing_inputs_are_listed():
    with pytest.raises(
        MissingInputError, match=r"needed: 'x' and 1\. Give a dictionary from their names to tensors\.$"
    ):
        gather(torch.ones(2), ("x", 1))


def test_inputs_that_are_not_needed_are_left_out():
    assert list(gather({"target": object(), "x": torch.ones(1)})) == ["x"]


def test_inputs_come_in_the_order_in_which_they_are_needed():
    given = {"target": torch.ones(1), "x": torch.ones(1)}
    assert list(gather(given, ("x", "target"))) == ["x", "target"]


def test_a_misspelt_input_is_refused_with_the_names_of_all():
    with pytest.raises(UnknownNodeError) as caught:
        gather({"x": torch.ones(1), "tarjet": torch.ones(1)})
    assert str(caught.value) == (
        "The network has no input 'tarjet'. Did you mean 'target'? Its inputs are 'x' and 'target'."
    )


def test_a_missing_input_says_why_it_is_one():
    with pytest.raises(MissingInputError) as caught:
        gather({"x": torch.ones(1)}, ("x", "target"))
    assert str(caught.value) == "The input 'target' is missing: it is an input because why target. Give it a value."


def test_a_missing_input_may_be_a_misspelt_operator():
    with pytest.raises(
        MissingInputError,
        match=r"'tahn' is missing: it is an input because why tahn\. Did you mean 'tanh'\? Give it a value",
    ):
        gather({}, ("tahn",), ("tahn",))


def test_a_missing_input_named_after_its_node_is_no_misspelling_of_it():
    with pytest.raises(MissingInputError, match=r"why tanh\. Give it a value\.$"):
        gather({}, ("tanh",), ("tanh",))


def test_a_tuple_of_tensors_is_not_a_row():
    """split of one array returns tuples, of which the only element is meant."""
    with pytest.raises(SettingError, match=r"^The input x is a tuple of 1 tensors; give one tensor: an element of it"):
        to_tensor((torch.zeros(5, 2),), "The input x", torch.device("cpu"), torch.float32)
