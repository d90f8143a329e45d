"""A part of the campaign: drawn networks, trained in every way, against torch."""

import os
from collections import Counter
from unittest.mock import patch

import pytest
import torch

from graphdl import Tanh
from graphdl.execution import replay
from graphdl.optim import SGD
from graphdl.training import recording
from tests.agreement.campaign import check, draw, prepare
from tests.agreement.cases import LEFT_OUT
from tests.agreement.ways import COMPILING, WAYS
from tests.operators.test_operator import CONCRETE

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

NETWORKS = 120
COMPILED = 15
STEADY = tuple(way for way in WAYS if way not in COMPILING and way != "resume")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    prepare()
    yield
    torch.set_num_threads(before)


def wrong_ones(verdicts):
    return [(v.seed, v.way, v.text) for v in verdicts if v.verdict in ("disagreed", "failed")]


def checked(seeds, ways):
    return [verdict for seed in seeds for verdict in check(seed, ways)]


@pytest.fixture(scope="module")
def verdicts():
    return checked(range(NETWORKS), STEADY)


def test_all_ways_agree_with_torch(verdicts):
    assert not wrong_ones(verdicts)
    assert len(verdicts) == NETWORKS * len(STEADY)


def test_few_networks_say_nothing(verdicts):
    counts = Counter(v.verdict for v in verdicts)
    assert counts["ill-conditioned"] + counts["chaotic"] <= len(verdicts) / 50


def test_steps_of_all_networks_of_built_in_operators_are_replayed(verdicts):
    reasons = Counter(v.reason for v in verdicts if v.way == "replay" and not v.used)
    assert set(reasons) <= {"custom operators"}


def test_every_operator_is_drawn():
    drawn = Counter(type(op) for seed in range(NETWORKS) for op in draw(seed).operators.values())
    kinds = {kind for kind in CONCRETE if kind.__name__ not in LEFT_OUT}
    assert not {kind.__name__ for kind in kinds if drawn[kind] < 3}
    for name, reason in LEFT_OUT.items():
        print(f"not drawn: {name}: {reason}")
    assert LEFT_OUT.keys().isdisjoint(kind.__name__ for kind in drawn)


def test_a_network_is_the_same_when_it_is_drawn_again():
    one, other = draw(7), draw.__wrapped__(7)
    assert one.operators == other.operators
    assert one.edges == other.edges
    assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)


def test_training_goes_on_bit_for_bit():
    assert not wrong_ones(checked(range(0, NETWORKS, 10), ["resume"]))


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_compiled_steps_agree_with_torch(compiler):
    with patch.dict(os.environ, {"CXX": compiler}):
        found = checked(range(1000, 1000 + COMPILED), ["compile"])
    assert not wrong_ones(found)
    assert sum(v.used for v in found) >= COMPILED / 2
    assert not [v.reason for v in found if "disagrees" in v.reason]


def seeds_with(kind):
    return [s for s in range(NETWORKS) if any(isinstance(op, kind) for op in draw(s).operators.values())]


def test_a_fault_in_a_gradient_is_found():
    def gradient(self, y, dy):
        return dy * (1 - y * y) * (1 + 1e-4 * y)

    with patch.object(Tanh, "gradient", gradient):
        assert wrong_ones(checked(seeds_with(Tanh), ["operators"]))


def test_a_fault_in_a_replay_is_found():
    """Memory that is shared by all values of a step, and a verification that believes it."""

    def lay_out(plots):
        return [0 for _ in plots], max((plot.size for plot in plots), default=0)

    with (
        patch.object(replay, "lay_out", lay_out),
        patch.object(recording.Observation, "agrees_with", lambda self, other: True),
    ):
        assert len(wrong_ones(checked(range(10), ["replay"]))) > 5


def test_a_fault_in_the_compiled_update_is_found():
    """The formula of SGD, which is compiled, is wrong; the kernel, which the operators use, is not."""
    formula = SGD.update

    def update(self, w, g, state, s):
        new, state = formula(self, w, g, state, s)
        return new + 1e-6 * (new - w), state

    seeds = [seed for seed in range(1000, 1015) if type(draw(seed).training.optimizer) is SGD]
    with patch.object(SGD, "update", update):
        assert wrong_ones(checked(seeds[:3], ["compile"]))
