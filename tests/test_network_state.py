from dataclasses import dataclass

import pytest
import safetensors.torch
import torch

from graphdl import Buffer, Linear, MSELoss, Network, Operator, ReLU, Shared, Tanh, register
from graphdl.errors import MissingInputError, ShapeError, UnknownNodeError
from graphdl.initializers import Constant

X = torch.linspace(-1, 1, 10).reshape(5, 2)
Y = torch.linspace(0, 1, 15).reshape(5, 3)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@register
@dataclass(frozen=True)
class RunningMean(Operator):
    """Subtracts a running mean of what it has seen in training; counts the batches."""

    features: int
    momentum: float = 0.5

    def buffers(self):
        return {"mean": Buffer((self.features,)), "batches": Buffer((), Constant(0), torch.int64)}

    def forward(self, p, x, *, training):
        if training:
            p["mean"].lerp_(x.mean(0), self.momentum)
            p["batches"].add_(1)
        return x - p["mean"], None

    def backward(self, p, saved, dy):
        return (dy,), {}


def make(seed=0, **settings):
    operators = {"mean": RunningMean(2), "fc": Linear(2, 3), "loss": MSELoss()}
    connectivity = {"x": ["mean"], "mean": ["fc"], "fc": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=seed, **settings)


def trained():
    net = make()
    net.forward({"x": X + 1, "target": Y})
    return net


def same(a, b):
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def test_the_seed_determines_the_parameters():
    assert same(make(seed=3).parameters, make(seed=3).parameters)
    assert not same(make(seed=3).parameters, make(seed=4).parameters)


def test_torchs_own_seed_has_no_say_where_a_seed_is_given():
    torch.manual_seed(1)
    first = make(seed=3).parameters
    torch.manual_seed(2)
    assert same(make(seed=3).parameters, first)


def test_a_network_with_a_seed_leaves_torchs_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    make(seed=3)
    assert torch.get_rng_state().equal(before)


def test_without_a_seed_the_parameters_follow_torchs_generator():
    torch.manual_seed(1)
    first, second = make(seed=None), make(seed=None)
    torch.manual_seed(1)
    assert same(make(seed=None).parameters, first.parameters)
    assert not same(first.parameters, second.parameters)


def test_sizes_that_were_left_out_do_not_change_the_parameters():
    connectivity = {"x": ["a"], "a": ["b"]}
    given = Network({"a": Linear(2, 3), "b": Linear(3, 1)}, connectivity, seed=0)
    inferred = Network({"a": Linear(out_features=3), "b": Linear(out_features=1)}, connectivity, seed=0)
    assert same(inferred.build({"x": (2,)}).parameters, given.parameters)


def test_the_first_pass_builds_as_build_does():
    connectivity = {"x": ["a"]}
    passed = Network({"a": Linear(out_features=3)}, connectivity, seed=0)
    assert passed.predict(X).equal(Network({"a": Linear(2, 3)}, connectivity, seed=0).predict(X))
    assert passed.parameters["a.weight"].shape == (3, 2)


def test_the_type_of_the_parameters_does_not_change_their_seed():
    double = make(dtype=torch.float64)
    assert double.parameters["fc.weight"].dtype is torch.float64
    assert double.buffers["mean.batches"].dtype is torch.int64
    assert double.forward({"x": X, "target": Y})["loss"].dtype is torch.float64


def test_buffers_change_in_training_alone():
    net = trained()
    torch.testing.assert_close(net.buffers["mean.mean"], torch.full((2,), 0.5) + X.mean(0) / 2)
    assert net.buffers["mean.batches"].item() == 1
    before = net.state_dict()
    net.forward({"x": X, "target": Y}, training=False)
    net.predict(X)
    assert same(net.state_dict(), before)


def test_buffers_are_no_parameters():
    net = trained()
    net.backward()
    assert set(net.buffers) == {"mean.mean", "mean.batches"}
    assert set(net.gradients) == set(net.parameters) == {"fc.weight", "fc.bias"}


def test_a_nodes_buffers_are_shared_with_its_parameters():
    net = Network({"a": RunningMean(2), "b": Shared("a")}, {"x": ["a"], "a": ["b"]})
    net.forward(X)
    assert list(net.buffers) == ["a.mean", "a.batches"]
    assert net.buffers["a.batches"].item() == 2


def test_state_dict_copies():
    net = trained()
    state = net.state_dict()
    assert list(state) == ["fc.weight", "fc.bias", "mean.mean", "mean.batches"]
    assert same(state, {**net.parameters, **net.buffers})
    for tensor in state.values():
        tensor.fill_(9)
    assert not any(tensor.eq(9).any() for tensor in net.state_dict().values())


def test_load_state_dict_takes_all_values():
    net, state = make(seed=1), trained().state_dict()
    net.load_state_dict(state)
    assert same(net.state_dict(), state)
    assert net.predict(X).equal(trained().predict(X))
    state["fc.bias"].fill_(9)
    assert not net.parameters["fc.bias"].eq(9).any()


def test_load_state_dict_takes_another_type():
    net = make(seed=1)
    net.load_state_dict({name: tensor.double() for name, tensor in trained().state_dict().items()})
    assert same(net.state_dict(), trained().state_dict())


def test_a_state_goes_through_safetensors(tmp_path):
    safetensors.torch.save_file(trained().state_dict(), tmp_path / "net.safetensors")
    net = make(seed=1)
    net.load_state_dict(safetensors.torch.load_file(tmp_path / "net.safetensors"))
    assert same(net.state_dict(), trained().state_dict())


def test_a_state_of_the_same_network_in_torch_fits():
    theirs = torch.nn.ModuleDict({"fc": torch.nn.Linear(2, 3)})
    net = Network({"fc": Linear(2, 3)}, {"x": ["fc"]})
    net.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(net.predict(X), theirs["fc"](X).detach())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda s: s.pop("fc.bias"), MissingInputError, r"^load_state_dict: the state lacks fc\.bias\.$"),
        (lambda s: s.update({"fc.wieght": X}), UnknownNodeError, r"called 'fc\.wieght'\. Did you mean 'fc\.weight'\?$"),
        (
            lambda s: s.update({"mean.batches": X}),
            ShapeError,
            r"^mean\.batches has the shape \(\), and the value given \(5, 2\)\.$",
        ),
    ],
)
def test_load_state_dict_changes_nothing_on_error(change, error, text):
    net, state = make(seed=1), trained().state_dict()
    before = net.state_dict()
    change(state)
    with pytest.raises(error, match=text):
        net.load_state_dict(state)
    assert same(net.state_dict(), before)


def test_to_assign_a_parameter_changes_what_the_network_computes():
    net = Network({"fc": Linear(2, 1)}, {"x": ["fc"]})
    net.parameters["fc.weight"] = [[1.0, 2.0]]
    net.parameters["fc.bias"] = torch.tensor([3.0])
    torch.testing.assert_close(net.predict(X), X @ torch.tensor([[1.0], [2.0]]) + 3)


def test_to_converts_tensors_and_later_inputs():
    net = trained()
    expected = net.predict(X)
    assert net.to(dtype=torch.float64) is net
    assert net.dtype is torch.float64
    assert {tensor.dtype for tensor in net.parameters.values()} == {torch.float64}
    assert net.buffers["mean.batches"].dtype is torch.int64
    assert net.predict(X).dtype is torch.float64
    torch.testing.assert_close(net.predict(X).float(), expected)


def test_to_forgets_what_was_recorded():
    net = trained()
    net.backward()
    net.to(dtype=torch.float64)
    assert (net.values, net.value_gradients, net.gradients) == ({}, {}, {})
    with pytest.raises(MissingInputError, match=r"call net\.forward"):
        net.backward()


def test_to_before_sizes_are_known():
    net = Network({"a": Linear(out_features=3)}, {"x": ["a"]}, seed=0).to(dtype=torch.float64)
    assert net.predict(X).dtype is torch.float64


def test_backward_works_after_a_change_of_type():
    net = trained()
    net.backward()
    net.to(dtype=torch.float64)
    net.forward({"x": X, "target": Y})
    net.backward()
    assert {gradient.dtype for gradient in net.gradients.values()} == {torch.float64}


def test_a_network_runs_on_the_meta_device():
    net = Network({"fc": Linear(2, 3), "relu": ReLU()}, {"x": ["fc"], "fc": ["relu"]}, device="meta")
    assert net.predict(X).is_meta
    assert {tensor.device.type for tensor in net.parameters.values()} == {"meta"}


@needs_gpu
@pytest.mark.parametrize("at", ["construction", "later"])
def test_a_network_on_the_gpu_computes_the_same(at):
    net = make(device="cuda") if at == "construction" else make().to("cuda")
    expected = make()
    for network in (net, expected):
        network.forward({"x": X, "target": Y})
        network.backward()
    assert net.device.type == "cuda"
    assert {t.device.type for t in (*net.state_dict().values(), *net.gradients.values())} == {"cuda"}
    torch.testing.assert_close({name: g.cpu() for name, g in net.gradients.items()}, expected.gradients)
    torch.testing.assert_close(net.predict(X).cpu(), expected.predict(X))
    torch.testing.assert_close(net.to("cpu").predict(X), expected.predict(X))


@needs_gpu
def test_the_device_does_not_change_the_first_parameters():
    net = Network({"a": Linear(2, 3), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=0, device="cuda")
    other = Network({"a": Linear(2, 3), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=0)
    assert same({name: tensor.cpu() for name, tensor in net.parameters.items()}, other.parameters)
