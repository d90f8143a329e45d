"""Statements that repeat become loops, which do the same and are found whatever repeats."""

from __future__ import annotations

import random
import re

import pytest
import torch

from graphdl import CrossEntropyLoss, Feed, Linear, Network
from graphdl.cpp import cache, program
from graphdl.cpp.rolled import CANDIDATES, _Repetitions, rolled
from graphdl.operators import GRU, LSTM, RNN, Item, Select
from graphdl.optim import SGD
from tests.cpp.twins import Twin
from tests.twins import needs_compiler

LOOP = re.compile(r"for \(int64_t turn = 0; turn < (\d+); turn\+\+\) \{")
MOVED = re.compile(r"(\d+) \+ turn \* (-?\d+)")


def unrolled(lines):
    """The lines, with those in loops written out."""
    found, waiting = [], list(lines)
    while waiting:
        line = waiting.pop(0)
        if not (loop := LOOP.fullmatch(line)):
            found.append(line)
            continue
        end = waiting.index("}")
        body, waiting = waiting[:end], waiting[end + 1 :]
        for turn in range(int(loop[1])):
            found += [MOVED.sub(lambda m, turn=turn: str(int(m[1]) + turn * int(m[2])), line) for line in body]
    return found


def line(chance, places):
    return f"f{chance.randrange(4)}(" + ", ".join(f"((float*)(w + MOVING({place})))" for place in places) + ");"


def drawn_lines(chance):
    """Stretches that repeat, by steps that may change midway, between lines that do not."""
    lines = []
    for _ in range(chance.randint(1, 5)):
        lines += [line(chance, [chance.randrange(99)]) for _ in range(chance.randrange(4))]
        body = [
            (chance.randrange(4), [(chance.randrange(999, 9999), chance.choice([0, 64, -8])) for _ in range(2)])
            for _ in range(chance.randint(1, 6))
        ]
        count, odd = chance.randint(1, 9), chance.choice([-1, -1, chance.randrange(9)])
        for k in range(count):
            for name, places in body:
                numbers = [start + (k + (k == odd)) * step for start, step in places]
                lines.append(f"f{name}(" + ", ".join(f"((float*)(w + MOVING({n})))" for n in numbers) + ");")
    return lines


def test_random_lines_are_the_same_written_out():
    saved = 0
    for seed in range(500):
        lines = drawn_lines(random.Random(seed))
        found = rolled(lines)
        assert unrolled(found) == lines
        saved += len(lines) - len(found)
    assert saved > 4_000


@pytest.mark.parametrize("period", [1, 2, 5, 40])
def test_all_that_repeats_is_found(period):
    def at(k, place):
        return f"f{k if k < period - 1 else 0}(((float*)(w + MOVING({place}))), ((float*)(g1 + MOVING(8))));"

    for count in (20, 40):
        lines = [at(k, 100 * k + 64 * turn) for turn in range(count) for k in range(period)]
        found = rolled(["before", *lines, "after"])
        assert (found[0], found[-1]) == ("before", "after")
        assert len(found) == period + 4


def test_only_where_in_memory_and_which_call_may_move():
    moving = [
        f"{{ void* a[] = {{((float*)(w + MOVING({8 * k}))), 0}}; call(MOVING({3 + 2 * k}), a); }}" for k in range(20)
    ]
    assert (
        rolled(moving)[1] == "{ void* a[] = {((float*)(w + MOVING(0 + turn * 8))), 0}; call(MOVING(3 + turn * 2), a); }"
    )
    unmarked = [f"f(((float*)(w + MOVING(8))), x + {k}, (x + {k}));" for k in range(20)]
    assert rolled(unmarked) == unmarked
    fixed = [f"gemm<float, {k}>(((float*)(w + MOVING(8))), {k}, r{k} + step * {k});" for k in range(20)]
    assert rolled(fixed) == fixed


def test_few_lines_stay_as_they_are():
    lines = [f"f(((float*)(w + MOVING({k}))));" for k in range(8)]
    assert rolled(lines) == lines
    assert len(rolled([*lines, "f(((float*)(w + MOVING(8))));"])) == 3


def long_text(name):
    """Lines of few kinds, or of many, in a drawn order; and stretches that all but repeat."""
    if name == "nearly":
        return [f"f{k}(((float*)(w + MOVING(8))));" for turn in range(3) for k in (*range(2_000), 2_000 + turn)]
    chance, kinds = random.Random(0), int(name)
    return [
        f"f{chance.randrange(kinds)}(((float*)(w + MOVING({chance.randrange(4) if k % 7 else k}))));"
        for k in range(10_000)
    ]


@pytest.mark.parametrize("name", ["1", "10", "1000", "nearly"])
def test_a_long_text_takes_linear_time(name, monkeypatch):
    asked, usual = [], _Repetitions._steady
    monkeypatch.setattr(_Repetitions, "_steady", lambda self, *at: asked.append(at) or usual(self, *at))
    lines = long_text(name)
    assert unrolled(rolled(lines)) == lines
    assert len(asked) <= 2 * CANDIDATES * len(lines)


# Compiled


def both(function, *tensors, monkeypatch):
    """What C++ makes of a function with loops and without."""
    found = []
    for way, version in ((rolled, "rolled"), (list, "unrolled")):
        monkeypatch.setattr(program, "rolled", way)
        monkeypatch.setattr(cache, "writer_version", lambda version=version: version)
        given = [each.clone() for each in tensors]
        twin = Twin(function, *given, torch_calls=True)
        for tensor, start in zip(given, tensors, strict=True):
            tensor.copy_(start)
        _, results = twin.run()
        found.append((twin.compiled.source, [*results, *given]))
    return found


def drawn_loop(seed):
    """Steps over time, drawn: what each reads of the rows before, in which direction, and by which operations."""
    chance = random.Random(seed)
    choices = [chance.randrange(6) for _ in range(chance.randint(2, 6))]
    offsets = [chance.randrange(3) for _ in choices]
    backward, count = chance.random() < 0.5, chance.randint(12, 20)

    def run(x, w):
        """x (t, n, o), w (o, o)."""
        held = torch.zeros_like(x[0])
        for t in range(count)[:: -1 if backward else 1]:
            for choice, offset in zip(choices, offsets, strict=True):
                row = x[t + offset]
                if choice == 0:
                    held.add_(row)
                elif choice == 1:
                    row.mul_(held).tanh_()
                elif choice == 2:
                    held = torch.tanh(held @ w)
                elif choice == 3:
                    row.copy_(torch.sigmoid(held + row.sum(-1, keepdim=True)))
                elif choice == 4:
                    torch.addmm(row, held, w, out=held) if offset else held.addmm_(row, w)
                else:
                    held = torch.fmod(held, 3.0) - x[2 * offset]  # which torch makes
        return held

    return run


@needs_compiler
@pytest.mark.parametrize("seed", [0, 1, 4, 7, 8, 13])
def test_drawn_loops_are_bit_for_bit_what_they_are_without_loops(seed, monkeypatch):
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(24, 3, 5, generator=generator), 0.3 * torch.randn(5, 5, generator=generator)]
    (text, one), (usual, other) = both(drawn_loop(seed), *tensors, monkeypatch=monkeypatch)
    assert "turn < " in text
    assert "turn < " not in usual
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def recurrent(kind, steps, bidirectional, lengths, layers=2, rows=3, width=4):
    """A classifier of sequences, and a batch."""
    operators = {
        "rnn": kind(width, width, num_layers=layers, batch_first=True, bidirectional=bidirectional),
        "states": Item(0), "read": Select(-1), "fc": Linear(width * (1 + bidirectional), 3), "loss": CrossEntropyLoss(),
    }  # fmt: skip
    connectivity = {"x": ["rnn"], "rnn": ["states"], "states": ["read"], "read": ["fc"], "fc": ["loss"]}
    connectivity["target"] = ["loss"]
    generator = torch.Generator().manual_seed(0)
    batch = {
        "x": torch.randn(rows, steps, width, generator=generator),
        "target": torch.randint(3, (rows,), generator=generator),
    }
    if lengths:
        connectivity["lengths"] = [Feed("rnn", slot="lengths")]
        batch["lengths"] = torch.randint(1, steps + 1, (rows,), generator=generator)
    return Network(operators, connectivity, seed=0), batch


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "bidirectional", "lengths"),
    [(RNN, True, False), (LSTM, False, False), (LSTM, True, True), (GRU, False, True)],
)
def test_a_longer_sequence_has_no_longer_text(kind, bidirectional, lengths, monkeypatch):
    written = []
    monkeypatch.setattr(program.StepText, "text", written_only(program.StepText.text, written))
    for steps in (28, 56):
        net, batch = recurrent(kind, steps, bidirectional, lengths)
        with pytest.raises(WrittenError):
            net.compile(SGD(lr=0.1), batch)
    short, long = (text.partition("bool made_steps")[2].splitlines() for text in written)
    assert 50 < len(short) == len(long)


class WrittenError(BaseException):
    """Ends a compilation before the compiler runs."""


def written_only(usual, written):
    def text(self):
        written.append(usual(self))
        raise WrittenError

    return text


@needs_compiler
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_recurrent_operators_train_bit_for_bit_as_without_loops(kind, monkeypatch):
    found = []
    for way, version in ((rolled, "rolled"), (list, "unrolled")):
        monkeypatch.setattr(program, "rolled", way)
        monkeypatch.setattr(cache, "writer_version", lambda version=version: version)
        net, batch = recurrent(kind, 14, kind is not LSTM, kind is GRU)
        block = {name: tensor.expand(3, *tensor.shape).contiguous() for name, tensor in batch.items()}
        step = net.compile(SGD(lr=0.1), batch)
        found.append([step(block), *net.parameters.values(), *net.gradients.values()])
        assert ("turn < " in step.source) == (way is rolled)
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
