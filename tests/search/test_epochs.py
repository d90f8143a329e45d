"""Several epochs of a member that are made at once, because nothing looks at them in between."""

import copy
import shutil
from itertools import pairwise

import pytest
import torch

from graphdl import BatchNorm1d, CrossEntropyLoss, Dropout, Linear, MSELoss, Network, Tanh
from graphdl.data import Batches, disc
from graphdl.optim import L2, SGD, Adam, Cosine, Exponential
from graphdl.search import Halving, checkpoint, fit_all
from graphdl.search.run import Run
from graphdl.training import epochs
from graphdl.training.means import EpochMeans
from graphdl.training.scoring import Score, Scorer
from tests.twins import needs_compiler

X, LABELS = disc(120, seed=0)


def make_net(seed, *middle):
    layers = {"fc1": Linear(2, 7), **{f"middle{k}": each for k, each in enumerate(middle)}, "fc2": Linear(7, 2)}
    keys = ["x", *layers, "loss"]
    connectivity = {a: [b] for a, b in pairwise(keys)} | {"target": ["loss"]}
    return Network(layers | {"loss": CrossEntropyLoss()}, connectivity, seed=seed)


def train(nets, data=(X, LABELS), **changes):
    options = {"optimizers": Adam(lr=0.01), "epochs": 30, "batch_size": 20, "threads": 2, "backend": "compiled"}
    return fit_all(nets, *data, **{"seeds": list(range(len(nets))), "progress": False, **options, **changes})


def in_one_and_many(monkeypatch, nets, **options):
    """The results of training epoch by epoch, and of several epochs at once."""
    copies = copy.deepcopy(nets)
    with monkeypatch.context() as patch:
        patch.setattr(epochs, "STEPS_AHEAD", 0)
        one = train(copies, **options)
    return one, train(nets, **options)


def assert_same(one, many):
    for a, b in zip(one.table, many.table, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    for k, (a, b) in enumerate(zip(one.networks, many.networks, strict=True)):
        assert dict(one.histories[k]) == dict(many.histories[k])
        assert torch.equal(a.generator.get_state(), b.generator.get_state())
        for name, tensor in a.state_dict().items():
            assert torch.equal(tensor, b.state_dict()[name]), f"{name} of network {k}"


@needs_compiler
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in order"])
@pytest.mark.parametrize("seeds", [None, 3])
@pytest.mark.parametrize("middle", [[Tanh()], [BatchNorm1d(7)], [Dropout(0.3)]], ids=["Tanh", "norm", "dropout"])
def test_the_results_are_the_same_bit_for_bit(middle, seeds, shuffle, made_ahead, monkeypatch):
    monkeypatch.setattr(epochs, "STEPS_AHEAD", 50)
    options = {"seeds": seeds, "shuffle": shuffle, "metrics": ("accuracy",), "clip_norm": 1.0}
    options["optimizers"] = [Adam(lr=Cosine(0.01 * (k + 1), steps=100)) for k in range(5)]
    one, many = in_one_and_many(monkeypatch, [make_net(k, *middle) for k in range(5)], **options)
    assert_same(one, many)
    assert {row["way"] for row in many.table} == {"compiled"}
    one_generator = seeds is None and isinstance(middle[0], Dropout)  # draws orders and masks in turn
    expected = [8, 8, 8, 6] * 5 if shuffle and not one_generator else []
    assert sorted(made_ahead) == sorted(expected)


@needs_compiler
@pytest.mark.parametrize(
    "looking",
    [
        {"validation": (X, LABELS)},
        {"callbacks": [lambda net, history: None]},
        {"penalties": (L2(1e-3),)},
        {"accumulate": 4},
        {"batch_size": 50},
        {"metrics": [lambda prediction, target: 0.0]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_where_something_is_done_at_the_end_of_an_epoch_it_is_made_alone(looking, made_ahead):
    train([make_net(k, Tanh()) for k in range(3)], epochs=5, **looking)
    assert made_ahead == []


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("middle", [[], [BatchNorm1d(7), Dropout(0.3)]], ids=["linear", "norm and dropout"])
def test_a_member_that_fails_in_the_middle_ends_at_the_same_epoch(middle, threads, made_ahead, monkeypatch):
    nets = [make_net(k, *middle) for k in range(4)]
    optimizers = [SGD(lr=Exponential(1e-3, factor), momentum=0.5) for factor in (1.0, 1.2, 1.0, 1.15)]
    options = {"optimizers": optimizers, "threads": threads}
    one, many = in_one_and_many(monkeypatch, nets, **options)
    assert [row["state"] for row in many.table] == ["finished", "failed", "finished", "failed"]
    assert all(5 < many.table[k]["epochs"] < 29 for k in (1, 3)), "rates grow until a loss is not finite"
    assert max(made_ahead) > 5
    assert_same(one, many)


@needs_compiler
def test_parameters_that_are_not_finite_at_the_end_of_epochs_made_ahead(made_ahead, monkeypatch):
    nets, found = [make_net(k, Tanh()) for k in range(3)], []
    flaw = Run.flaw

    def spoilt(run, made):
        if run.member.number == 1 and run.epoch + len(made) > 7:
            found.append(len(made))
            run.member.net.parameters["fc1.weight"].fill_(float("nan"))
        return flaw(run, made)

    monkeypatch.setattr(Run, "flaw", spoilt)
    one, many = in_one_and_many(monkeypatch, nets)
    assert found[0] == 1
    assert found[1] > 1, "several epochs are given up, and then made one by one"
    assert many.table[1]["error"] == "epoch 8: a parameter is not finite"
    assert_same(one, many)


@needs_compiler
def test_halving_drops_at_its_rungs(made_ahead, monkeypatch):
    nets = [make_net(k, Tanh()) for k in range(6)]
    one, many = in_one_and_many(monkeypatch, nets, halving=Halving(factor=3, first=4), epochs=12)
    assert sorted({row["epochs"] for row in many.table}) == [4, 12]
    assert max(made_ahead) > 2
    assert_same(one, many)


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_checkpoints_are_of_epoch_ends(threads, made_ahead, monkeypatch, tmp_path):
    """A folder that is copied at any time, as a kill leaves it, leads to the same results."""
    monkeypatch.setattr(epochs, "STEPS_AHEAD", 18)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    copies, save = [], checkpoint.Checkpoint.save

    def save_and_copy(self, run):
        save(self, run)
        if len(copies) < 40:
            copies.append(tmp_path / f"copy {len(copies)}")
            shutil.copytree(tmp_path / "sweep", copies[-1])

    nets = [make_net(k, Dropout(0.3)) for k in range(6)]
    fresh = copy.deepcopy(nets)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "save", save_and_copy)
        expected = train(nets, threads=threads, checkpoint=tmp_path / "sweep")
    assert max(made_ahead) == 3
    for folder in copies[1::6]:
        found = train(copy.deepcopy(fresh), threads=threads, checkpoint=folder)
        for k, net in enumerate(expected.networks):
            assert dict(found.histories[k]) == dict(expected.histories[k])
            for name, tensor in net.state_dict().items():
                assert torch.equal(tensor, found.networks[k].state_dict()[name]), f"{name} of network {k}, {folder}"


def test_means_of_successive_epochs():
    scorer = Scorer(Network({"loss": MSELoss()}, {}), ("accuracy",))
    means = EpochMeans(scorer, epochs=3, batches=4)
    means.add(Score(1.0, 10, {"accuracy": 0.5}))
    means.add_all(10, {"loss": [2.0, 3.0, 6.0, 1.0, 1.0], "accuracy": [0.5, 0.5, 0.5, 1.0, 1.0]})
    means.add_all(10, {"loss": [1.0, 5.0, 4.0], "accuracy": [1.0, 0.0, 0.0]})
    first, second, third = means.figures()
    assert first == {"loss": 3.0, "accuracy": 0.5}
    assert second == {"loss": 2.0, "accuracy": 0.75}
    assert third == {"loss": 4.0, "accuracy": 0.0}


@pytest.mark.parametrize("generator", [None, 1])
def test_the_batches_of_several_epochs_are_those_of_one_after_another(generator):
    data = {"x": torch.arange(12), "y": torch.arange(12.0)[:, None]}
    chosen = torch.tensor([9, 1, 5, 3, 11, 0])

    def batches():
        torch.manual_seed(1)
        return Batches(data, 3, True, None if generator is None else torch.Generator().manual_seed(generator), chosen)

    one = batches()
    expected = [batch for _ in range(3) for batch in one]
    other = batches()
    block = other.ahead(3)
    assert len(block) == len(expected) == 6
    for k, batch in enumerate(expected):
        for name, tensor in block.batch(k).items():
            assert torch.equal(tensor, batch[name])
    other.keep(1)
    assert all(torch.equal(a["x"], b["x"]) for a, b in zip(list(other) + list(other), expected[2:], strict=True))


def test_batches_that_differ_in_size_or_are_not_gathered_are_not_made_ahead():
    data, chosen = {"x": torch.arange(12)}, torch.tensor([9, 1, 5, 3, 11, 0])
    assert Batches(data, 4).uniform
    assert Batches(data, 3, False, chosen=chosen).uniform
    assert not Batches(data, 5).uniform
    assert not Batches(data, 4, False, chosen=chosen).uniform
    assert not Batches(data, 4, False).uniform
