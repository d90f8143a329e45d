"""CompiledSteps, what Network.compile returns."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest
import torch

from graphdl import CrossEntropyLoss, Dropout, Embedding, Feed, Identity, Linear, MSELoss, Network, Operator, ReLU, Tanh
from graphdl.cpp.pointwise import POINTWISE
from graphdl.errors import CompileError, MissingInputError, NonFiniteError, ShapeError
from graphdl.execution import chance
from graphdl.optim import SGD, Adam, AdamW
from tests.twins import assert_twins, compiled, needs_compiler

pytestmark = needs_compiler
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = {
    "x": torch.randn(6, 5, 2, generator=GENERATOR, dtype=torch.float64),
    "target": torch.randn(6, 5, 3, generator=GENERATOR, dtype=torch.float64),
}


def make(dtype=torch.float64, **middle):
    operators = {"fc1": Linear(2, 4), **(middle or {"tanh": Tanh()}), "fc2": Linear(4, 3), "loss": MSELoss()}
    keys = ["x", *operators]
    edges = {key: [keys[k + 1]] for k, key in enumerate(keys[:-1])}
    return Network(operators, edges | {"target": ["loss"]}, seed=0, dtype=dtype)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(lr=0.1),
        SGD(lr=0.1, weight_decay=0.2),
        SGD(lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True),
        Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        AdamW(lr=0.05, weight_decay=0.3),
    ],
    ids=str,
)
def test_every_optimizer(optimizer):
    assert_twins(make, INPUTS, optimizer)


def test_any_number_of_steps_a_call():
    one, other = make(), make()
    steps, again = compiled(one, Adam(), INPUTS), compiled(other, Adam(), INPUTS)
    losses = steps(INPUTS)
    pieces = [again({name: x[a:b] for name, x in INPUTS.items()}) for a, b in ((0, 1), (1, 4), (4, 6))]
    assert torch.equal(losses, torch.cat(pieces))
    assert torch.equal(one.engine.store.flat, other.engine.store.flat)


def test_equal_networks_share_the_library_and_nothing_else():
    one, other = make(), make()
    steps, again = compiled(one, Adam(), INPUTS), compiled(other, Adam(), INPUTS)
    assert steps.source == again.source
    first = steps(INPUTS)
    assert torch.equal(again(INPUTS), first)


def test_frozen_nodes_stay_and_thawed_ones_move():
    net, twin = make(), make()
    steps = compiled(net, SGD(lr=0.1, weight_decay=0.1), INPUTS)
    reference = SGD(lr=0.1, weight_decay=0.1).bind(twin)
    for frozen in ((), ("fc1",), ()):
        for each in (net, twin):
            each.unfreeze("fc1", "fc2").freeze(*frozen)
        before = net.state_dict()
        steps(INPUTS)
        for k in range(6):
            twin.forward({name: x[k] for name, x in INPUTS.items()})
            twin.backward()
            reference.step()
        assert torch.equal(net.parameters["fc1.weight"], before["fc1.weight"]) == bool(frozen)
        torch.testing.assert_close(net.engine.store.flat, twin.engine.store.flat, rtol=1e-10, atol=1e-12)


def test_masks_follow_from_the_seed():
    assert_twins(lambda: make(drop=Dropout(0.4), relu=ReLU(), drop2=Dropout(0.2)), INPUTS, SGD(lr=0.1))


def test_indices_that_do_not_count():
    def network():
        operators = {"table": Embedding(5, 3, padding_idx=1), "loss": CrossEntropyLoss(ignore_index=2)}
        return Network(operators, {"x": ["table"], "table": ["loss"], "target": ["loss"]}, seed=0, dtype=torch.float64)

    inputs = {"x": torch.tensor([[0, 1, 4, 4], [1, 1, 0, 2]]), "target": torch.tensor([[0, 2, 1, 2], [2, 0, 1, 1]])}
    assert_twins(network, inputs)


def test_an_index_out_of_range_stops():
    operators = {"table": Embedding(5, 3), "loss": MSELoss()}
    net = Network(operators, {"x": ["table"], "table": ["loss"], "target": ["loss"]}, seed=0)
    inputs = {"x": torch.tensor([[0, 4], [0, 5], [1, 1]]), "target": torch.zeros(3, 2, 3)}
    steps, before = compiled(net, SGD(lr=0.1), inputs), net.state_dict()
    with pytest.raises(NonFiniteError, match="Step 2 of 3"):
        steps(inputs)
    assert torch.equal(net.parameters["table.weight"][1], before["table.weight"][1])
    assert not torch.equal(net.parameters["table.weight"][0], before["table.weight"][0])


def test_a_loss_that_is_not_finite_stops_before_its_step():
    net, twin = make(), make()
    bad = {**INPUTS, "x": INPUTS["x"].clone()}
    bad["x"][4, 0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="Step 5 of 6"):
        compiled(net, Adam(), INPUTS)(bad)
    compiled(twin, Adam(), INPUTS)({name: x[:4] for name, x in INPUTS.items()})
    assert torch.equal(net.engine.store.flat, twin.engine.store.flat)


def test_what_does_not_fit_is_told():
    steps = compiled(make(), Adam(), INPUTS)
    with pytest.raises(MissingInputError, match="'target'"):
        steps({"x": INPUTS["x"]})
    with pytest.raises(ShapeError, match=r"compiled for batches of \(5, 2\)"):
        steps({**INPUTS, "x": INPUTS["x"][:, :3]})
    with pytest.raises(ShapeError, match="different numbers of batches"):
        steps({**INPUTS, "x": INPUTS["x"][:3]})
    with pytest.raises(MissingInputError, match="no loss node"):
        Network({"fc": Linear(2, 1)}, {"x": ["fc"]}).compile(Adam(), torch.zeros(3, 2))


def test_names_never_reach_the_text():
    name = 'x"; } evil(); //\n'
    net = Network({name: Linear(2, 1), "loss": MSELoss()}, {"x": [name], name: ["loss"], "target": ["loss"]})
    assert "evil" not in net.compile(Adam(), {"x": torch.zeros(3, 2), "target": torch.zeros(3, 1)}).source


def test_a_network_moved_to_double_precision_is_compiled_anew():
    net = make(torch.float32)
    inputs = {name: x.float() for name, x in INPUTS.items()}
    steps = compiled(net, Adam(), inputs)
    steps(inputs)
    net.to(dtype=torch.float64)
    with pytest.raises(CompileError, match="compiled for"):
        steps(inputs)


@dataclass(frozen=True)
class Valued(Operator):
    """Draws by the values of its input, which no outline has."""

    def draw(self, x, *, generator):
        return torch.rand(x.shape, generator=generator, device=x.device) * x.abs().max()

    def forward(self, p, x, *, training, drawn=None):
        return x + (self.draw(x, generator=None) if drawn is None else drawn), None

    def backward(self, p, saved, dy):
        return (dy,), {}


def test_draws_that_depend_on_values_are_refused():
    with pytest.raises(CompileError, match="depends on the values"):
        compiled(make(noise=Valued()), Adam(), INPUTS)


def test_tracing_leaves_no_hollow_constants_behind():
    net = make()
    compiled(net, Adam(), INPUTS)
    net.forward({name: x[0] for name, x in INPUTS.items()})
    net.backward()
    assert all(type(gradient) is torch.Tensor for gradient in net.gradients.values())


def test_a_wrong_formula_is_never_used(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHDL_CACHE", str(tmp_path))
    monkeypatch.setattr("graphdl.cpp.cache._loaded", {})
    right = POINTWISE["tanh"]
    monkeypatch.setitem(POINTWISE, "tanh", lambda x: right(x) * 1.001)
    net = make()
    before = net.state_dict()
    with pytest.raises(CompileError, match="disagrees with the operators in the loss"):
        compiled(net, SGD(lr=0.1), INPUTS)(INPUTS)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_large_products_by_blas():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):

        def network(dtype=dtype):
            operators = {"fc1": Linear(200, 120), "relu": ReLU(), "fc2": Linear(120, 90), "loss": MSELoss()}
            edges = {"x": ["fc1"], "fc1": ["relu"], "relu": ["fc2"], "fc2": [Feed("loss", gradient=-1)]}
            return Network(operators, edges | {"target": ["loss"]}, seed=0, dtype=dtype)

        inputs = {
            "x": torch.randn(2, 128, 200, generator=generator, dtype=dtype),
            "target": torch.randn(2, 128, 90, generator=generator, dtype=dtype),
        }
        assert_twins(network, inputs, SGD(lr=0.1))


def test_one_thing_of_everything():
    operators = {"fc": Linear(1, 1), "out": Identity(), "loss": MSELoss()}
    edges = {"x": ["fc"], "fc": ["out"], "out": ["loss"], "target": ["loss"]}
    inputs = {"x": torch.ones(3, 1, 1, dtype=torch.float64), "target": torch.zeros(3, 1, 1, dtype=torch.float64)}
    assert_twins(lambda: Network(operators, edges, seed=0, dtype=torch.float64), inputs)


@dataclass(frozen=True)
class Corner(Operator):
    """Reads one element of what it computes."""

    def forward(self, p, x, *, training):
        y = x.exp()
        return x * y[0, 0] + y, (x, y)

    def backward(self, p, saved, dy):
        _, y = saved
        return (dy * y[0, 0] + dy * y,), {}


def test_one_element_of_what_is_computed():
    assert_twins(lambda: make(corner=Corner()), INPUTS, SGD(lr=0.01))


@dataclass(frozen=True)
class Unsure(Operator):
    """Computes something else from step to step."""

    function: Callable[..., object]

    def forward(self, p, x, *, training):
        return self.function(x), None

    def backward(self, p, saved, dy):
        return (dy,), {}


COUNT = count()
UNSURE = {
    "random": (lambda x: x + torch.rand(()), "draws random numbers"),
    "counted": (lambda x: x + next(COUNT), "other calls from step to step"),
    "read": (lambda x: x + x.sum().item(), "Python reads numbers of a tensor"),
    "listed": (lambda x: x + x.tolist()[0][0], "Python reads numbers of a tensor"),
    "numpy": (lambda x: x + float(x.numpy()[0, 0]), "Python reads numbers of a tensor"),
    "shape by value": (lambda x: x + x[x > 0].sum(), "the shape of a tensor depends on numbers"),
}


@pytest.mark.parametrize("name", UNSURE)
def test_an_operator_that_differs_from_step_to_step_is_refused(name):
    function, reason = UNSURE[name]
    with pytest.raises(CompileError, match=reason):
        compiled(make(noise=Unsure(function)), Adam(), INPUTS)(INPUTS)


def test_masks_are_drawn_for_a_few_steps_at_a_time(monkeypatch):
    monkeypatch.setattr(chance, "DRAWN_BYTES", 1)
    assert_twins(lambda: make(drop=Dropout(0.4)), INPUTS, SGD(lr=0.1))
