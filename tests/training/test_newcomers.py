"""What somebody who comes from torch tries first."""

import itertools

import numpy
import pytest
import torch

from graphdl import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    EarlyStopping,
    Linear,
    MSELoss,
    Network,
    Operator,
    ReduceOnPlateau,
    evaluate,
    fit,
    minimize,
)
from graphdl.data import one_hot
from graphdl.errors import GradientError, GraphDLError, GraphDLWarning, OperatorError, SettingError, UnknownNodeError
from graphdl.optim import SGD, Adam
from tests.twins import needs_compiler

DATA = {"x": torch.ones(8, 2), "y": torch.zeros(8, 1)}


def network(middle=None):
    operators = {"fc": Linear(2, 1), **({"middle": middle} if middle else {}), "loss": MSELoss()}
    chain = ["x", *operators]
    return Network(operators, {a: [b] for a, b in itertools.pairwise(chain)} | {"y": ["loss"]}, seed=0)


def test_an_optimizer_of_torch_is_refused_by_its_whole_name():
    with pytest.raises(SettingError, match=r"not an instance of torch\.optim\.adam\.Adam\. Those of"):
        fit(network(), DATA, optimizer=torch.optim.Adam([torch.ones(1)]), epochs=1, batch_size=4)
    with pytest.raises(SettingError, match=r"not the class graphdl\.optim\.adam\.Adam\.$"):
        fit(network(), DATA, optimizer=Adam, epochs=1, batch_size=4)


def test_a_type_in_place_of_a_device():
    with pytest.raises(SettingError, match=r"^device=torch\.float64 is a type: write dtype=torch\.float64\.$"):
        network().to(torch.float64)


def test_a_device_without_a_backend_is_named_in_one_line():
    with pytest.raises(SettingError, match=r"^device='xla' cannot be used: there is no such device\. Take [^\n]{,70}$"):
        network().to("xla")


def test_numbers_of_numpy_are_whole_numbers():
    plain, typed = network(), network()
    callbacks = [EarlyStopping("loss", patience=numpy.int8(2)), ReduceOnPlateau("loss", cooldown=numpy.int64(1))]
    fit(plain, DATA, optimizer=SGD(lr=0.1), epochs=2, batch_size=4, seed=3)
    given = {"epochs": numpy.int64(2), "seed": numpy.uint8(3)}
    history = fit(typed, DATA, optimizer=SGD(lr=0.1), batch_size=4, callbacks=callbacks, **given)
    assert history.epochs == 2
    assert all(torch.equal(plain.parameters[name], typed.parameters[name]) for name in plain.parameters)
    Network({"fc": Linear(2, 1)}, {"x": ["fc"]}, seed=numpy.int64(3))


ROWS = torch.tensor([[1, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize("targets", [ROWS, ROWS.bool(), ROWS.float()])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0]])
def test_rows_of_several_classes_are_reported_in_every_type(targets, weights):
    operators = {"fc": Linear(2, 3), "loss": CrossEntropyLoss()}
    net = Network(operators, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    how = {"optimizer": SGD(lr=0.1), "epochs": 1, "batch_size": 2, "sample_weight": weights}
    with pytest.warns(GraphDLWarning, match="the target 'y' holds rows that sum to 2, .* BCEWithLogitsLoss if a row"):
        fit(net, {"x": torch.ones(2, 2), "y": targets}, **how)


def test_class_indices_of_several_positions_are_no_rows_of_classes():
    net = Network(
        {"loss": CrossEntropyLoss(), "fc": Linear(4, 4)}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0
    )
    data = {"x": torch.ones(2, 3, 4), "y": torch.ones(2, 4, dtype=torch.long)}
    fit(net, data, optimizer=SGD(lr=0.1), epochs=1, batch_size=2)


def test_class_weights_are_not_those_of_several_labels():
    operators = {"fc": Linear(2, 3), "loss": BCEWithLogitsLoss()}
    net = Network(operators, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    with pytest.raises(SettingError, match=r"Several labels in a row are weighted by the loss: .* and pos_weight"):
        fit(net, {"x": torch.ones(2, 2), "y": ROWS.float()}, optimizer=Adam(), epochs=1, batch_size=2,
            class_weight="balanced")  # fmt: skip


@pytest.mark.parametrize("labels", [[["a"], ["b", "a"]], [["a", "b"], "a"]])
def test_one_hot_of_several_labels(labels):
    with pytest.raises(SettingError, match="labels hold lists of different lengths: give one label for each row"):
        one_hot(labels, classes=["a", "b"])


def test_accuracy_is_better_when_it_is_higher():
    assert EarlyStopping("validation_accuracy").maximise
    assert not EarlyStopping("validation_loss").maximise
    assert not EarlyStopping("validation_accuracy", maximise=False).maximise


class Misnamed(Operator):
    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (dy,), {"w": dy}


def test_a_gradient_of_no_parameter_is_refused():
    with pytest.raises(GradientError, match=r"^middle \(Misnamed\): its backward returned a gradient of 'w'"):
        fit(network(Misnamed()), DATA, optimizer=SGD(), epochs=1, batch_size=4)


@needs_compiler
def test_steps_are_compiled_for_a_stepper():
    net = network()
    stepper = Adam(lr=0.1).bind(net)
    net.compile(stepper, {name: tensor[:4] for name, tensor in DATA.items()})(
        {name: tensor.view(2, 4, -1) for name, tensor in DATA.items()}
    )
    assert stepper.steps == 2
    with pytest.raises(SettingError, match="a stepper of this network"):
        network().compile(stepper, DATA)


@pytest.mark.parametrize(
    ("habit", "advice"),
    [
        (lambda net: net(DATA["x"]), r"net\.forward\(inputs\) runs as in training .* net\.predict\(inputs\)"),
        (lambda net: net.parameters(), r"dictionaries .*net\.parameters\.values\(\).*Adam\(lr=1e-3\)\.bind\(net\)"),
        (lambda net: net.train(), r"no 'train', unlike a torch\.nn\.Module\..* fit\(net, inputs"),
        (lambda net: net.eval(), r"net\.predict\(inputs\) runs as in inference"),
        (lambda net: net.zero_grad(), r"net\.backward\(\) replaces net\.gradients"),
        (lambda net: net.modules(), r"net\.operators"),
        (lambda net: net.named_parameters(), r"net\.parameters\.items\(\)"),
        (lambda net: net.cuda(), r"net\.to\('cuda'\)"),
        (lambda net: net.paramters, r"no 'paramters'\. Did you mean 'parameters'\?"),
    ],
)
def test_what_a_module_of_torch_can_do(habit, advice):
    with pytest.raises(GraphDLError, match=advice):
        habit(network())


def test_a_missing_attribute_is_an_attribute_error():
    assert not hasattr(network(), "train")
    assert getattr(network(), "anything", 3) == 3


@pytest.mark.parametrize("name", ["compile", "shuffle", "progress"])
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_flags_of_fit_are_true_or_false(name, value):
    with pytest.raises(SettingError, match=rf"^fit: {name} must be True or False, not {value!r}$"):
        fit(network(), DATA, optimizer=SGD(), epochs=1, batch_size=4, **{name: value})


def test_settings_of_fit_of_a_wrong_type():
    with pytest.raises(
        SettingError, match=r"^fit takes a graphdl\.Network first, not an instance of builtins\.str: make one by"
    ):
        fit("network", DATA, optimizer=SGD(), epochs=1, batch_size=4)
    for function in (evaluate, minimize):
        with pytest.raises(SettingError, match=r"takes a graphdl\.Network first, not an instance of torch\.Tensor: "):
            function(DATA["x"], DATA["y"])
    with pytest.raises(SettingError, match=r"^metrics must be a sequence such as \['accuracy'\], not <built-in"):
        fit(network(), DATA, optimizer=SGD(), epochs=1, batch_size=4, metrics=len)


@pytest.mark.parametrize(
    ("validation", "text"),
    [
        ((DATA["x"], DATA["y"], DATA["y"]), r"^validation is a tuple of 3 tensors: give a pair \(inputs, targets\)"),
        ([DATA["x"], DATA["y"]], r"^validation is a list of 2 tensors: give a pair \(inputs, targets\)"),
        (True, r"^validation is True: give a pair \(inputs, targets\), .* graphdl\.data\.split"),
    ],
)
def test_validation_data_of_a_wrong_form(validation, text):
    with pytest.raises(SettingError, match=text):
        fit(network(), DATA, optimizer=SGD(), epochs=1, batch_size=4, validation=validation)


@pytest.mark.parametrize("shape", [(4, 2), [4, 2], torch.Size([4, 2])])
def test_shapes_instead_of_examples(shape):
    with pytest.raises(SettingError, match=r"^compile takes example tensors, and the input 'x' is .*zeros\(4, 2\)"):
        network().compile(SGD(), {"x": shape, "y": torch.zeros(4, 1)})


def test_a_target_that_nothing_feeds():
    net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"]}, seed=0)
    assert "target: input loss (not fed)" in net.summary()
    with pytest.raises(
        UnknownNodeError, match=r"'loss' is one because nothing feeds the slot 'target' of loss \(MSELoss\)\.$"
    ):
        fit(net, DATA, optimizer=SGD(), epochs=1, batch_size=4)


class Reading(Operator):
    """Reads a number in forward or in backward."""

    def __init__(self, read, backward=False):
        self.read, self.at_backward = read, backward

    def forward(self, p, x, *, training):
        if not self.at_backward:
            self.read(x)
        return x * 1, x

    def backward(self, p, x, dy):
        self.read(x)
        return (dy * 1,), {}


READS = {
    "item": lambda x: x.sum().item(), "float": lambda x: float(x.sum()), "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(), "if": lambda x: 1 if x.sum() > 0 else 2, "mask": lambda x: x[x > 0],
    "unique": torch.unique,
}  # fmt: skip


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_an_operator_that_reads_numbers_has_no_cost(read, backward):
    with pytest.raises(
        OperatorError, match=r"^middle \(Reading\) cannot run on tensors without data, on which net\.co"
    ):
        network(Reading(read, backward)).cost({"x": (4, 2), "y": (4, 1)}, SGD())
