import copy
import pickle

import pytest
import torch

from graphdl import Feed, Linear, Network, Shared, Tanh
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
