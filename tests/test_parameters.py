import itertools
from dataclasses import dataclass

import pytest
import torch

from graphdl import Buffer, Linear, Operator, Parameter, Tanh
from graphdl.errors import SettingError, ShapeError, UnknownNodeError
from graphdl.initializers import Constant, Normal
from graphdl.parameters import ALIGNMENT, ParameterStore

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Mixed(Operator):
    def parameters(self):
        return {"scale": Parameter((), Constant(3)), "empty": Parameter((0, 2), Constant(1))}

    def buffers(self):
        return {"mean": Buffer((2,)), "count": Buffer((), Constant(4), torch.int64)}

    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (dy,), {}


def make(operators, seed=0, dtype=torch.float32):
    return ParameterStore(operators, torch.Generator().manual_seed(seed), CPU, dtype)


def store():
    return make({"a": Linear(2, 3), "tanh": Tanh(), "mixed": Mixed(), 7: Linear(3, 1, bias=False)})


def test_tensors_are_named_by_node_and_parameter():
    assert list(store().parameters) == ["a.weight", "a.bias", "mixed.scale", "mixed.empty", "7.weight"]
    assert list(store().buffers) == ["mixed.mean", "mixed.count"]


def test_tensors_are_laid_out_as_declared():
    held = store()
    assert [tuple(t.shape) for t in held.parameters.values()] == [(3, 2), (3,), (), (0, 2), (1, 3)]
    assert held.parameters["mixed.scale"].item() == 3
    assert held.buffers["mixed.mean"].tolist() == [0, 0]
    assert (held.buffers["mixed.count"].item(), held.buffers["mixed.count"].dtype) == (4, torch.int64)


def test_an_operator_is_given_its_own_tensors_by_name():
    held = store()
    assert held.by_node["tanh"] == {}
    assert list(held.by_node["mixed"]) == ["scale", "empty", "mean", "count"]
    assert held.by_node["a"]["weight"] is held.parameters["a.weight"]


def test_every_parameter_is_a_view_of_the_vector_at_an_aligned_offset():
    held = store()
    for extent in held.extents:
        view = held.parameters[extent.full_name]
        assert extent.start % ALIGNMENT == 0
        assert view.untyped_storage().data_ptr() == held.flat.untyped_storage().data_ptr()
        assert view.storage_offset() == extent.start
        assert extent.view(held.flat).equal(view)


def test_the_gaps_between_parameters_are_0():
    held = store()
    for view in held.parameters.values():
        view.fill_(0)
    assert not held.flat.any()


def test_parameters_do_not_overlap():
    extents = store().extents
    assert all(a.stop <= b.start for a, b in itertools.pairwise(extents))


def test_count_leaves_out_gaps_and_buffers():
    assert store().count == 6 + 3 + 1 + 0 + 3


def test_parameters_are_drawn_in_the_order_of_the_operators():
    generator = torch.Generator().manual_seed(0)
    weight = Normal()(torch.empty(3, 2), generator)
    bias = Normal()(torch.empty(3), generator)
    held = make({"a": Linear(2, 3, weight=Normal(), bias=Normal())})
    assert held.parameters["a.weight"].equal(weight)
    assert held.parameters["a.bias"].equal(bias)


def test_a_store_without_parameters_is_an_empty_vector():
    assert make({"tanh": Tanh()}).flat.numel() == 0


@pytest.mark.parametrize(
    ("nodes", "covered"),
    [
        ([], []),
        (["tanh"], []),
        (["a"], [["a.weight", "a.bias"]]),
        (["a", "mixed"], [["a.weight", "a.bias", "mixed.scale", "mixed.empty"]]),
        (["a", 7], [["a.weight", "a.bias"], ["7.weight"]]),
        ([7, "mixed", "a"], [["a.weight", "a.bias", "mixed.scale", "mixed.empty", "7.weight"]]),
    ],
)
def test_runs_are_the_parameters_of_the_nodes_and_no_others_neighbours_together(nodes, covered):
    assert [[extent.full_name for extent in run] for run in store().runs(nodes)] == covered


def test_two_tensors_with_one_name_are_refused():
    with pytest.raises(
        SettingError, match=r"^Two tensors are called '1\.weight'; rename a node, for example one of 1 a"
    ):
        make({1: Linear(2, 3), "1": Linear(2, 3)})


def test_a_dot_in_a_nodes_name_may_clash_with_another_node():
    class Dotted(Mixed):
        def parameters(self):
            return {"b.weight": Parameter((1,), Constant(0))}

    with pytest.raises(SettingError, match=r"^Two tensors are called 'a\.b\.weight'"):
        make({"a": Dotted(), "a.b": Linear(2, 3)})


@pytest.mark.parametrize("value", [torch.full((3,), 2.0), [2.0, 2.0, 2.0], torch.full((3,), 2, dtype=torch.int32)])
def test_to_assign_copies_into_the_tensor(value):
    held = store()
    bias = held.parameters["a.bias"]
    held.parameters["a.bias"] = value
    assert held.parameters["a.bias"] is bias
    assert bias.tolist() == [2, 2, 2]
    assert held.extents[1].view(held.flat).tolist() == [2, 2, 2]


def test_to_assign_to_a_buffer_keeps_its_type():
    held = store()
    held.buffers["mixed.count"] = 9
    assert held.by_node["mixed"]["count"].equal(torch.tensor(9))


def test_to_assign_to_a_misspelt_name():
    with pytest.raises(UnknownNodeError, match=r"^The network has no tensor 'a\.wieght'\. Did you mean 'a\.weight'\?$"):
        store().parameters["a.wieght"] = torch.ones(3, 2)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 2), (6,), ()])
def test_to_assign_another_shape_does_not_broadcast(shape):
    held = store()
    before = held.flat.clone()
    with pytest.raises(ShapeError, match=r"^a\.weight has the shape \(3, 2\), and the value given \("):
        held.parameters["a.weight"] = torch.ones(shape)
    assert held.flat.equal(before)


def test_update_copies_as_assignment_does():
    held = store()
    held.parameters.update({"a.bias": torch.full((3,), 7.0)})
    assert held.by_node["a"]["bias"].tolist() == [7, 7, 7]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_to_moves_parameters_and_floating_point_buffers(dtype):
    held = store()
    held.buffers["mixed.mean"] = [1.0, 2.0]
    names = held.parameters
    before = {name: tensor.clone() for name, tensor in names.items()}
    held.to(CPU, dtype)
    assert held.parameters is names
    assert all(tensor.dtype is dtype for tensor in (held.flat, *names.values(), held.buffers["mixed.mean"]))
    assert all(tensor.equal(before[name].to(dtype)) for name, tensor in names.items())
    assert held.buffers["mixed.mean"].tolist() == [1, 2]
    assert held.buffers["mixed.count"].dtype is torch.int64
    assert held.by_node["a"]["weight"] is names["a.weight"]
    assert held.by_node["mixed"]["mean"] is held.buffers["mixed.mean"]
