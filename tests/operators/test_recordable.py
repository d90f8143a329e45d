"""Recorded once, an operator's calls give what the operator gives, on other numbers too."""

import pytest
import torch

from graphdl import Operator
from graphdl.execution.recorder import recording
from graphdl.execution.replay import Replay
from graphdl.execution.tape import Slot, exchange
from graphdl.execution.training_passes import make_call
from tests.operators.case import elements, upstream
from tests.operators.test_operator import FAMILIES

CASES = [case for family in FAMILIES for case in family.CASES]


def there_and_back(operator, p, xs, dy, drawn):
    chance = {} if drawn is None else {"drawn": drawn}
    y, saved = operator.forward(p, *xs, training=True, **chance)
    return [y, *operator.backward(p, saved, dy)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_repeated_calls_give_what_the_operator_gives(case):
    operator = case.complete()
    p, xs = case.draw()
    p = {**p, **{name: b.initializer(torch.empty(b.shape, dtype=b.dtype or torch.float64), None)
                 for name, b in operator.buffers().items()}}  # fmt: skip
    drawn = operator.draw(*xs, generator=None) if type(operator).draw is not Operator.draw else None
    dy = upstream(operator.forward(p, *xs, training=True)[0])
    with torch.inference_mode():
        with recording() as recorder:
            recorded = there_and_back(operator, p, xs, dy, drawn)
        slots = exchange(recorded, torch.Tensor, recorder.slot)
        tape = recorder.tape()
        assert not tape.obstacle
        kept: list[Slot] = []
        exchange(slots, Slot, kept.append)
        replay = Replay(tape, kept, torch.device("cpu"))
        bound = replay.bind(0, len(tape.calls), make_call)
        _, others = case.draw(seed=1)
        for x, other in zip(xs, others, strict=True):
            x.copy_(other)
        for d in elements(dy):
            d.mul_(-0.5)
        before = {name: tensor.clone() for name, tensor in p.items()}
        for call in bound:
            call()
        found = exchange(slots, Slot, replay.tensor)
        expected = there_and_back(operator, before, xs, dy, drawn)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(p, before, rtol=0, atol=0)
