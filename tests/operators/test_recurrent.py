"""Recurrent operators, over sequences and step by step, against torch.nn with the same parameters."""

from __future__ import annotations

import inspect
import math
import warnings

import pytest
import torch

from graphdl import (
    GRU,
    LSTM,
    RNN,
    Feed,
    Flatten,
    GRUCell,
    Item,
    Linear,
    LSTMCell,
    MSELoss,
    Network,
    RNNCell,
    fit,
)  # fmt: skip
from graphdl.errors import GraphDLError, GraphDLWarning, SettingError, ShapeError
from graphdl.initializers import Constant
from graphdl.operators.recurrence import onednn
from graphdl.operators.recurrence.compiling import compiling
from graphdl.optim import Adam
from tests.operators.case import Case
from tests.operators.checks import every_check


def module(operator, p):
    """torch's module with these parameters, whose gradients reach them."""
    given = {"bias": operator.bias}
    if hasattr(operator, "nonlinearity"):
        given["nonlinearity"] = operator.nonlinearity
    if hasattr(operator, "num_layers"):
        names = ("num_layers", "batch_first", "bidirectional")
        given |= {name: getattr(operator, name) for name in names}
    width = next(iter(p.values())).shape[1]
    made = getattr(torch.nn, type(operator).__name__)(width, operator.hidden_size, **given)
    return lambda *args: torch.func.functional_call(made, p, args)


def sequence(operator):
    """The reference of an operator over sequences; lengths are those of a packed sequence."""
    axis = int(operator.batch_first)

    def reference(p, x, *others, drawn=None):
        assert drawn is None
        states = [each for each in others if each.is_floating_point()]
        lengths = [each for each in others if not each.is_floating_point()]
        first = (tuple(states) if len(states) > 1 else states[0]) if states else None
        made = module(operator, p)
        if not lengths:
            y, last = made(x, first)
        else:
            utils, how = torch.nn.utils.rnn, {"batch_first": operator.batch_first}
            packed = utils.pack_padded_sequence(x, lengths[0], enforce_sorted=False, **how)
            y, last = made(packed, first)
            y, _ = utils.pad_packed_sequence(y, total_length=x.shape[axis], **how)
        return y, *(last if isinstance(last, tuple) else (last,))

    return reference


def lengths(*given):
    return lambda generator: torch.tensor(given)


def cell_reference(operator):
    def reference(p, x, *states):
        given = (tuple(states) if len(states) > 1 else states[0]) if states else None
        return module(operator, p)(x, given)

    return reference


def case(name, operator, *inputs, **more):
    """A case whose batch is the first axis of x if operator has batch_first, else of no input."""
    reference = sequence(operator) if hasattr(operator, "num_layers") else cell_reference(operator)
    return Case(name, operator, inputs, reference, **more)


T, N, I, O = 3, 2, 2, 2  # noqa: E741
CASES = [
    case("rnn", RNN(I, O), (T, N, I), batched=False),
    case("rnn_relu", RNN(None, 3, 1, "relu", False, True), (N, T, I), (1, N, 3), batched=False),
    case("rnn_lengths", RNN(I, 1, bidirectional=True), (3, 3, I), (2, 3, 1), lengths(2, 3, 1), batched=False),
    case("lstm", LSTM(I, O, batch_first=True), (N, T, I), small=(1,)),
    case("lstm_deep", LSTM(None, 1, 2, False, bidirectional=True), (2, N, I), (4, N, 1), (4, N, 1), batched=False),
    case(
        "lstm_lengths", LSTM(I, 1, bias=False, batch_first=True, bidirectional=True),
        (3, 3, I), (2, 3, 1), (2, 3, 1), lengths(2, 3, 1), batched=False,
    ),
    case("lstm_unbatched", LSTM(I, O), (T, I), (1, O), (1, O), batched=False),
    case("gru", GRU(I, O, batch_first=True), (N, T, I), small=(1,)),
    case("gru_deep", GRU(None, 1, 2, False, bidirectional=True), (2, N, I), (4, N, 1), batched=False),
    case("gru_lengths", GRU(I, 1, bidirectional=True), (3, 3, I), (2, 3, 1), lengths(2, 3, 1), batched=False),
    case("rnn_cell", RNNCell(I, O), (N, I), (N, O)),
    case("rnn_cell_relu", RNNCell(I, 3, False, "relu"), (3, I), (3, 3)),
    case("lstm_cell", LSTMCell(None, O), (N, I), (N, O), (N, O)),
    case("lstm_cell_unbatched", LSTMCell(I, O, False), (I,), (O,), (O,), batched=False),
    case("gru_cell", GRUCell(I, O), (N, I), (N, O)),
    case("gru_cell_unbatched", GRUCell(I, O, False), (I,), (O,), batched=False),
]  # fmt: skip


@every_check
@pytest.mark.parametrize("case", CASES, ids=str)
def test_contract(check, case):
    check(case)


SEQUENCES, CELLS = (RNN, LSTM, GRU), (RNNCell, LSTMCell, GRUCell)


@pytest.mark.parametrize("operator", [*SEQUENCES, *CELLS])
def test_arguments_are_those_of_torch(operator):
    name = operator.__name__
    theirs = dict(inspect.signature(getattr(torch.nn, name)).parameters)
    if name in ("LSTM", "GRU"):  # which pass what they are given to a common class
        theirs = dict(inspect.signature(torch.nn.RNNBase).parameters)
        del theirs["mode"]
    if name == "RNN":
        names = [
            "input_size",
            "hidden_size",
            "num_layers",
            "nonlinearity",
            "bias",
            "batch_first",
            "dropout",
            "bidirectional",
        ]
        made = torch.nn.RNN(2, 3, 1, "relu", False, True, 0.0, True)
        assert [getattr(made, each) for each in names] == [2, 3, 1, "relu", False, True, 0.0, True]
    else:
        names = [each for each in theirs if each not in ("device", "dtype")]
        names = [each for each in names if each != "proj_size" or name == "LSTM"]
    ours = inspect.signature(operator).parameters
    assert [each for each in ours if each != "weight"] == names
    made, example = getattr(torch.nn, name)(2, 3), operator(2, 3)
    for each in names:
        assert getattr(example, each) == getattr(made, each)


@pytest.mark.parametrize("operator", [*SEQUENCES, *CELLS])
def test_parameters_carry_over(operator):
    given = {"num_layers": 2, "bidirectional": True} if operator in SEQUENCES else {}
    theirs = getattr(torch.nn, operator.__name__)(5, 4, **given)
    net = Network({"node": operator(5, 4, **given)}, {"x": ["node"]}, seed=0)
    net.load_state_dict({f"node.{name}": tensor for name, tensor in theirs.state_dict().items()})
    x = torch.randn(3, 6, 5) if given else torch.randn(6, 5)
    expected, found = theirs(x), net.forward({"x": x})["node"]
    flat = torch.utils._pytree.tree_leaves
    torch.testing.assert_close(flat(found), flat(expected))


@pytest.mark.parametrize("operator", [RNN(8, 400), LSTMCell(8, 400)])
def test_parameters_start_as_in_torch(operator):
    net = Network({"node": operator}, {"x": ["node"]}, seed=0)
    for parameter in net.parameters.values():
        assert parameter.abs().max() <= 0.05
        assert parameter.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.08)


def test_initializers_can_be_given():
    net = Network({"node": GRU(2, 3, bias=Constant(1.0), weight=Constant(2.0))}, {"x": ["node"]})
    assert {name[5:]: tensor[0].max().item() for name, tensor in net.parameters.items()} == {
        "weight_ih_l0": 2, "weight_hh_l0": 2, "bias_ih_l0": 1, "bias_hh_l0": 1,
    }  # fmt: skip


def test_dropout_between_layers():
    """As two networks of one layer each with the same mask between them."""
    operator = LSTM(3, 4, 2, dropout=0.4)
    p = {name: torch.randn(each.shape).double() for name, each in operator.parameters().items()}
    x = torch.randn(5, 6, 3).double()
    mask = operator.draw(x, generator=torch.Generator().manual_seed(0))
    assert mask.shape == (1, 5, 6, 4)
    assert 0.45 < mask.double().mean() < 0.75

    def reference(x):
        lower = module(LSTM(3, 4), {name: p[name] for name in p if name.endswith("l0")})
        upper = module(LSTM(4, 4), {name.replace("l1", "l0"): p[name] for name in p if name.endswith("l1")})
        y, (h, c) = lower(x)
        y, (h_1, c_1) = upper(y * mask[0] / 0.6)
        return y, torch.cat([h, h_1]), torch.cat([c, c_1])

    leading = x.clone().requires_grad_()
    expected, (found, saved) = reference(leading), operator.forward(p, x, training=True, drawn=mask)
    torch.testing.assert_close(found, tuple(each.detach() for each in expected), rtol=1e-10, atol=1e-10)
    dys = tuple(map(torch.randn_like, found))
    (dx,) = torch.autograd.grad(expected, leading, dys)
    torch.testing.assert_close(operator.backward(p, saved, dys)[0][0], dx, rtol=1e-10, atol=1e-10)
    alone, _ = LSTM(3, 4, 2).forward(p, x, training=True)
    assert torch.equal(operator.forward(p, x, training=False)[0][0], alone[0])
    assert LSTM(3, 4, 1, dropout=0.4).draw(x, generator=None) is None


@pytest.mark.parametrize("operator", [RNN(3, 4, bidirectional=True), LSTM(3, 4), GRU(3, 4, 2)])
def test_nothing_beyond_a_length_is_read(operator):
    p = {name: torch.randn(each.shape) for name, each in operator.parameters().items()}
    x = torch.randn(4, 3, 3)
    empty = [None] * (len(operator.slots) - 2)
    seen = []
    for filler in (0.0, math.nan, math.inf):
        x[2:, 0], x[1:, 1] = filler, filler
        y, saved = operator.forward(p, x, *empty, torch.tensor([2, 1, 4]), training=True)
        seen.append([*y, *operator.backward(p, saved, y)[1].values()])
    torch.testing.assert_close(seen[1:], seen[:1] * 2, rtol=0, atol=0)
    assert not y[0][2:, 0].any()
    assert not y[0][1:, 1].any()


@pytest.mark.parametrize("given", [{}, {"num_layers": 2, "bidirectional": True, "bias": False, "batch_first": True}])
@pytest.mark.parametrize("training", [True, False])
def test_lstm_in_single_precision_agrees_with_torch(given, training):
    """oneDNN computes it, from tensors of any layout; after inference, backward computes the layer again."""
    operator, theirs = LSTM(5, 6, **given), torch.nn.LSTM(5, 6, **given)
    p = {name: tensor.detach() for name, tensor in theirs.named_parameters()}
    x = torch.randn(4, 7, 10)[..., ::2].requires_grad_()
    y, last = theirs(x)
    dy = torch.randn(y.shape[::-1]).permute(2, 1, 0)
    expected = torch.autograd.grad((y, *last), [x, *theirs.parameters()], (dy, *last))
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with mode():
            found, saved = operator.forward(p, x.detach(), training=training)
            dxs, dps = operator.backward(p, saved, (dy, *(each.detach() for each in last)))
        torch.testing.assert_close(found, tuple(each.detach() for each in (y, *last)))
        torch.testing.assert_close([dxs[0], *(dps[name] for name in p)], list(expected), rtol=1e-4, atol=1e-5)
        assert dps.keys() == p.keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("operator", [RNN, LSTM, GRU])
def test_gradients_are_written_where_they_are_needed(operator, dtype):
    made = operator(5, 6, 2, bidirectional=True)
    p = {name: torch.randn(each.shape, dtype=dtype) for name, each in made.parameters().items()}
    y, saved = made.forward(p, torch.randn(4, 3, 5, dtype=dtype), training=True)
    _, expected = made.backward(p, saved, y)
    places = {name: torch.full_like(tensor, 7) for name, tensor in p.items()}
    _, found = made.backward(p, saved, y, places)
    assert all(found[name].data_ptr() == place.data_ptr() for name, place in places.items())
    torch.testing.assert_close(places, expected, rtol=0, atol=0)


def memory(**given):
    """A network that says, of a sequence, its first number, by the state that it carries to the end."""
    operators = {"lstm": LSTM(hidden_size=8, batch_first=True, **given), "last": Item(1), "flat": Flatten(0, 1)}
    operators |= {"fc": Linear(8, 1), "loss": MSELoss()}
    path = {"x": ["lstm"], "lstm": ["last"], "last": ["flat"], "flat": ["fc"], "fc": ["loss"], "y": ["loss"]}
    return Network(operators, path, seed=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_training(compiled):
    x = torch.randn(64, 5, 1, generator=torch.Generator().manual_seed(0))
    data = {"x": x, "y": x[:, 0].clone()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphDLWarning)  # where compiling gains nothing
        history = fit(
            memory(), data, optimizer=Adam(lr=0.02), epochs=40, batch_size=16, seed=0, compile=compiled, progress=False
        )
    assert history["loss"][-1] < 0.1 * history["loss"][0]


@pytest.mark.parametrize("operator", [RNN, LSTM, GRU])
def test_compiled_steps_agree(operator):
    """Written in C++ as a whole, with dropout, whose masks are drawn beforehand, and slots that nothing feeds."""
    x = torch.randn(3, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    batches = {"x": x, "target": x.repeat(1, 1, 1, 2)}
    first = {name: tensor[0] for name, tensor in batches.items()}

    def network():
        operators = {"node": operator(2, 4, 2, dropout=0.3, batch_first=True), "y": Item(0), "loss": MSELoss()}
        return Network(operators, {"x": ["node"], "node": ["y"], "y": ["loss"], "target": ["loss"]}, seed=0)

    steps = network().compile(Adam(lr=0.01), first)
    assert "call(" not in steps.source.partition("made_steps")[2]
    net = network()
    stepper, expected = Adam(lr=0.01).bind(net), []
    for k in range(3):
        expected.append(net.forward({name: tensor[k] for name, tensor in batches.items()})["loss"].double())
        net.backward()
        stepper.step()
    torch.testing.assert_close(steps(batches), torch.stack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "steps", "written"), [(128, 200, True), (129, 2, False), (2, 201, False)])
def test_what_is_compiled_is_left_to_onednn_if_it_is_large(size, steps, written):
    operator, x = LSTM(2, size), torch.zeros(steps, 1, 2)
    p = {name: torch.zeros(each.shape) for name, each in operator.parameters().items()}
    made = bool(operator.forward(p, x, training=True)[1].ways[0].made)
    with compiling():
        kept = bool(operator.forward(p, x, training=True)[1].ways[0].made)
    assert (made, kept) == (onednn.AVAILABLE, onednn.AVAILABLE and not written)


def test_one_state_alone_and_lengths_by_name():
    x, h = torch.randn(4, 3, 2), torch.randn(1, 3, 5)
    feeds = {"x": [Feed("node", slot="input")], "n": [Feed("node", slot="lengths")], "h": [Feed("node", slot="h_0")]}
    net = Network({"node": LSTM(2, 5)}, feeds, seed=0)
    given = {"x": x, "h": h, "n": torch.tensor([4, 2, 1])}
    y, h_n, _ = net.forward(given)["node"]
    assert y.shape == (4, 3, 5)
    assert torch.equal(y[torch.tensor([3, 1, 0]), torch.arange(3)], h_n[0])
    sent = net.backward({"node": (None, torch.ones_like(h_n), None)})
    assert sent["h"].shape == h.shape
    assert not sent["x"][2:, 1].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(2), r"LSTM: hidden_size is missing; write LSTM\(2, 25\)"),
        (
            lambda: LSTM(2, 3, proj_size=2),
            r"projections are not supported: proj_size must be 0, not 2. A Linear\(3, 2\)",
        ),
        (lambda: RNN(2, 3, nonlinearity="tan"), "nonlinearity must be 'tanh' or 'relu', not 'tan'. Did you mean"),
        (lambda: GRU(2, 0), "hidden_size must be a whole number of at least 1, not 0"),
        (lambda: GRU(2, 3, 0), "num_layers must be a whole number from 1 to 1,000, not 0"),
        (lambda: GRU(2, 3, dropout=1.5), "dropout must be a number from 0 to 1, not 1.5"),
        (lambda: GRUCell(2), r"GRUCell: hidden_size is missing"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def feed(operator, *inputs):
    names = [f"x{k}" for k in range(len(inputs))]
    net = Network({"node": operator}, {name: [Feed("node", slot=k)] for k, name in enumerate(names)}, seed=0)
    return net.forward(dict(zip(names, inputs, strict=True)))


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        (LSTM(3, 4), [(2, 5, 6)], "the input has 6 features in its last axis, and input_size is 3.*batch_first=True"),
        (LSTM(None, 4), [(3,)], r"the input has 1 axes.*Expected an input \(t, n, i\)"),
        (GRU(3, 4), [(0, 2, 3)], "the input has no steps"),
        (GRU(3, 4, 2), [(5, 2, 3), (1, 2, 4)], r"h_0 must have the shape \(2, 2, 4\), \(directions · layers, n"),
        (LSTM(3, 4, batch_first=True), [(2, 5, 3), (2, 1, 4)], r"\(1, 2, 4\).*batch_first does not concern it"),
        (RNN(3, 4), [(5, 3), (1, 1, 4)], r"h_0 must have the shape \(1, 4\)"),
        (RNNCell(3, 4), [(5, 2)], "the input has 2 features in its last axis, and input_size is 3"),
        (RNNCell(3, 4), [(1, 5, 3)], r"the input has 3 axes.*Expected an input \(n, 3\) and optional h_0 \(n, 4\)"),
        (LSTMCell(3, 4), [(5, 3), (5, 4), (1, 4)], r"c_0 must have the shape \(5, 4\)"),
    ],
)
def test_wrong_shapes(operator, inputs, message):
    with pytest.raises(ShapeError, match=f"node .*{message}"):
        feed(operator, *map(torch.randn, inputs))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.tensor([1, 2, 3]), r"lengths must have the shape \(2,\), a number for each row"),
        (torch.tensor([1.0, 2.0]), "lengths are torch.float32, not integers: give lengths.long"),
        (torch.tensor([0, 2]), "Expected .* lengths .n., integers from 1 to t"),
        (torch.tensor([6, 2]), "Expected .* lengths .n., integers from 1 to t"),
    ],
)
def test_wrong_lengths(given, message):
    with pytest.raises(GraphDLError, match=message):
        feed(GRU(3, 4, bidirectional=True), torch.randn(5, 2, 3), torch.zeros(2, 2, 4), given)
    with pytest.raises(ShapeError, match="lengths need a batch axis"):
        feed(GRU(3, 4), torch.randn(5, 3), torch.zeros(1, 4), given)


def test_text_and_shapes():
    assert LSTM(None, 8, 2, batch_first=True).describe() == "? → 8, num_layers 2, batch_first"
    net = Network({"lstm": LSTM(2, 8, 2, batch_first=True, bidirectional=True)}, {"x": ["lstm"]})
    assert net.shapes({"x": (3, 5, 2)})["lstm"] == ((3, 5, 16), (4, 3, 8), (4, 3, 8))
