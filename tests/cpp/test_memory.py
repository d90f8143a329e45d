"""In-place calls, views and memory that several tensors share: C++ leaves what torch leaves."""

from __future__ import annotations

import random

import pytest
import torch

from tests.cpp.twins import Twin, assert_twins
from tests.twins import needs_compiler

pytestmark = needs_compiler
DTYPES = [torch.float32, torch.float64]
both = pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def swap(a, b):
    c = a.clone()
    a.copy_(b)
    b.copy_(c)


def shift(a):
    a[1:].copy_(a[:-1].clone())
    return a.sum()


def old_and_new(w, v):
    old = w * 1
    w.sub_(v)
    v.copy_(old)
    return w - old


def transposed_in_place(a):
    a.copy_(a.t().clone() + a)
    return a.t() - a


def through_views(a):
    a[0].add_(a[1])
    a[1].mul_(a[0])
    a[:, 1:].mul_(2)
    n = min(a.shape)
    a.t()[0, :n].copy_(a[2, :n])
    a.view(-1)[::3].zero_()
    return a * 1


def broadcast_of_itself(a):
    a.add_(a[0].clone()).sub_(a.sum(0, keepdim=True))
    a.mul_(a[:, :1].clone())
    return a.amax(1)


FUNCTIONS = {
    "a part": lambda a, b: a[:, 1:].mul_(2), "a column": lambda a, b: a[:, 0].add_(b[:, 0]),
    "copies": lambda a, b: (b.copy_(a), a.zero_(), a.fill_(3.0), b.add_(a)),
    "swap": swap, "shift": lambda a, b: shift(a.view(-1)), "old and new": old_and_new, "views": lambda a,
    b: through_views(a),
    "transposed": lambda a, b: transposed_in_place(a[:4, :4]), "itself": lambda a, b: broadcast_of_itself(a),
    "out": lambda a, b: torch.tanh(a, out=b), "chains": lambda a,
    b: (a.sub_(b), b.add_(a), a.mul_(b), a.exp_(), b.div_(a)),
    "before and after": lambda a, b: (a.sum(), a.add_(1), a.sum(0), a.mul_(b), a.amax(1)),
    "strided": lambda a, b: (a[::2].add_(b[::2]), a[1::2].mul_(2), a[:, ::2].sub_(1)),
}  # fmt: skip


@both
@pytest.mark.parametrize("shape", [(4, 5), (9, 17), (33, 16)], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_memory(dtype, shape, name):
    assert_twins(FUNCTIONS[name], torch.randn(shape, dtype=dtype), torch.rand(shape, dtype=dtype) + 0.5)


def drawn_program(number: int):
    """Calls on parts of one memory, drawn by a number: they read, write and overlap in every way."""
    chance = random.Random(number)
    size = chance.choice([12, 48, 192])
    calls = []
    for _ in range(chance.randrange(3, 14)):
        kind = chance.choice(["unary", "binary", "sum", "copy", "column sum", "keep", "row", "fill"])
        calls.append((kind, [chance.randrange(10**6) for _ in range(3)], chance.choice([0.5, -1.0, 2.0])))

    def parts(memory):
        n = size // 2
        found = [memory[k : k + n] for k in (0, n, n // 2, 1)]
        found += [memory[: n * 2 : 2], memory[n : 2 * n]]
        return found

    def function(memory):
        views, kept = parts(memory), []
        for kind, places, number in calls:
            a, b, c = (views[place % len(views)] for place in places)
            if kind == "unary":
                a.mul_(number).tanh_()
            elif kind == "binary":
                kept.append(a * number + b)
            elif kind == "sum":
                c.add_(a.sum() * 0.01)
            elif kind == "copy":
                a.copy_((b + c) * 0.5)
            elif kind == "column sum":
                a[:6].copy_(b.view(-1, 6).sum(0) if b.is_contiguous() else b[:6].clone())
            elif kind == "row" and a.is_contiguous():
                a.view(-1, 6).add_(b[:6].clone() * 0.1)
            elif kind == "fill":
                a[::3].fill_(number)
            else:
                kept.append((a > b) * c)
            if kept and places[0] % 3 == 0:
                views[places[1] % len(views)].add_(kept.pop(0), alpha=0.1)
        return kept

    return function, size


@pytest.mark.parametrize("number", range(60))
def test_drawn_programs_on_one_memory(number):
    function, size = drawn_program(number)
    assert_twins(function, torch.randn(size, dtype=torch.float64))


def test_nothing_is_touched_beyond_a_tensor():
    for width in range(1, 34):
        memory = torch.full((3 * width + 64,), 7.0)
        part = memory[32 : 32 + 3 * width].view(3, width)
        assert_twins(lambda x, w=width: (x.mul_(2), x[:, : w // 2].add_(1), x[1].copy_(x[0])), part)
        assert (memory[:32] == 7).all()
        assert (memory[32 + 3 * width :] == 7).all()


def test_steps_go_on_where_the_last_one_stopped():
    state, moving = torch.zeros(5), torch.arange(30.0).view(6, 5)
    first = moving[0].clone()
    twin = Twin(lambda s, x: s.add_(x).clone(), state, first, moving=(1,))
    state.zero_()
    done, (found,) = twin.run(6, {1: moving.data_ptr()})
    assert done == 6
    torch.testing.assert_close(found, moving.cumsum(0))
    torch.testing.assert_close(state, moving.sum(0))
