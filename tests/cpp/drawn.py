"""Nets of two to four operators in a row, drawn so that every pair, every width and every number of rows appears."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from graphdl import (
    BatchNorm1d,
    BCEWithLogitsLoss,
    Concat,
    CrossEntropyLoss,
    Dropout,
    Identity,
    L1Loss,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Mean,
    MSELoss,
    Operator,
    Product,
    RectifiedTanh,
    ReLU,
    Sigmoid,
    Softmax,
    Subtract,
    Sum,
    Tanh,
)
from tests.cpp.chains import Chain, CompiledChain

SIZES = range(1, 34)
STEPS = 3
KINDS = [
    Linear, BatchNorm1d, LayerNorm, ReLU, LeakyReLU, Tanh, RectifiedTanh, Sigmoid, Softmax, LogSoftmax, Dropout,
    Identity,
    Sum, Mean, Product, Subtract, Concat,
]  # fmt: skip
LOSSES = [
    MSELoss(), MSELoss(reduction="sum"), L1Loss(), BCEWithLogitsLoss(), CrossEntropyLoss(),
    CrossEntropyLoss(label_smoothing=0.1), CrossEntropyLoss(ignore_index=0), "probabilities", "smoothed probabilities",
]  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A net, its batches and its optimizer, all drawn by a number."""

    number: int
    kinds: tuple[type[Operator], ...]
    rows: int
    width: int
    dtype: torch.dtype

    def __str__(self) -> str:
        names = "-".join(kind.__name__ for kind in self.kinds)
        return f"{self.number}-{names}-{self.rows}x{self.width}-{str(self.dtype)[6:]}"

    def make(self) -> tuple[list[Operator], Tensor, Tensor, str]:
        """Operators, batches, targets and the optimizer."""
        chance, generator = random.Random(self.number), torch.Generator().manual_seed(self.number)
        operators = [self._operator(kind, chance) for kind in self.kinds]
        if Linear not in self.kinds:
            operators.insert(0, Linear(out_features=self.width))
        i = chance.choice(SIZES) if isinstance(operators[0], Linear) else self.width
        xs = torch.randn(STEPS, self.rows, i, generator=generator, dtype=torch.float64)
        loss = chance.choice(LOSSES)
        chain = Chain([*operators, MSELoss()], xs[0])
        shape = (STEPS, *chain.output_shape)
        if isinstance(loss, CrossEntropyLoss):
            targets = torch.randint(0, shape[-1], shape[:-1], generator=generator)
            if loss.ignore_index == 0 and shape[-1] > 1:
                targets[:, 0] = 1
        else:
            targets = torch.rand(shape, generator=generator, dtype=torch.float64)
        if isinstance(loss, str):
            loss = CrossEntropyLoss(label_smoothing=0.2 if "smoothed" in loss else 0.0)
            targets = targets / targets.sum(-1, keepdim=True)
        return [*operators, loss], xs, targets, chance.choice(["sgd", "adam"])

    def _operator(self, kind: type[Operator], chance: random.Random) -> Operator:
        if kind is Linear:
            return Linear(out_features=chance.choice(SIZES), bias=chance.random() < 0.8)
        if kind is BatchNorm1d:
            return BatchNorm1d(momentum=chance.choice([0.1, None, 0.3]), affine=chance.random() < 0.7)
        if kind in (Softmax, LogSoftmax):
            return kind(dim=chance.choice([-1, -1, 0]))
        if kind is LayerNorm:
            return LayerNorm(elementwise_affine=chance.random() < 0.7)
        return kind()


def nets(count: int, seed: int = 0) -> Iterator[Net]:
    """Nets in a drawn order: all pairs of operators, all widths and numbers of rows come before any comes again."""
    chance = random.Random(seed)
    pairs = list(product(KINDS, KINDS))
    waiting: list[tuple[type[Operator], type[Operator]]] = []
    rows, widths = list[int](), list[int]()
    for number in range(count):
        if len(waiting) < 2:
            waiting += chance.sample(pairs, len(pairs))
        rows, widths = rows or chance.sample(SIZES, len(SIZES)), widths or chance.sample(SIZES, len(SIZES))
        kinds = waiting.pop()
        if chance.random() < 0.6:
            kinds = (*kinds, *waiting.pop())
        elif chance.random() < 0.5:
            kinds = (*kinds, chance.choice(KINDS))
        n = rows.pop()
        if BatchNorm1d in kinds:
            n = max(n, 2)
        yield Net(number, kinds, n, widths.pop(), chance.choice([torch.float32, torch.float64]))


def disagreement(net: Net) -> str:
    """What the compiled steps get wrong, against the operators in double precision; "" if nothing."""
    operators, xs, targets, rule = net.make()
    rule = "sgd" if net.dtype == torch.float32 else rule
    exact = Chain(operators, xs[0], rule)
    mine = Chain(operators, xs[0], rule)
    draws = [exact.draws(x) for x in xs]
    stacked = [torch.stack(each) for each in zip(*draws, strict=True)]
    usual = None
    if net.dtype == torch.float32:
        usual, mine = single(operators, xs, rule), single(operators, xs, rule)
    low = [t.to(net.dtype) if t.is_floating_point() else t for t in (xs, targets, *stacked)]
    compiled = CompiledChain(mine, low[0], low[1], low[2:])
    done, (losses, predictions) = compiled.run(STEPS)
    expected = [stepped(exact, x, y, d) for x, y, d in zip(xs, targets, draws, strict=True)]
    others = expected
    if usual is not None:
        others = [stepped(usual, low[0][k], low[1][k], [d[k] for d in low[2:]]) for k in range(STEPS)]
    if not all(torch.isfinite(loss).all() for loss, _ in (*expected, *others)):
        return ""
    if done != STEPS:
        return f"{done} steps"
    got = {"loss": losses, "prediction": predictions, **named(mine)}
    want = {"loss": stack(expected, 0), "prediction": stack(expected, 1), **named(exact)}
    near = want if usual is None else {"loss": stack(others, 0), "prediction": stack(others, 1), **named(usual)}
    for name, tensor in want.items():
        scale = max(1.0, float(tensor.abs().max())) if tensor.numel() else 1.0
        slack = 10 * float((near[name].double() - tensor).abs().max()) if tensor.numel() else 0.0
        error = float((got[name].double() - tensor).abs().max()) if tensor.numel() else 0.0
        if not error <= max((1e-9 if usual is None else 1e-5) * scale, slack):
            return f"{name}: {error:.2g} away ({scale:.2g}, {slack:.2g})"
    return ""


def single(operators: list[Operator], xs: Tensor, rule: str) -> Chain:
    """The chain in single precision, from the numbers that it begins with in double precision."""
    chain, exact = Chain(copy.deepcopy(operators), xs[0].float(), rule), Chain(operators, xs[0], rule)
    for one, other in zip(chain.state(), exact.state(), strict=True):
        one.copy_(other)
    return chain


def stepped(chain: Chain, x: Tensor, target: Tensor, drawn: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The loss and the prediction of a step by torch."""
    loss, y = chain.forward_backward(x, target, drawn)
    found = loss.sum().double(), y.double().clone()
    chain.update()
    return found


def stack(results: list[tuple[Tensor, Tensor]], which: int) -> Tensor:
    return torch.stack([each[which] for each in results])


def named(chain: Chain) -> dict[str, Tensor]:
    return {f"state {k}": each.double() for k, each in enumerate(chain.state())}
