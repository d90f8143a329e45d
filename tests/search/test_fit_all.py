"""fit_all: each network is trained as fit trains it alone."""

import copy
import inspect

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    EarlyStopping,
    Linear,
    MSELoss,
    Network,
    ReLU,
    Tanh,
    fit,
    optim,
)
from graphdl.data import disc, one_hot
from graphdl.errors import SettingError, ShapeError
from graphdl.optim import SGD, Adam, AdamW, Cosine, Optimizer
from graphdl.search import fit_all

X, LABELS = disc(130, seed=0)
Y = one_hot(LABELS, 2)


def make_net(seed=0, width=8, middle=Tanh, loss=MSELoss, dtype=torch.float32):
    operators = {"fc1": Linear(2, width), "middle": middle(), "fc2": Linear(width, 2), "loss": loss()}
    connectivity = {"x": ["fc1"], "fc1": ["middle"], "middle": ["fc2"], "fc2": ["loss"], "target": ["loss"]}
    return Network(operators, connectivity, seed=seed, dtype=dtype)


def assert_same(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


EVERY = [
    kind
    for kind in vars(optim).values()
    if inspect.isclass(kind) and issubclass(kind, Optimizer) and not inspect.isabstract(kind)
]
OPTIMIZERS = [
    *(kind(lr=0.01) for kind in EVERY),
    SGD(lr=0.1),
    SGD(lr=0.1, momentum=0.9, nesterov=True),
    Adam(lr=1e-2),
    AdamW(lr=1e-2, weight_decay=0.1),
    Adam(lr=Cosine(1e-2, steps=20), nodes={"*.bias": {"lr": 0.0}}),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_members_equal_fit_alone(optimizer, compiled):
    alone = [make_net(seed) for seed in range(3)]
    together = copy.deepcopy(alone)
    options = {
        "epochs": 3,
        "batch_size": 32,
        "metrics": ("accuracy",),
        "validation": (X[:20], Y[:20]),
    }
    histories = [
        fit(net, X, Y, optimizer=optimizer, seed=seed, progress=False, compile=compiled, **options)
        for seed, net in zip([4, 5, 4], alone, strict=True)
    ]
    backend = "compiled" if compiled else "operators"
    result = fit_all(together, X, Y, optimizers=optimizer, seeds=[4, 5, 4], backend=backend, progress=False, **options)
    for net, other, history, found in zip(alone, together, histories, result.histories, strict=True):
        assert_same(net, other)
        assert dict(history) == dict(found)
    assert result.networks == tuple(together)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", [
    lambda: make_net(1, middle=Dropout),
    lambda: make_net(2, middle=lambda: BatchNorm1d(8)),
    lambda: make_net(3, dtype=torch.float64),
    lambda: make_net(4, width=5, middle=ReLU),
])  # fmt: skip
def test_other_networks_and_row_subsets_equal_fit_alone(make, compiled):
    rows = [torch.arange(0, 100, 2), torch.randint(130, (77,))]
    alone, together = [make(), make()], [make(), make()]
    for net, chosen in zip(alone, rows, strict=True):
        fit(
            net,
            X[chosen],
            Y[chosen],
            optimizer=Adam(lr=1e-2),
            epochs=2,
            batch_size=16,
            progress=False,
            compile=compiled,
        )
    backend = "compiled" if compiled else "operators"
    options = {"epochs": 2, "batch_size": 16, "rows": rows, "backend": backend, "progress": False}
    fit_all(together, X, Y, optimizers=Adam(lr=1e-2), **options)
    for net, other in zip(alone, together, strict=True):
        assert_same(net, other)


def test_rows_as_one_tensor():
    rows = torch.randint(130, (2, 50))
    options = {"optimizers": SGD(lr=0.1), "epochs": 2, "batch_size": 20, "progress": False}
    one, other = [make_net(0), make_net(1)], [make_net(0), make_net(1)]
    fit_all(one, X, Y, rows=rows, **options)
    fit_all(other, X.numpy(), Y.double().numpy(), rows=list(rows.numpy()), **options)
    for net, same in zip(one, other, strict=True):
        assert_same(net, same)


def test_callbacks_may_change_parameters():
    def shrink(net, history):
        for tensor in net.parameters.values():
            tensor.mul_(0.9)

    net, alone = make_net(0), make_net(0)
    options = {"epochs": 3, "batch_size": 20, "callbacks": [shrink], "progress": False}
    fit_all([net], X, Y, optimizers=SGD(lr=0.1), seeds=0, **options)
    fit(alone, X, Y, optimizer=SGD(lr=0.1), seed=0, **options)
    assert_same(net, alone)


def test_rows_for_validation():
    rows, left = [range(100)] * 2, [range(100, 130), list(range(90, 130))]
    nets = [make_net(loss=CrossEntropyLoss), make_net(loss=CrossEntropyLoss)]
    result = fit_all(
        nets, X, LABELS, optimizers=[SGD(lr=0.1), SGD(lr=0.2)], epochs=2, batch_size=50, rows=rows, seeds=3,
        validation_rows=left, metrics=("accuracy",), compile=False, progress=False,
    )  # fmt: skip
    for k, lr in enumerate([0.1, 0.2]):
        net, chosen = make_net(loss=CrossEntropyLoss), list(left[k])
        history = fit(
            net, X[:100], LABELS[:100], optimizer=SGD(lr=lr), epochs=2, batch_size=50, seed=3, progress=False,
            validation=(X[chosen], LABELS[chosen]), metrics=("accuracy",),
        )  # fmt: skip
        assert dict(result.histories[k]) == dict(history)


def test_a_member_that_diverges_keeps_the_last_good_parameters():
    nets = [make_net(0), make_net(0)]
    result = fit_all(
        nets,
        X,
        Y,
        optimizers=[SGD(lr=0.1), SGD(lr=1e4)],
        epochs=40,
        batch_size=50,
        seeds=0,
        compile=False,
        progress=False,
    )
    good, bad = result.table
    assert (good["state"], bad["state"]) == ("finished", "failed")
    epoch = result.histories[1].epochs
    assert bad["epochs"] == epoch < 40
    assert bad["error"].startswith(f"epoch {epoch + 1}: ")
    again = make_net(0)
    if epoch:
        fit(again, X, Y, optimizer=SGD(lr=1e4), epochs=epoch, batch_size=50, seed=0, progress=False)
    assert_same(again, nets[1])


def test_each_member_has_its_own_callbacks():
    nets = [make_net(k) for k in range(3)]
    stopping = EarlyStopping("loss", patience=2)
    options = {
        "epochs": 60,
        "batch_size": 130,
        "seeds": 0,
        "callbacks": [stopping],
        "compile": False,
        "progress": False,
    }
    result = fit_all(nets, X, Y, optimizers=[SGD(lr=lr) for lr in (0.1, 1.0, 3.0)], **options)
    assert stopping.best_epoch == 0
    for k, lr in enumerate((0.1, 1.0, 3.0)):
        net, own = make_net(k), EarlyStopping("loss", patience=2)
        history = fit(
            net, X, Y, optimizer=SGD(lr=lr), epochs=60, batch_size=130, seed=0, callbacks=[own], progress=False
        )
        assert_same(net, nets[k])
        assert dict(history) == dict(result.histories[k])
        row = result.table[k]
        assert (row["epochs"], row["loss"]) == (own.best_epoch, history["loss"][own.best_epoch - 1])
        assert row["state"] == ("finished" if history.epochs == 60 else "stopped")


@pytest.mark.parametrize(("change", "message"), [
    ({"nets": []}, "nets is empty"),
    ({"nets": [make_net(), "net"]}, r"nets\[1\] must be a Network"),
    ({"optimizers": [SGD()]}, "optimizers has 1 entries, but there are 2 networks"),
    ({"optimizers": [SGD(), SGD]}, "network 1: the optimizer must be one of graphdl.optim"),
    ({"seeds": [1]}, "seeds has 1 entries"),
    ({"seeds": [1, "a"]}, "network 1: seed must be a whole number or None"),
        ({"epochs": 0}, "epochs is 0"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"rows": [[1]]}, "rows has 1 entries"),
        ({"rows": torch.arange(3)}, "rows must be a list"),
    ({"rows": [[1.5], [2]]}, r"rows\[0\] must hold row indices"),
    ({"metrics": ("acuracy",)}, "Did you mean 'accuracy'"),
    ({"by": "validation_loss"}, "It needs validation data"),
    ({"callbacks": [EarlyStopping()]}, "there is no 'validation_loss' to monitor"),
    ({"validation": (X, Y), "validation_rows": [[1], [2]]}, "cannot be combined"),
])  # fmt: skip
def test_wrong_arguments(change, message):
    given = {"nets": [make_net(), make_net()], "optimizers": SGD(), "epochs": 1, "batch_size": 10} | change
    with pytest.raises(SettingError, match=message):
        fit_all(given.pop("nets"), X, Y, **given)


@pytest.mark.parametrize(("rows", "message"), [([[130], [0]], "holds the row 130"), ([[0], []], "is empty")])
def test_rows_out_of_range(rows, message):
    with pytest.raises(ShapeError, match=message):
        fit_all([make_net(), make_net()], X, Y, optimizers=SGD(), epochs=1, batch_size=10, rows=rows)


@pytest.mark.parametrize("share", [lambda net: net, lambda net: net.part(["x", "target"], ["loss"])])
def test_networks_that_share_tensors(share):
    net = make_net()
    with pytest.raises(SettingError, match="network 1 shares tensors with network 0"):
        fit_all([net, share(net)], X, Y, optimizers=SGD(), epochs=1, batch_size=10)


@pytest.mark.parametrize("data", [(X.tolist(), Y.tolist()), ((X, Y),), (torch.utils.data.TensorDataset(X, Y),)])
def test_data_in_other_forms(data):
    how = {"optimizers": SGD(lr=0.1), "epochs": 1, "batch_size": 10}
    found, expected = (fit_all([make_net()], *given, **how).histories[0] for given in (data, (X, Y)))
    assert found["loss"] == expected["loss"]
