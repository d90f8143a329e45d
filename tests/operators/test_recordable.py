"""Recorded once, an operator's calls give what the operator gives, on other numbers too."""

import pytest
import torch

from graphdl.execution.recorded.replay import Replay
from graphdl.execution.recorded.tape import Recorder, Slot, exchange
from tests.operators.case import upstream
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
    drawn = operator.draw(*xs, generator=None) if "Dropout" in type(operator).__name__ else None
    dy = upstream(operator.forward(p, *xs, training=True)[0])
    with torch.inference_mode():
        with Recorder() as recorder:
            recorded = there_and_back(operator, p, xs, dy, drawn)
        if not recorder.fixed:
            pytest.skip("it reads a number in Python, so that fit goes from operator to operator")
        stand_ins = exchange(recorded, torch.Tensor, recorder.stand_in)
        kept: list[int] = []
        exchange(stand_ins, Slot, lambda slot: kept.append(slot.index))
        replay = Replay(recorder.calls, kept)
        bound = replay.bind(0, len(recorder.calls))
        _, others = case.draw(seed=1)
        for x, other in zip(xs, others, strict=True):
            x.copy_(other)
        dy.mul_(-0.5)
        before = {name: tensor.clone() for name, tensor in p.items()}
        for call in bound:
            call()
        found = exchange(stand_ins, Slot, lambda slot: replay.tensors[slot.index])
        expected = there_and_back(operator, before, xs, dy, drawn)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(p, before, rtol=0, atol=0)
