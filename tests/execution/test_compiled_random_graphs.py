"""Random networks: compiled steps against the operators."""

import torch
from hypothesis import HealthCheck, assume, given, settings

from graphdl.optim import SGD
from tests.execution.drawn_graphs import networks
from tests.twins import assert_twins, needs_compiler

pytestmark = [needs_compiler]
some = settings(
    max_examples=12,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@some
@given(networks(losses=3))
def test_train_alike(drawn):
    net = drawn.network()
    assume(net.losses and net.engine.backward_plan(net.engine.plan(net.losses), net.losses).owners)
    needed = net.engine.plan(net.losses).inputs
    inputs = {name: torch.stack([drawn.inputs[name]] * 3) for name in needed}
    assert_twins(drawn.network, inputs, SGD(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1))
