"""Whole training steps: the guard, working copies, indices, and the nets that were once compiled wrongly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphdl import (
    BatchNorm1d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    LeakyReLU,
    Linear,
    MSELoss,
    ReLU,
    Softmax,
    Tanh,
)
from graphdl.cpp import build
from tests.cpp import drawn
from tests.cpp.chains import Chain, CompiledChain
from tests.twins import needs_compiler

pytestmark = needs_compiler
COMPILERS = [name for name in ("g++", "clang++") if shutil.which(name)]
COUNT = int(os.environ.get("GRAPHDL_DRAWN_NETS", "100"))
DTYPES = [torch.float32, torch.float64]
both = pytest.mark.parametrize("dtype", DTYPES, ids=["single", "double"])


def assert_right(operators, xs, targets, steps: int = 3) -> None:
    """Three steps in C++ give what three steps of the operators give."""
    one, other = Chain(operators, xs[0]), Chain(operators, xs[0])
    draws = [one.draws(x) for x in xs]
    compiled = CompiledChain(one, xs, targets, [torch.stack(each) for each in zip(*draws, strict=True)])
    done, (losses, predictions) = compiled.run(steps)
    assert done == steps
    limit = 2e-5 if xs.dtype == torch.float32 else 1e-9
    for k in range(steps):
        loss, y = drawn.stepped(other, xs[k], targets[k], draws[k])
        torch.testing.assert_close(losses[k], loss, rtol=limit, atol=limit)
        torch.testing.assert_close(predictions[k].double(), y, rtol=limit, atol=limit)
    for mine, theirs in zip(one.state(), other.state(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=limit, atol=limit)


@pytest.fixture(params=COMPILERS)
def compiler(request, monkeypatch):
    monkeypatch.setenv("CXX", request.param)


@both
@pytest.mark.parametrize(("width", "activation"), [(k, (ReLU(), LeakyReLU())[k % 2]) for k in range(1, 18)])
def test_batch_normalization_before_a_rectifier(compiler, dtype, activation, width):
    torch.manual_seed(width)
    xs, ys = torch.randn(3, 20, 5, dtype=dtype), torch.randn(3, 20, 2, dtype=dtype)
    bias = dtype == torch.float64  # its gradient is rounding alone, which Adam makes as large as any other
    assert_right([Linear(5, width, bias=bias), BatchNorm1d(width), activation, Linear(width, 2), MSELoss()], xs, ys)


@both
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 16])
def test_softmax_before_a_squared_error(compiler, dtype, width):
    torch.manual_seed(0)
    xs, ys = torch.randn(3, 20, 5, dtype=dtype), torch.rand(3, 20, width, dtype=dtype)
    assert_right([Linear(5, width), Softmax(), MSELoss()], xs, ys)


@both
@pytest.mark.parametrize(("classes", "rows"), [(4, 9), (4, 11), (4, 13), (8, 7), (8, 9), (8, 17)])
@pytest.mark.parametrize(("smoothing", "kind"), [(0.1, "probabilities"), (0.0, "probabilities"), (0.1, "indices")])
def test_cross_entropy(compiler, dtype, classes, rows, smoothing, kind):
    torch.manual_seed(0)
    xs, ys = torch.randn(3, rows, 5, dtype=dtype), torch.rand(3, rows, classes, dtype=dtype).softmax(-1)
    targets = ys if kind == "probabilities" else ys.argmax(-1)
    assert_right([Linear(5, classes), CrossEntropyLoss(label_smoothing=smoothing)], xs, targets)


@pytest.mark.parametrize("number", range(COUNT))
def test_drawn_nets(number, nets, monkeypatch):
    monkeypatch.setenv("CXX", COMPILERS[number % len(COMPILERS)])
    assert not drawn.disagreement(nets[number])


@pytest.fixture(scope="module")
def nets():
    return list(drawn.nets(COUNT))


def small(dtype=torch.float64, **changes):
    torch.manual_seed(0)
    xs, ys = torch.randn(5, 8, 3, dtype=dtype), torch.randn(5, 8, 2, dtype=dtype)
    chain = Chain([Linear(3, 4), BatchNorm1d(4), Tanh(), Linear(4, 2), MSELoss()], xs[0])
    return chain, xs, ys


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_step_whose_loss_is_not_finite_changes_nothing(bad):
    chain, xs, ys = small()
    reference, *_ = small()
    ys[bad, 0, 0] = float("nan")
    compiled = CompiledChain(chain, xs, ys)
    done, (losses, _) = compiled.run(5)
    assert done == bad
    for k in range(bad):
        drawn.stepped(reference, xs[k], ys[k], [])
    for mine, theirs in zip(chain.state(), reference.state(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert torch.isfinite(losses[:bad]).all()


def test_class_indices_out_of_range_stop_it():
    xs, targets = torch.randn(4, 6, 3), torch.randint(0, 5, (4, 6))
    for wrong in (5, -1, 2**40, -100 - 1):
        targets[2, 3] = wrong
        chain = Chain([Linear(3, 5), CrossEntropyLoss()], xs[0])
        before = chain.flat.clone()
        done, _ = CompiledChain(chain, xs, targets).run(4)
        assert done == 2
        assert not torch.equal(chain.flat, before)


def test_indices_are_copied_before_they_are_checked():
    chain = Chain([Embedding(7, 3), Linear(3, 2), MSELoss()], torch.randint(0, 7, (6,)))
    source = CompiledChain(chain, torch.randint(0, 7, (2, 6)), torch.randn(2, 6, 2)).compiled.source
    body = source[source.index("made_steps(") :]
    pointers = {line.split()[2][:2] for line in body.splitlines() if "int64_t*)(g" in line and "memcpy" not in line}
    assert "outside(" in body
    assert not pointers


def test_masks_that_were_drawn():
    xs, ys = torch.randn(3, 11, 5, dtype=torch.float64), torch.randn(3, 11, 2, dtype=torch.float64)
    assert_right([Linear(5, 9), Dropout(0.4), Tanh(), Linear(9, 2), MSELoss()], xs, ys)


@pytest.mark.parametrize("name", COMPILERS)
def test_the_compiler_makes_no_vectors_of_its_own_and_changes_no_value(name):
    flags = build.flags_of(shutil.which(name))
    assert "-O1" in flags
    assert "-ffp-contract=off" in flags
    assert any("vectorize" in flag for flag in flags)
    assert not {"-O3", "-Ofast", "-ffast-math", "-fassociative-math", "-freciprocal-math", "-fno-signed-zeros"} & {
        *flags
    }


@pytest.mark.skipif(len(COMPILERS) < 2, reason="needs two compilers")
@both
def test_both_compilers_give_the_same_bits(dtype, monkeypatch):
    found = []
    for name in COMPILERS:
        monkeypatch.setenv("CXX", name)
        chain, xs, ys = small(dtype)
        _, results = CompiledChain(chain, xs, ys).run(5)
        found.append([*chain.state(), *results])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


SANITIZED = """
import torch
from tests.cpp import drawn
from tests.cpp.test_memory import FUNCTIONS
from tests.cpp.twins import assert_twins
for net in list(drawn.nets(200))[::{step}]:
    assert not drawn.disagreement(net), net
for function in list(FUNCTIONS.values())[{first}::{among}]:
    assert_twins(function, torch.randn(9, 17), torch.rand(9, 17) + 0.5)
print("silent")
"""


@pytest.mark.parametrize("name", COMPILERS)
def test_sanitizers_are_silent(name, tmp_path, request):
    """Each compiler has its share of the functions, unless every check is wanted."""
    library = "libasan.so" if name == "g++" else "libclang_rt.asan-x86_64.so"
    found = subprocess.run([name, f"-print-file-name={library}"], capture_output=True, text=True).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip(f"{name} comes without the library of its address sanitizer, {library}")
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=alignment -g"
    flags += " -shared-libasan" if name == "clang++" else ""
    environment = os.environ | {
        "CXX": name, build.MORE_FLAGS: flags, "GRAPHDL_CACHE": str(tmp_path), "LD_PRELOAD": found,
        "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": ".",
    }  # fmt: skip
    among = 1 if request.config.getoption("--every-check") else len(COMPILERS)
    text = SANITIZED.format(step=max(1, 4000 // COUNT), first=COMPILERS.index(name) % among, among=among)
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=1200)
    assert done.stdout.strip() == "silent", done.stderr[-3000:]
