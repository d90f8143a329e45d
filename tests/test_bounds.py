"""What is kept for a network or a class has a bound."""

import gc
import weakref

import torch

from graphdl import Linear, MSELoss, Network, Tanh
from graphdl.cpp import cache
from graphdl.execution import plan
from graphdl.execution.engine import MOST_PLANS
from graphdl.search import groups
from graphdl.settings import MOST_CLASSES, _arguments, _checks


def test_the_plans_of_a_network():
    count = 2 * MOST_PLANS
    keys = [f"tanh{k}" for k in range(count)]
    net = Network(dict.fromkeys(keys, Tanh()) | {"fc": Linear(2, 2)}, {"x": ["fc"], "fc": keys}, seed=0)
    for key in keys:
        net.predict(torch.ones(1, 2), outputs=[key])
        net.forward(torch.ones(1, 2))
        net.backward({key: torch.ones(1, 2)})
        net.freeze("fc").unfreeze("fc")
    for held in (net.engine._plans, net.engine._backward_plans, net.engine._loss_gradients):
        assert len(held) <= MOST_PLANS


def test_what_is_kept_of_classes():
    for kept in (_checks, _arguments, plan._draws, plan._takes, groups._settings):
        assert kept.cache_info().maxsize == MOST_CLASSES


def test_a_class_is_freed_once_others_have_taken_its_place():
    def custom():
        class Op(Tanh):
            pass

        Op()
        return weakref.ref(Op)

    first = custom()
    for _ in range(MOST_CLASSES + 1):
        custom()
    gc.collect()
    assert first() is None


def test_compiled_libraries():
    assert cache.MOST_LOADED <= 1024
    held = dict(cache._loaded)
    try:
        cache._loaded.clear()
        for k in range(cache.MOST_LOADED + 5):
            cache._hold(str(k), object())
        assert len(cache._loaded) == cache.MOST_LOADED
        assert "0" not in cache._loaded
    finally:
        cache._loaded.clear()
        cache._loaded.update(held)


def test_losses_of_many_shapes():
    net = Network({"fc": Linear(2, 1), "loss": MSELoss(reduction="none")}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]})
    for rows in range(1, 2 * MOST_PLANS):
        net.forward({"x": torch.ones(rows, 2), "y": torch.ones(rows, 1)})
        net.backward()
    assert len(net.engine._loss_gradients) <= MOST_PLANS
