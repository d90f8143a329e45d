"""Calls without a form in C++, which torch makes between the fused parts."""

import re

import pytest
import torch

from graphdl.cpp import Roles, compile_tape
from graphdl.errors import CompileError
from graphdl.execution.recorder import recording
from graphdl.execution.replay import TorchCalls
from tests.cpp.twins import Twin, assert_twins
from tests.twins import needs_compiler

pytestmark = needs_compiler


def normal(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def convolved(x, w, b):
    y = torch.conv2d(x * 2, w, b, padding=1).relu() + 1
    pooled, places = torch.ops.aten.max_pool2d_with_indices(y, [2, 2])
    dy = torch.ops.aten.max_pool2d_with_indices_backward(pooled * 3, y, [2, 2], [2, 2], [0, 0], [1, 1], False, places)
    dx, dw, db = torch.ops.aten.convolution_backward(
        dy, x, w, [3], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, True]
    )
    w.sub_(dw, alpha=0.1)
    b.sub_(db, alpha=0.1)
    return dx + x, y


def attended(q, k, v):
    y, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q * 2, k, v, 0.0)
    return y + 1, sums * 3


PLACES, ROWS = torch.tensor([[0, 1, 2], [1, 0, 3], [4, 2, 1]]), torch.tensor([0, 2, 1, 2])
FUNCTIONS = {
    "convolution": (convolved, [(2, 1, 6, 6), (3, 1, 3, 3), (3,)]),
    "large product": (lambda a, b: ((a @ b).relu() @ b.t() + 1, b.sub_(a.t() @ a @ b)), [(150, 120), (120, 110)]),
    "inverse": (lambda x: torch.linalg.inv(x * 2 + 5 * torch.eye(4)) * 3, [(4, 4)]),
    "picked": (
        lambda x: [
            each * 2 for each in (x.gather(0, PLACES), x.index_select(0, PLACES[0]), x[PLACES], x[:, PLACES[0]])
        ],
        [(5, 5)],
    ),
    "turned": (lambda x: (x.flip(0) + x.repeat(1, 2)[:, :6], (x > 0).any(1), (x + 1).index_add_(0, ROWS, x)), [(4, 6)]),
    "in place": (lambda x: (x.mul_(2), x.t().logit_(0.1), x.add_(1)), [(3, 4)]),
    "sorted": (lambda x: [each * 2 for each in (x + 1).sort(1)], [(5, 7)]),
    "a part of what is given": (lambda x: (x[1:3].logcumsumexp(1) * 2, x[:, ::2].mul_(3).logcumsumexp(0)), [(4, 6)]),
    "attention": (attended, [(2, 1, 3, 4), (2, 1, 5, 4), (2, 1, 5, 4)]),
    "masked": (lambda x: (x.masked_scatter(x > 0, x.flip(0)), x.sum()), [(4, 6)]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_torch_calls(name, dtype):
    function, shapes = FUNCTIONS[name]
    twin = assert_twins(function, *(normal(*shape, dtype=dtype) for shape in shapes), torch_calls=True)
    assert re.search(r"call\(MOVING\(\d+\), a\);", twin.compiled.source)


def test_a_step_after_another_reads_its_own_batch():
    x = normal(3, 4)
    twin = Twin(lambda x: (x.logcumsumexp(0) * 2, x + 1), x, torch_calls=True, moving=(0,))
    block = normal(5, 3, 4)
    done, (found, more) = twin.run(5, {0: block.data_ptr()})
    assert done == 5
    for k in range(5):
        torch.testing.assert_close(found[k], block[k].logcumsumexp(0) * 2)
        torch.testing.assert_close(more[k], block[k] + 1)


def test_a_call_on_nothing_is_left_out():
    twin = assert_twins(lambda x: x[:0].logcumsumexp(1).sum() + x, normal(4, 6), torch_calls=True)
    assert ", a);" not in twin.compiled.source


def test_random_numbers_are_refused():
    with pytest.raises(CompileError, match=r"rand draws random numbers elsewhere than in Operator\.draw"):
        Twin(lambda x: x + torch.rand(3), normal(3), torch_calls=True)


@pytest.mark.parametrize("failure", [ValueError("wrong"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_call_that_fails_ends_the_steps_before_it_changes_anything(failure):
    x, total = normal(3, 4), torch.zeros(())
    with recording() as recorder:
        found = x.logcumsumexp(0).sum()
        total.add_(found)
        slots = [recorder.slot(each) for each in (found, total)]
    tape = recorder.tape()
    calls = TorchCalls(tape)
    made = []

    def call(position, addresses):
        made.append(position)
        if len(made) == 3:
            raise failure
        calls(position, addresses)

    moving = (tape.calls[0].args[0].storage,)
    compiled = compile_tape(tape, Roles(moving, (), 2, slots[0], (slots[0],)), call)
    workspace, block = calls.make_workspace(compiled.workspace), normal(5, 3, 4)
    before, results = float(total), torch.zeros(5)
    compiled.place([tape.given[k].data_ptr() for k in compiled.given], workspace.data_ptr())
    compiled.prepare([block.data_ptr()], [results.data_ptr()], 5)
    compiled.run()
    if isinstance(failure, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            compiled.check()
    else:
        compiled.check()
    assert compiled.made == 2
    assert compiled.failure == (failure, True)
    assert float(total) == pytest.approx(
        before + float(sum(each.logcumsumexp(0).sum() for each in block[:2])), rel=1e-5
    )
