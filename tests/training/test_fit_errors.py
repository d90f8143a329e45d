import warnings
from dataclasses import dataclass

import pytest
import torch

from graphdl import Linear, MSELoss, Network, Operator, Parameter, Shared, Tanh, Weight, evaluate, fit
from graphdl.data import disc, one_hot
from graphdl.errors import (
    CompileError,
    GraphDLWarning,
    MissingInputError,
    OperatorError,
    SettingError,
    ShapeError,
    UnknownNodeError,
    UnreachableError,
)
from graphdl.initializers import Constant
from graphdl.operators import Constant as Const
from graphdl.optim import Adam

X, LABELS = disc(120, seed=0)
Y = one_hot(LABELS, 2)
SETTINGS = {"optimizer": Adam(lr=1e-2), "epochs": 3, "batch_size": 50}


def fresh():
    operators = {"fc1": Linear(2, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=0)


ERRORS = [
    ((X, Y), {"batch_size": None}, SettingError, "batch_size is missing"),
    ((X, Y), {"batch_size": 0}, SettingError, "batch_size"),
    ((X, Y), {"epochs": 0}, SettingError, "epochs must be a number of passes"),
    ((X, Y), {"optimizer": "adam"}, SettingError, "optimizer must be an optimizer of graphdl.optim such as Adam"),
    ((X, Y), {"metrics": "accuracy"}, SettingError, "metrics must be a sequence"),
    ((X, Y), {"metrics": ("acuracy",)}, SettingError, "Did you mean 'accuracy'"),
    ((X, Y), {"metrics": (3,)}, SettingError, "A metric must be a name or a function"),
    ((X, Y), {"threads": 0}, SettingError, "threads must be a whole number"),
    ((X, Y[:50]), {}, ShapeError, "120"),
    ((X,), {}, MissingInputError, "One tensor was given as inputs, but the network needs 2: 'x' and 'target'"),
    (({"x": X},), {}, MissingInputError, "The input 'target' is missing"),
    (({"x": X, "traget": Y},), {}, UnknownNodeError, "Did you mean 'target'"),
    (([X],), {}, MissingInputError, "One tensor was given as inputs, but the network needs 2: 'x' and 'target'"),
    (([(X, Y, Y)],), {}, SettingError, r"A batch must be a dict .* not a tuple of 3"),
    (([],), {}, SettingError, "no batch"),
    ((3,), {}, SettingError, "give a dict of tensors, a tensor with targets, or an iterable of batches"),
    (([(X, Y)], Y), {}, SettingError, "batches and data sets hold their targets"),
    ((X, Y[:, :1]), {}, ShapeError, r"loss \(MSELoss\) cannot take its inputs"),
]


@pytest.mark.parametrize(("data", "settings", "error", "text"), ERRORS)
def test_bad_calls_are_explained(data, settings, error, text):
    with pytest.raises(error, match=text):
        fit(fresh(), *data, **{**SETTINGS, **settings})


def test_a_network_without_loss_is_refused():
    net = Network({"fc": Linear(2, 2)}, {"x": ["fc"]}, seed=0)
    with pytest.raises(MissingInputError, match="no loss node"):
        fit(net, X, Y, **SETTINGS)
    with pytest.raises(MissingInputError, match="no loss node"):
        evaluate(net, X)


def test_losses_that_need_no_input_have_no_rows_to_fit():
    operators = {"w": Weight((3,)), "point": Const((1.0, 2.0, 3.0)), "loss": MSELoss(), "fc": Linear(2, 2)}
    net = Network(operators, {"w": ["loss"], "point": ["loss"], "x": ["fc"]}, seed=0)
    with pytest.raises(MissingInputError, match=r"^fit needs rows, and the losses of the network need no input\. Make"):
        fit(net, {"x": X}, **SETTINGS)
    with pytest.raises(CompileError, match="the losses need no input"):
        net.compile(Adam(lr=1e-2), {"x": X})
    stepper = Adam(lr=1e-2).bind(net)
    before = float(net.forward({"x": X})["loss"])
    net.backward()
    stepper.step()
    assert float(net.forward({"x": X})["loss"]) < before


def test_nothing_to_train_is_refused(net):
    net.freeze(*net.operators)
    with pytest.raises(UnreachableError, match="no parameter that is not frozen reaches a loss"):
        fit(net, X, Y, **SETTINGS)


def test_a_misspelt_key_is_warned_of():
    operators = {"fc1": Linear(2, 2), "tanh": Tanh(), "fc2": Linear(2, 2), "loss": MSELoss()}
    connectivity = {"x": ["fc1"], "fc": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    net = Network(operators, connectivity, seed=0)  # that they are numbered does not make names misspelt
    text = r"^fc1 \(Linear\) has parameters and leads to no loss, so it is not trained\. Did you mean 'fc'\?"
    with pytest.warns(GraphDLWarning, match=text):
        fit(net, {"x": X, "fc": X, "target": Y}, **SETTINGS)
    with pytest.raises(MissingInputError, match=r"The input 'fc' is missing: .* Did you mean 'fc1'"):
        fit_quietly(net, {"x": X, "target": Y})


def fit_quietly(net, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(net, *data, **SETTINGS)


def test_a_frozen_or_a_shared_operator_beside_the_losses_is_meant():
    operators = {"fc1": Linear(2, 2), "aside": Linear(2, 2), "again": Shared("fc1"), "loss": MSELoss()}
    net = Network(operators, {"x": ["fc1", "aside", "again"], "fc1": ["loss"], "target": ["loss"]}, seed=0)
    net.freeze("aside")
    fit(net, {"x": X, "target": Y}, **SETTINGS)


@dataclass(frozen=True)
class Wrong(Operator):
    """Its gradients have wrong shapes."""

    input: bool

    def parameters(self):
        return {"k": Parameter((), Constant(1.0))}

    def forward(self, p, x, *, training):
        return p["k"] * x, x

    def backward(self, p, x, dy):
        return (dy.sum(1) if self.input else p["k"] * dy,), {"k": (x * dy).sum() if self.input else x * dy}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Wrong(True), r"^odd \(Wrong\): its backward returned a gradient of the shape \(50,\) for its input from fc"),
        (
            Wrong(False),
            r"^odd \(Wrong\): the gradient of the parameter 'k' has the shape \(50, 2\), and the parameter \(\)",
        ),
    ],
    ids=["input", "parameter"],
)
def test_a_wrong_gradient_is_blamed_on_its_own_operator(wrong, text):
    operators = {"fc": Linear(2, 2), "odd": wrong, "loss": MSELoss()}
    net = Network(operators, {"x": ["fc"], "fc": ["odd"], "odd": ["loss"], "target": ["loss"]}, seed=0)
    with pytest.raises(OperatorError, match=text):
        fit(net, X, Y, **SETTINGS)


def test_callbacks_are_a_sequence():
    with pytest.raises(SettingError, match=r"callbacks must be a sequence such as \[EarlyStopping\(\)\]"):
        fit(fresh(), X, Y, **SETTINGS, callbacks=lambda net, history: None)


def test_a_metric_that_is_no_number_is_named():
    def errors(prediction, target):
        return prediction - target

    with pytest.raises(SettingError, match=r"The metric 'errors' returned a tensor \(50, 2\)"):
        fit(fresh(), X, Y, **SETTINGS, metrics=(errors,))


def test_a_class_in_place_of_an_optimizer_is_told():
    with pytest.raises(SettingError, match=r"not the class graphdl\.optim\.adam\.Adam"):
        fit(fresh(), X, Y, optimizer=Adam, epochs=1, batch_size=5)


def test_a_failed_pass_leaves_the_summary_readable():
    net = fresh()
    with pytest.raises(ShapeError):
        fit(net, torch.ones(5, 3), torch.ones(5, 2), **SETTINGS)
    assert "fc1" in net.summary()
    with pytest.raises(ShapeError):
        net.forward({"x": torch.ones(5, 3), "target": torch.ones(5, 2)})
    assert "fc1" in net.summary()


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"recompute": ["fc"]}, UnknownNodeError, r"recompute: the network has no node 'fc'\. Did you mean 'fc\d'"),
        ({"recompute": "tanh"}, SettingError, "recompute is a list of nodes, such as"),
        ({"recompute": ["loss"]}, SettingError, "loss is a loss"),
        ({"recompute": ["tanh"], "compile": True}, SettingError, "cannot be combined"),
    ],
)
def test_recompute_names_nodes_of_steps_that_are_not_compiled(settings, error, text):
    with pytest.raises(error, match=text):
        fit(fresh(), X, Y, **SETTINGS, **settings)


def test_recomputing_changes_no_bit():
    plain, again = fresh(), fresh()
    losses = [fit(plain, X, Y, **SETTINGS)["loss"], fit(again, X, Y, **SETTINGS, recompute=["fc1", "tanh"])["loss"]]
    assert losses[0] == losses[1]
    assert all(torch.equal(again.parameters[name], tensor) for name, tensor in plain.parameters.items())
