"""minimize: scipy's methods on a network, against scipy on the same loss by torch's autograd."""

import sys

import numpy
import pytest
import torch
from scipy import optimize
from torch import nn

from graphdl import BatchNorm1d, Callback, Dropout, EarlyStopping, Linear, MSELoss, Network, Tanh, evaluate, minimize
from graphdl.errors import (
    GraphDLWarning,
    MissingInputError,
    MissingPackageError,
    NonFiniteError,
    SettingError,
    UnreachableError,
)
from graphdl.operators import Operator
from graphdl.optim import L1, L2
from graphdl.training.minimize import BY_LOSS, METHODS
from tests.optim.common import network, twin

G = torch.Generator().manual_seed(0)
X = torch.randn(40, 3, generator=G, dtype=torch.float64)
Y = torch.stack([X[:, 0] * X[:, 1], X[:, 2].tanh()], 1)
DATA = {"x": X, "target": Y}


def run(net, data=DATA, **settings):
    return minimize(net, data, **{"max_iterations": 20, "progress": False, **settings})


def vector(tensors):
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors]).numpy()


def by_torch(model, x, extra=lambda model: 0.0):
    """The loss and the gradient at a point, by autograd."""
    nn.utils.vector_to_parameters(torch.from_numpy(x).clone(), model.parameters())
    model.zero_grad()
    loss = nn.functional.mse_loss(model(X), Y) + extra(model)
    loss.backward()
    return loss.item(), vector([parameter.grad for parameter in model.parameters()])


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "trust-constr"])
def test_scipy_makes_the_same_steps_on_the_same_loss(method):
    net = network()
    model, found = twin(net), []
    options = {"maxfun": 500} if method == "TNC" else {"maxiter": 12}
    optimize.minimize(
        lambda x: by_torch(model, x), vector(model.parameters()), jac=True, method=method, options=options,
        callback=lambda x, *_: found.append((by_torch(model, x)[0], x.copy())),
    )  # fmt: skip
    count = 6 if method == "TNC" else 12  # TNC takes differences of gradients, which magnify rounding
    history = run(net, method=method.lower(), max_iterations=count)
    losses = [loss for loss, _ in found[:count]]
    numpy.testing.assert_allclose(history["loss"], losses, rtol=1e-7)
    best = found[int(numpy.argmin(losses))][1]
    numpy.testing.assert_allclose(vector(net.parameters.values()), best, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("method", [method for method in METHODS if method not in (*BY_LOSS, "dogleg")])
def test_every_method_with_a_gradient_trains(method, dtype):
    net = network(dtype=dtype)
    before = evaluate(net, DATA)["loss"]
    history = run(net, method=method)
    after = evaluate(net, DATA)["loss"]
    assert after < before / 3
    assert after <= min(history["loss"]) * (1 + 1e-6)
    assert len(history["loss"]) == history.epochs == 20
    assert history.message == "max_iterations=20 was reached."
    assert net.dtype is dtype


@pytest.mark.parametrize("method", BY_LOSS)
def test_methods_without_a_gradient(method):
    net = network()
    before = evaluate(net, DATA)["loss"]
    history = run(net, method=method, max_iterations=5)
    assert evaluate(net, DATA)["loss"] < before
    assert 1 <= history.epochs <= 5


def test_dogleg_on_a_convex_loss():
    net = Network({"fc": Linear(3, 2), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    history = run(net.to(dtype=torch.float64), {"x": X, "y": Y}, method="dogleg")
    ones = torch.cat([X, torch.ones(40, 1, dtype=torch.float64)], 1)
    best = torch.linalg.lstsq(ones, Y).solution
    torch.testing.assert_close(net.parameters["fc.weight"], best[:3].T, rtol=1e-6, atol=1e-6)
    assert "success" in history.message


def test_a_failure_is_reported():
    net = network()
    with pytest.warns(GraphDLWarning, match="minimize: dogleg failed after .* iterations: .*The network has the best"):
        history = run(net, method="dogleg")
    assert "error" in history.message


def test_convergence_ends_it():
    history = run(network(), tolerance=0.1)
    assert history.epochs < 20
    assert "CONVERGENCE" in history.message


def test_weights_of_losses_and_frozen_nodes():
    """Two losses on one layer, the first counted 3 times; the other layer is frozen."""
    operators = {
        "fc1": Linear(3, 8), "tanh": Tanh(), "fc2": Linear(8, 2), "left": MSELoss(weight=3.0), "right": MSELoss(),
    }  # fmt: skip
    edges = {
        "x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["left", "right"], "a": ["left"], "b": ["right"],
    }  # fmt: skip
    net = Network(operators, edges, seed=0, dtype=torch.float64)
    net.freeze("fc1")
    hidden = torch.tanh(X @ net.parameters["fc1.weight"].T + net.parameters["fc1.bias"])
    before = net.state_dict()
    history = run(net, {"x": X, "a": Y, "b": -Y}, max_iterations=300, tolerance=1e-14)
    columns = torch.cat([hidden, torch.ones(40, 1, dtype=torch.float64)], 1)
    best = torch.linalg.lstsq(columns, Y / 2).solution
    torch.testing.assert_close(net.parameters["fc2.weight"], best[:8].T, rtol=1e-4, atol=1e-4)
    assert torch.equal(net.parameters["fc1.weight"], before["fc1.weight"])
    last = history.last
    assert last["loss"] == pytest.approx(3 * last["loss_of_left"] + last["loss_of_right"], rel=1e-12)


def test_penalties_are_minimized_too():
    net = network()
    model, found = twin(net), []

    def terms(model):
        return 0.01 * sum((layer.weight**2).sum() for layer in (model[0], model[2])) + 0.02 * model[2].bias.abs().sum()

    optimize.minimize(
        lambda x: by_torch(model, x, terms), vector(model.parameters()), jac=True, method="BFGS",
        options={"maxiter": 15}, callback=lambda x: found.append(by_torch(model, x, terms)[0]),
    )  # fmt: skip
    history = run(
        net, method="BFGS", max_iterations=15, penalties=(L2(0.01, nodes="*.weight"), L1(0.02, nodes="fc2.bias"))
    )
    sums = [sum(figures) for figures in zip(history["loss"], history["l2"], history["l1"], strict=True)]
    numpy.testing.assert_allclose(sums, found, rtol=1e-7)


def test_metrics_validation_and_callbacks():
    net, seen = network(), []

    class Watching(Callback):
        def on_epoch_end(self, net, stepper, history):
            loss = net.forward({"x": X, "target": Y})["loss"].item()
            seen.append(loss == pytest.approx(history["loss"][-1], rel=1e-9))

    def absolute(prediction, target):
        return (prediction - target).abs().mean()

    history = run(
        net, metrics=[absolute], validation={"x": X[:9], "target": Y[:9]}, callbacks=[Watching()],
    )  # fmt: skip
    assert seen == [True] * 20
    assert list(history) == ["loss", "absolute", "validation_loss", "validation_absolute"]
    assert history.seconds > 0
    other = network()
    history = run(other, callbacks=[lambda net, history: history.epochs == 3])
    assert history.epochs == 3
    assert history.message == "A callback ended it."
    assert evaluate(other, DATA)["loss"] == pytest.approx(min(history["loss"]), rel=1e-12)
    stopping = EarlyStopping("validation_loss", patience=2)
    run(network(), validation={"x": X[:2], "target": -Y[:2]}, callbacks=[stopping])
    assert stopping.best_epoch


def test_the_best_parameters_are_kept_when_it_is_interrupted():
    net = network()

    class Interrupting(Callback):
        def on_epoch_end(self, net, stepper, history):
            self.losses = history["loss"]
            if history.epochs == 4:
                net.parameters["fc1.weight"] = torch.full((8, 3), torch.nan)
                raise KeyboardInterrupt

    callback = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run(net, callbacks=[callback])
    assert evaluate(net, DATA)["loss"] == pytest.approx(min(callback.losses), rel=1e-12)


def chain(*middle, dtype=torch.float64):
    nodes = {"fc1": Linear(3, 8), **{f"m{k}": each for k, each in enumerate(middle)}, "fc2": Linear(8, 2)}
    edges = {"x": ["fc1"], **{a: [b] for a, b in zip(nodes, list(nodes)[1:], strict=False)}, "fc2": ["loss"]}
    return Network({**nodes, "loss": MSELoss()}, {**edges, "target": ["loss"]}, seed=0, dtype=dtype)


def test_random_numbers_are_refused_unless_frozen():
    net = chain(Tanh(), Dropout(0.5))
    before, chance = net.state_dict(), net.generator.get_state()
    with pytest.raises(SettingError, match=r"random numbers are drawn by m1 \(Dropout\). Call net.freeze\('m1'\)"):
        run(net)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(net.generator.get_state(), chance)
    net.freeze("m1")
    plain = chain(Tanh())
    assert run(net)["loss"] == pytest.approx(run(plain)["loss"], rel=1e-9)


class Noise(Operator):
    def forward(self, p, x, training):
        return x + 0.1 * torch.randn_like(x), None

    def backward(self, p, saved, dy):
        return dy, {}


def test_random_numbers_of_custom_operators_are_noticed():
    with pytest.raises(SettingError, match="random numbers are drawn by an operator"):
        run(chain(Noise()))


def test_running_statistics_are_updated_once_an_iteration():
    net = chain(BatchNorm1d(8), Tanh())
    means = [net.buffers["m0.running_mean"].clone()]

    def expected(net, history):
        values = X @ net.parameters["fc1.weight"].T + net.parameters["fc1.bias"]
        means.append(0.9 * means[-1] + 0.1 * values.mean(0))

    run(net, callbacks=[expected], max_iterations=7)
    torch.testing.assert_close(net.buffers["m0.running_mean"], means[-1], rtol=1e-10, atol=1e-10)
    assert net.buffers["m0.num_batches_tracked"] == 7


@pytest.mark.parametrize(("method", "size"), [("BFGS", 1), ("CG", 1), ("CG", 2), ("TNC", 2)])
def test_points_where_the_loss_is_not_finite_are_turned_away_from(method, size):
    met = []

    class Exploding(Operator):
        def forward(self, p, x, training):
            y = (4 * x).exp()
            met.append(bool(y.isinf().any() or (y * y).isinf().any()))
            return y, y

        def backward(self, p, y, dy):
            return 4 * dy * y, {}

    operators = {"fc": Linear(3, 2), "exp": Exploding(), "loss": MSELoss()}
    edges = {"x": ["fc"], "fc": ["exp"], "exp": ["loss"], "y": ["loss"]}
    net, data = Network(operators, edges, seed=0), {"x": size * X, "y": Y.abs()}
    before = evaluate(net, data)["loss"]
    history = run(net, data, method=method, max_iterations=8)
    assert any(met)
    assert numpy.isfinite(history["loss"]).all()
    assert evaluate(net, data)["loss"] < before / 2


def test_a_loss_that_is_not_finite_at_the_start():
    net = network()
    before = net.state_dict()
    with pytest.raises(NonFiniteError, match="the input 'x' has values that are not finite"):
        run(net, {"x": X.clone().fill_(torch.inf), "target": Y})
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_network_that_changes_on_the_way_is_refused():
    with pytest.raises(SettingError, match="nodes were frozen or the network moved between iterations"):
        run(network(), callbacks=[lambda net, history: net.freeze("fc1")])


def test_forms_of_data():
    one, other = network(), network()
    batches = [{"x": X, "target": Y}]
    assert run(one, batches)["loss"] == minimize(other, X, Y, max_iterations=20, progress=False)["loss"]
    with pytest.raises(SettingError, match="takes a whole data set as one batch, and inputs has 2"):
        run(network(), batches * 2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"method": "L-BFGS"}, "there is no method 'L-BFGS'. Did you mean 'L-BFGS-B'"),
        ({"method": "Adam"}, "there is no method 'Adam'. scipy's methods are L-BFGS-B, BFGS, CG"),
        ({"method": None}, "there is no method None"),
        ({"max_iterations": 0}, "max_iterations must be a whole number, 1 or more, not 0"),
        ({"options": {"maxcorr": 5}}, "scipy's L-BFGS-B failed: OptimizeWarning: Unknown solver options: maxcorr"),
        ({"options": {"maxcor": "many"}}, "scipy's L-BFGS-B failed: "),
        ({"threads": 0}, "threads must be a whole number"),
        ({"callbacks": [EarlyStopping("los")]}, "there is no 'los' to monitor. Did you mean 'loss'"),
    ],
)
def test_wrong_settings(settings, text):
    with pytest.raises(SettingError, match=text):
        run(network(), **settings)


def test_nothing_to_minimize():
    net = network()
    net.freeze("fc1", "fc2")
    with pytest.raises(UnreachableError, match="There is nothing to train"):
        run(net)
    with pytest.raises(MissingInputError, match="minimize needs a loss"):
        run(Network({"fc": Linear(3, 2)}, {"x": ["fc"]}), {"x": X})


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingPackageError, match=r"minimize needs scipy.*: pip install 'graphdl\[scipy\]'"):
        run(network())


@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg", "Nelder-Mead"])
@pytest.mark.parametrize("where", ["callbacks", "metrics"])
@pytest.mark.parametrize("kind", [ValueError, TypeError, ZeroDivisionError])
def test_errors_of_callbacks_and_metrics_are_raised_as_they_are(method, where, kind):
    def fail(*given):
        raise kind("a mistake")

    with pytest.raises(kind, match=r"^a mistake$"):
        run(network(), method=method, **{where: [lambda first, second: fail()]})


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS"])
def test_started_at_a_minimum(method):
    net = Network({"fc": Linear(3, 2), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "target": ["loss"]},
                  seed=0, dtype=torch.float64)  # fmt: skip
    run(net, max_iterations=100)
    history = run(net, method=method, tolerance=1e-3, metrics=[lambda p, y: 0.5], validation=DATA)
    assert history.epochs == 1
    assert history["loss"] == [pytest.approx(evaluate(net, DATA)["loss"], rel=1e-12)] == history["validation_loss"]
