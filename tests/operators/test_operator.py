from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from dataclasses import dataclass

import pytest
import torch

import graphdl
from graphdl import Buffer, MSELoss, Network, Operator, Parameter, Tanh, check_gradients, fit, operators
from graphdl.errors import MissingInputError, OperatorError, SettingError
from graphdl.initializers import Constant, Normal, Zeros
from graphdl.operators.operator import EVERYTHING
from graphdl.optim import SGD
from graphdl.registry import is_registered
from tests.operators import (
    test_activations,
    test_convolution,
    test_embedding,
    test_linear,
    test_losses,
    test_merge,
    test_normalization,
    test_pooling,
    test_recurrent,
    test_regularization,
    test_structure,
)
from tests.operators.case import Case
from tests.operators.checks import every_check

FAMILIES = [
    test_activations,
    test_convolution,
    test_embedding,
    test_linear,
    test_losses,
    test_merge,
    test_normalization,
    test_pooling,
    test_recurrent,
    test_regularization,
    test_structure,
]
HELPERS = {
    "cell",
    "compiling",
    "masks",
    "onednn",
    "operator",
    "recurrences",
    "recurrent_weights",
    "sequences",
    "sizes",
    "stacked",
    "tuples",
}
PUBLIC = [getattr(operators, name) for name in operators.__all__]
CONCRETE = [
    cls for cls in PUBLIC if isinstance(cls, type) and issubclass(cls, Operator) and not inspect.isabstract(cls)
]


@graphdl.register
@dataclass(frozen=True)
class ScaleForTest(Operator):
    """y = a x; dx = a dy, da = sum dy x: the ten lines that a user writes."""

    start: float = 2.0

    def parameters(self):
        return {"a": Parameter((1,), Constant(self.start))}

    def forward(self, p, x, *, training):
        return p["a"] * x, x

    def backward(self, p, x, dy):
        return (p["a"] * dy,), {"a": (dy * x).sum().view(1)}


@every_check
@pytest.mark.parametrize("operator", [ScaleForTest(), ScaleForTest(start=-0.5)])
def test_an_operator_of_one_s_own(check, operator):
    check(Case("scale", operator, [(4, 3)], lambda p, x: p["a"] * x))


def test_an_operator_of_one_s_own_trains():
    net = Network({"scale": ScaleForTest(), "loss": MSELoss()}, {"scale": ["loss"], "y": ["loss"]})
    x = torch.linspace(-1, 1, 8)[:, None]
    history = fit(net, {"scale": x, "y": 5 * x}, optimizer=SGD(lr=0.5), epochs=40, batch_size=8, progress=False)
    assert history["loss"][-1] < 1e-8
    assert net.parameters["scale.a"].item() == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize("cls", CONCRETE, ids=lambda cls: cls.__name__)
def test_every_operator_has_a_case_and_a_place(cls):
    tested = {type(case.operator) for family in FAMILIES for case in family.CASES} | {operators.Item}
    assert cls in tested
    assert is_registered(cls)
    assert cls.__dataclass_params__.frozen
    assert getattr(graphdl, cls.__name__) is cls
    assert cls.family != "other"
    assert cls.slots is None or all(isinstance(slot, str) for slot in cls.slots)
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}(")  # not the one that dataclass writes


def test_every_family_is_exported_and_tested():
    modules = {module.name for module in pkgutil.iter_modules(operators.__path__)} - HELPERS
    assert {family.__name__.rpartition("test_")[2] for family in FAMILIES} == modules
    assert {cls.__module__.rpartition(".")[2] for cls in CONCRETE} == modules


def test_names_of_cases_are_unique():
    for family in FAMILIES:
        names = [str(case) for case in family.CASES]
        assert len(set(names)) == len(names)


def test_what_an_operator_is_by_default():
    tanh = Tanh()
    assert (tanh.parameters(), tanh.buffers(), tanh.complete, tanh.expects()) == ({}, {}, True, "")
    assert tanh.infer(torch.Size((4, 3))) is tanh
    assert Operator.slots == ("input",)


def test_an_operator_lacks_neither_forward_nor_backward():
    class Half(Operator):
        def forward(self, p, x, *, training):
            return x, None

    with pytest.raises(TypeError, match="backward"):
        Half()


def test_everything_holds_every_name():
    assert "weight" in EVERYTHING
    assert "anything" in EVERYTHING


def test_parameter_and_buffer_are_frozen_declarations():
    assert Parameter((2, 3), Normal()) == Parameter((2, 3), Normal(0.0, 1.0))
    assert (Buffer((2,)).initializer, Buffer((2,)).dtype) == (Zeros(), None)
    for declared in (Parameter((2,), Zeros()), Buffer((2,))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            declared.shape = (3,)


def chain(operator):
    return Network({"odd": operator, "end": Tanh()}, {"x": ["odd"], "odd": ["end"]})


def odd(**methods):
    """An operator with these methods."""
    base = {"forward": lambda self, p, x, *, training: (x, None), "backward": lambda self, p, saved, dy: ((dy,), {})}
    return dataclass(frozen=True)(type("Odd", (Operator,), base | methods))()


def test_forward_that_returns_no_pair_is_told():
    net = chain(odd(forward=lambda self, p, x, *, training: x))
    with pytest.raises(OperatorError, match=r"odd \(Odd\) returned something else than a pair"):
        net.forward(torch.zeros(3, 2))


def test_forward_that_returns_no_pair_is_told_for_two_rows_too():
    net = chain(odd(forward=lambda self, p, x, *, training: x))
    with pytest.raises(OperatorError, match=r"odd \(Odd\) returned something else than a pair"):
        net.forward(torch.zeros(2, 2))


@pytest.mark.parametrize(
    "backward",
    [
        lambda self, p, saved, dy: dy,
        lambda self, p, saved, dy: None,
        lambda self, p, saved, dy: ((), {}),
        lambda self, p, saved, dy: 1 / 0,
    ],
)
def test_a_backward_that_breaks_the_contract_is_told(backward):
    net = chain(odd(backward=backward))
    net.forward(torch.zeros(3, 2))
    with pytest.raises(OperatorError, match=r"odd \(Odd\) failed in backward: .*check_gradients"):
        net.backward({"end": torch.ones(3, 2)})


def test_a_single_gradient_need_not_be_a_tuple():
    net = chain(odd(backward=lambda self, p, saved, dy: (dy, {})))
    net.forward(torch.zeros(3, 2))
    assert net.backward({"end": torch.ones(3, 2)})["x"].shape == (3, 2)


def test_a_lacking_parameter_gradient_is_told():
    declared = {"parameters": lambda self: {"a": Parameter((1,), Zeros()), "b": Parameter((1,), Zeros())}}
    net = chain(odd(**declared))
    net.forward(torch.zeros(3, 2))
    with pytest.raises(OperatorError, match="odd: its backward returned no gradient of the parameter 'a'"):
        net.backward({"end": torch.ones(3, 2)})


def test_a_class_in_place_of_an_operator_is_told():
    with pytest.raises(SettingError, match=r"operators\['a'\] is the class Tanh: write Tanh\(\.\.\.\)"):
        Network({"a": Tanh}, {"x": ["a"]})
    with pytest.raises(SettingError, match=r"operators\['a'\] is a .*Parameter"):
        Network({"a": Parameter((1,), Zeros())}, {"x": ["a"]})


IMAGES = [
    operators.Conv2d(3, 4, 3),
    operators.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
    operators.BatchNorm2d(),
    operators.BatchNorm2d(momentum=None),
    operators.LayerNorm(),
    operators.MaxPool2d(2),
    operators.AdaptiveAvgPool2d(2),
    operators.AdaptiveAvgPool2d(1),
    operators.Dropout(),
]


@pytest.mark.parametrize("operator", IMAGES, ids=repr)
def test_fit_trains_as_a_loop_of_one_s_own(operator):
    """Also where the operator stands first, so that nobody wants the gradient of its input."""
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randn(8, 3, 6, 6, generator=generator), "y": torch.arange(8) % 2}
    chain = {"first": operator, "flat": operators.Flatten(), "out": operators.Linear(out_features=2)}
    edges = {"x": ["first"], "first": ["flat"], "flat": ["out"], "out": ["loss"], "y": ["loss"]}
    net, twin = (Network(chain | {"loss": operators.CrossEntropyLoss()}, edges, seed=0) for _ in range(2))
    fit(net, inputs, optimizer=SGD(lr=0.1), epochs=6, batch_size=8, shuffle=False, progress=False)
    stepper = SGD(lr=0.1).bind(twin)
    for _ in range(6):
        twin.forward(inputs)
        twin.backward()
        stepper.step()
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor)


def test_incomplete_sizes_are_asked_for():
    operator = graphdl.Linear(out_features=2)
    assert not operator.complete
    assert operator.infer(torch.Size((4, 3))).complete
    with pytest.raises(MissingInputError, match=r"net\.build\(\{'x': \(\.\.\.\)\}\)"):
        _ = Network({"fc": operator}, {"x": ["fc"]}).parameters


def test_a_gradient_of_another_shape_is_no_gradient():
    with pytest.raises(OperatorError, match=r"^Odd: .* shape \(2,\) .*shape \(3, 2\)"):
        check_gradients(odd(backward=lambda self, p, saved, dy: ((dy.sum(0),), {})), torch.randn(3, 2))
