"""Steps on random networks, checked, by operators, recorded and replayed, against a custom loop."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from graphdl.execution import replay
from graphdl.optim import SGD
from graphdl.optim import moves as moves_module
from graphdl.training.scoring import Scorer
from graphdl.training.step import TrainingStep
from tests.execution.drawn_graphs import networks

STEPS = 9


def own_loop(drawn):
    net = drawn.network()
    stepper = SGD(lr=1e-3, momentum=0.5).bind(net)
    losses = []
    for _ in range(STEPS):
        net.forward(drawn.inputs)
        losses.append(sum(net.engine.loss(key).weight * float(net.values[key].sum()) for key in net.losses))
        net.backward()
        stepper.step()
    return net, losses


@pytest.mark.parametrize(("large", "most_bytes"), [(2**15, 2**23), (2**15, -1), (4, 2**23), (4, -1)])
@pytest.mark.filterwarnings("ignore::graphdl.errors.GraphDLWarning")  # what is drawn has no purpose
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=networks(losses=2))
def test_a_step_is_the_same_however_it_is_made(drawn, large, most_bytes, monkeypatch):
    monkeypatch.setattr(moves_module, "LARGE", large)
    monkeypatch.setattr(replay, "MOST_BYTES", most_bytes)
    net = drawn.network()
    if not net.engine.backward_plan(net.engine.plan(net.losses), net.losses).owners:
        return
    expected, losses = own_loop(drawn)
    step = TrainingStep(net, SGD(lr=1e-3, momentum=0.5).bind(net), Scorer(net, ()), threads=torch.get_num_threads())
    given_inputs = {name: tensor.clone() for name, tensor in drawn.inputs.items()}
    with torch.inference_mode():
        found = [step(drawn.inputs).loss for _ in range(STEPS)]
    assert found == pytest.approx(losses, rel=1e-9, nan_ok=True)
    assert all(map(torch.equal, drawn.inputs.values(), given_inputs.values()))
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)
