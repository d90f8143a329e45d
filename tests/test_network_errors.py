import pytest
import torch

from graphdl import Linear, MSELoss, Network, ReLU, Sum, Tanh
from graphdl.errors import (
    CycleError,
    FileFormatError,
    GraphDLError,
    MissingInputError,
    SettingError,
    ShapeError,
    UnknownNodeError,
)
from graphdl.initializers import Zeros

X = torch.linspace(-1, 1, 10).reshape(5, 2)
Y = torch.linspace(0, 1, 15).reshape(5, 3)


def supervised(**settings):
    operators = {"fc": Linear(2, 3), "loss": MSELoss()}
    return Network(operators, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}, seed=0, **settings)


def test_a_cycle_is_refused():
    with pytest.raises(CycleError, match=r"cycle: a -> b -> a\."):
        Network({"a": Sum(), "b": Tanh()}, {"x": ["a"], "a": ["b"], "b": ["a"]})


def test_a_misspelt_key_of_connectivity_is_a_missing_input_with_a_hint():
    net = Network({"tanh": Tanh(), "relu": ReLU()}, {"x": ["tanh"], "tahn": ["relu"]})
    assert net.inputs == ("x", "tahn")
    with pytest.raises(MissingInputError) as caught:
        net.forward({"x": X})
    assert str(caught.value) == (
        "The input 'tahn' is missing: it is an input because it is a key of connectivity and not an operator. "
        "Did you mean 'tanh'? Give it a value."
    )


def test_a_missing_target_says_which_slot_nothing_feeds():
    net = Network({"a": Tanh(), "loss": MSELoss()}, {"x": ["a"], "a": ["loss"]})
    with pytest.raises(
        MissingInputError,
        match=r"'loss' is missing: it is an input because nothing feeds the slot 'target' of loss \(MSELoss\)",
    ):
        net.forward({"x": X})


def test_a_misspelt_input():
    with pytest.raises(
        UnknownNodeError, match=r"no input 'tarjet'\. Did you mean 'target'\? Its inputs are 'x' and 'ta"
    ):
        supervised().forward({"x": X, "tarjet": Y})


def test_one_tensor_for_two_inputs():
    with pytest.raises(MissingInputError, match=r"^One tensor was given, and 2 inputs are needed: 'x' and 'target'\."):
        supervised().forward(X)


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (Tanh, r"^operators\['a'\] is the class Tanh: write Tanh\(\.\.\.\)\.$"),
        (torch.tanh, r"^operators\['a'\] is a builtin_function_or_method: a node computes a graphdl\.Operator, such"),
        (None, r"^operators\['a'\] is None: write Identity\(\)"),
        ("b", r"^operators\['a'\] is a str:"),
        ([[Tanh()]], r"^operators\['a'\] is a list:"),
    ],
)
def test_a_node_that_is_no_operator(operator, text):
    with pytest.raises(SettingError, match=text):
        Network({"a": operator}, {"x": ["a"]})


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e5m2, "float32", None, float])
def test_a_type_that_is_no_floating_point_type(dtype):
    with pytest.raises(
        SettingError, match=r"^dtype is the floating-point type of the parameters, such as torch\.float64"
    ):
        Network({"a": Tanh()}, {"x": ["a"]}, dtype=dtype)


def test_backward_before_forward():
    with pytest.raises(
        MissingInputError, match=r"^backward has no values to start from: call net\.forward\(inputs\) first"
    ):
        supervised().backward()


def test_backward_without_a_loss():
    net = Network({"a": Tanh()}, {"x": ["a"]})
    net.forward(X)
    with pytest.raises(MissingInputError) as caught:
        net.backward()
    assert str(caught.value) == (
        "The network has no loss node to start from. Add one, such as MSELoss(), to operators; or say where to start: "
        "net.backward({node: gradient})."
    )


@pytest.mark.parametrize(
    ("gradients", "error", "text"),
    [
        ({"fcc": Y}, UnknownNodeError, r"^backward: 'fcc' is not a node of the network\. Did you mean 'fc'\?$"),
        (
            {"fc": X},
            ShapeError,
            r"^backward: the value of fc has the shape \(5, 3\), and the gradient given \(5, 2\)\.$",
        ),
        ({"fc": Y[0]}, ShapeError, r"the gradient given \(3,\)\.$"),
        ({"loss": [1.0]}, ShapeError, r"the value of loss has the shape \(\), and the gradient given \(1,\)\.$"),
        ({"fc": None}, SettingError, r"^The gradient of 'fc' is a NoneType; give a tensor"),
        ({"fc": (Y, Y)}, ShapeError, r"the gradient given \(\(5, 3\), \(5, 3\)\)\.$"),
    ],
)
def test_a_start_that_does_not_fit(gradients, error, text):
    net = supervised()
    net.forward({"x": X, "target": Y})
    with pytest.raises(error, match=text):
        net.backward(gradients)


@pytest.mark.parametrize("call", [Network.freeze, Network.unfreeze])
@pytest.mark.parametrize(
    ("node", "text"),
    [("fcc", r"no operator 'fcc'\. Did you mean 'fc'\?$"), ("x", "no operator 'x'"), (1, "no operator 1")],
)
def test_only_operators_are_frozen(call, node, text):
    with pytest.raises(UnknownNodeError, match=rf"^The network has {text}"):
        call(supervised(), node)


@pytest.mark.parametrize("use", [lambda n: n.parameters, lambda n: n.buffers, lambda n: n.state_dict()])
def test_parameters_whose_sizes_are_not_known_yet(use):
    net = Network({"fc": Linear(out_features=3)}, {"x": ["fc"]})
    with pytest.raises(
        MissingInputError, match=r"^fc \(Linear\) needs in_features, .* net\.build\({'x': \(\.\.\.\)}\) with"
    ):
        use(net)


def test_build_without_the_shape_of_an_input():
    net = Network({"a": Linear(out_features=3), "b": Linear(out_features=3)}, {"x": ["a"], "y": ["b"]})
    with pytest.raises(MissingInputError, match=r"^b \(Linear\) needs in_features, .* net\.build\({'y': \(\.\.\.\)}\)"):
        net.build({"x": (2,)})


@pytest.mark.parametrize("call", [Network.build, Network.shapes])
def test_shapes_that_do_not_fit(call):
    shape = (5,) if call is Network.build else (2, 5)
    with pytest.raises(
        ShapeError, match=r"^fc \(Linear\) .*: \(2, 5\) float32 from the input x\. Expected \(n, \.\.\., 2\)"
    ):
        call(supervised(), {"x": shape})


def test_a_network_of_a_file_keeps_the_errors_of_its_graph():
    data = supervised().to_dict()
    data["connectivity"]["fc"] = ["lost"]
    with pytest.raises(UnknownNodeError, match=r"^fc feeds 'lost', .* Did you mean 'loss'\?"):
        Network.from_dict(data)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bias": "yes"}, r"^Linear: bias must be .*, not 'yes'"),
        ({"bias": 0}, r"^Linear: bias must be .*, not 0"),
        ({"bias": None}, r"^Linear: bias must be .*, not None"),
        ({"weight": ReLU()}, r"^Linear: weight must be an initializer such as .*, not ReLU\(\)"),
        ({"weight": 3}, r"^Linear: weight must be an initializer such as .*, not 3"),
        ({"weight": (1,)}, r"^Linear: weight must be an initializer such as .*, not \(1,\)"),
        ({"weight": Zeros}, r"^Linear: weight must be .*: write Zeros\(\.\.\.\)"),
    ],
)
def test_what_is_no_initializer(settings, text):
    with pytest.raises(SettingError, match=text):
        Linear(2, 3, **settings)


def test_a_files_setting_that_is_no_initializer():
    data = supervised().to_dict()
    data["operators"]["fc"]["weight"] = {"type": "ReLU"}
    with pytest.raises(FileFormatError, match=r"^operators\['fc'\]: Linear: weight must be .*, not ReLU\(\)"):
        Network.from_dict(data)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (2**70, r"^fc\.weight cannot have the shape \(3, 1180591620717411303424\)"),
        (2**50, r"^The parameters do not fit into memory: .* The largest is fc\.weight with the shape \(3, "),
    ],
)
def test_a_size_that_no_machine_holds(size, text):
    with pytest.raises(SettingError, match=text):
        Network({"fc": Linear(size, 3)}, {"x": ["fc"]})


@pytest.mark.parametrize("seed", [1.5, "0", 2**64, True])
def test_a_seed_that_is_no_integer_of_64_bits(seed):
    with pytest.raises(SettingError, match=rf"^seed must be a whole number.*, not {seed!r}\.$"):
        Network({"a": Tanh()}, {"x": ["a"]}, seed=seed)


@pytest.mark.parametrize("use", [lambda device: supervised(device=device), lambda device: supervised().to(device)])
@pytest.mark.parametrize("device", ["cpuu", "cuda:99", 1.5])
def test_a_device_that_cannot_be_used(use, device):
    with pytest.raises(SettingError, match=rf"^device={device!r} cannot be used: "):
        use(device)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda net: net.freeze(["fc"]), r"^Nodes are given one by one, freeze\('fc1', 'fc2'\), not as \['fc'\]"),
        (lambda net: net.backward(torch.ones(())), r"^backward takes .*, \{node: gradient\}, not tensor"),
        (lambda net: net.backward({"fc": ("text",)}), r"^backward: the value of fc has the shape \(5, 3\), and the"),
        (lambda net: net.build((2,)), r"^Shapes are given by name, \{input: shape\}, not as \(2,\)"),
        (lambda net: net.shapes((5, 2)), r"^Shapes are given by name, \{input: shape\}, not as \(5, 2\)"),
        (lambda net: net.load_state_dict(3), r"^load_state_dict takes \{name: tensor\}, .* not 3"),
        (
            lambda net: net.parameters.update({"fc.bias": "text"}),
            r"^fc\.bias takes a tensor or an array of numbers, not",
        ),
        (
            lambda net: net.load_state_dict({"fc.weight": "text", "fc.bias": Y[0]}),
            r"^fc\.weight takes a tensor or an array of numbers, not 'text'",
        ),
    ],
    ids=["freeze", "backward", "tuple", "build", "shapes", "state", "parameter", "tensor"],
)
def test_an_argument_of_the_wrong_kind(use, text):
    net = supervised()
    net.forward({"x": X, "target": Y})
    with pytest.raises(GraphDLError, match=text):
        use(net)
