import copy
import multiprocessing
import pickle
from dataclasses import dataclass

import pytest
import torch

from graphdl import BatchNorm1d, Block, Feed, Linear, Network, Operator, Shared, Tanh, reads, register
from graphdl.errors import SettingError, UnknownNodeError


def test_tensors_are_not_removed_by_hand():
    net = Network({"fc": Linear(2, 1)}, {"x": ["fc"]}, seed=0)
    removals = [lambda held: held.pop("fc.bias"), lambda held: held.clear(), lambda held: held.setdefault("new", 1)]
    for remove in removals:
        with pytest.raises(SettingError, match="neither added nor removed by hand"):
            remove(net.parameters)
    assert list(net.parameters) == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_has_all_state_and_a_life_of_its_own(copied):
    net = Network({"fc": Linear(2, 2), "again": Shared("fc")}, {"x": ["fc"], "fc": ["again"]}, seed=0).freeze("fc")
    net.forward(torch.ones(3, 2))
    twin = copied(net)
    assert torch.equal(twin.predict(torch.ones(3, 2)), net.predict(torch.ones(3, 2)))
    assert twin.engine.frozen == {"fc"}
    assert torch.equal(torch.rand(3, generator=twin.generator), torch.rand(3, generator=net.generator))
    twin.parameters["fc.bias"] = torch.full((2,), 9.0)
    assert not torch.equal(twin.predict(torch.ones(3, 2)), net.predict(torch.ones(3, 2)))


def test_a_lazy_network_can_be_copied():
    net = copy.deepcopy(Network({"fc": Linear(out_features=2)}, {"x": ["fc"]}, seed=0))
    assert net.predict(torch.ones(3, 5)).shape == (3, 2)


def test_misspelt_names_of_recorded_things_are_told():
    net = Network({"tanh": Tanh()}, {"x": ["tanh"]})
    with pytest.raises(UnknownNodeError, match=r"No value was recorded for 'tanh'\. Call forward"):
        net.values["tanh"]
    net.forward(torch.ones(2))
    with pytest.raises(UnknownNodeError, match=r"No value was recorded for 'tahn'\. Did you mean 'tanh'\?"):
        net.values["tahn"]
    with pytest.raises(UnknownNodeError, match=r"no tensor 'tanh\.weight'"):
        net.parameters["tanh.weight"]


def test_the_two_dictionaries_can_be_read():
    net = Network({"fc": Linear(out_features=2), "again": Shared("fc")}, {"x": ["fc"], "fc": ["again"]}, seed=0)
    assert net.operators == {"fc": Linear(out_features=2), "again": Shared("fc")}
    assert net.connectivity == {"x": (Feed("fc"),), "fc": (Feed("again"),)}
    net.build({"x": (2,)})
    assert net.operators["fc"] == Linear(2, 2)
    twin = Network(net.operators, net.connectivity)
    assert twin.to_dict() == net.to_dict()


@register
@dataclass(frozen=True)
class Doubled(Operator):
    factor: float = 2.0

    def forward(self, p, x, *, training):
        return self.factor * x, None

    def backward(self, p, saved, dy):
        return (self.factor * dy,), {}


def answer(nets, answers):
    answers.put([(net.predict(torch.ones(3, 2)).tolist(), sorted(net.engine.frozen)) for net in nets])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_networks_are_arguments_of_a_new_process(method):
    layer = Block(
        {"fc": Linear(2, 2), "norm": BatchNorm1d(2), "own": Doubled(3.0)},
        reads({"fc": ["x"], "norm": ["fc"], "own": ["norm"]}),
    )
    net = Network({"first": layer, "again": Shared("first")}, {"x": ["first"], "first": ["again"]}, seed=0).freeze(
        "first/fc"
    )
    nets = [net, net.part(["x"], ["first"]), Network({"fc": Linear(out_features=1)}, {"x": ["fc"]}, seed=1)]
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=answer, args=(nets, answers))
    process.start()
    found = answers.get(timeout=120)
    process.join()
    expected = [(each.predict(torch.ones(3, 2)).tolist(), sorted(each.engine.frozen)) for each in nets]
    assert found == expected
    assert found[0][1] == found[1][1] == ["first/fc"]


def test_a_copy_on_meta_stays_there():
    net = Network({"fc": Linear(2, 2)}, {"x": ["fc"]}, device="meta")
    assert copy.deepcopy(net).parameters["fc.weight"].is_meta
