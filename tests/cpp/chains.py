"""The training step of operators in a row, as torch makes it and as its tape does in C++."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphdl.cpp import Compiled, Roles, compile_tape
from graphdl.execution.recorder import recording
from graphdl.execution.replay import TorchCalls
from graphdl.execution.tape import Slot, Tape
from graphdl.operators import Operator
from tests.cpp.twins import bytes_of

ALIGNMENT = 16
MERGING = {"Sum", "Mean", "Product", "Subtract", "Concat"}
"""Operators that are fed twice by the one before."""


def fed(operator: Operator, x: Tensor) -> list[Tensor]:
    """What an operator is given."""
    return [x, x] if type(operator).__name__ in MERGING else [x]


def initial(buffer: Any, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """What a buffer begins with."""
    tensor = torch.zeros(buffer.shape, dtype=buffer.dtype or dtype)
    return buffer.initializer(tensor, generator) if callable(buffer.initializer) else tensor


class Chain:
    """Operators in a row, the last of them a loss, trained by Adam or SGD on flat vectors.

    settings  0-dim float64 tensors that the formula of the update reads
    """

    eps = 1e-4  # or what is 0 but for rounding, a bias before a normalization, would move by rounding errors

    def __init__(self, operators: Sequence[Operator], x: Tensor, rule: str = "adam", seed: int = 0) -> None:
        generator, self.dtype, self.rule = (
            torch.Generator().manual_seed(seed),
            (x.dtype if x.is_floating_point() else torch.float32),
            rule,
        )
        self.operators, shape, self.held, places, size = [], x, [], [], 0
        for operator in operators[:-1]:
            operator = operator.infer(*(each.shape for each in fed(operator, shape)))
            self.operators.append(operator)
            p = {
                n: torch.randn(q.shape, generator=generator, dtype=torch.float64)
                for n, q in operator.parameters().items()
            }
            p = {n: (t * 0.5 if t.dim() > 1 else t * 0.5 + (n == "weight")).to(self.dtype) for n, t in p.items()}
            buffers = {n: initial(buffer, self.dtype, generator) for n, buffer in operator.buffers().items()}
            self.held.append((p, buffers))
            shape = self._tried(operator, p, buffers, shape)
        self.loss = operators[-1]
        for p, _ in self.held:
            for name, tensor in p.items():
                places.append((p, name, size, tensor))
                size += -(-tensor.numel() // ALIGNMENT) * ALIGNMENT
        self.flat, self.gradient = torch.zeros(size, dtype=self.dtype), torch.zeros(size, dtype=self.dtype)
        self.vectors = [torch.zeros(size, dtype=self.dtype) for _ in range(2)]
        self.destinations: list[dict[str, Tensor]] = [{} for _ in self.held]
        for p, name, start, tensor in places:
            part = slice(start, start + tensor.numel())
            k = next(k for k, (q, _) in enumerate(self.held) if q is p)
            p[name] = self.flat[part].view(tensor.shape)
            p[name].copy_(tensor)
            self.destinations[k][name] = self.gradient[part].view(tensor.shape)
        self.output_shape = shape.shape
        self.count = torch.zeros((), dtype=torch.float64)
        self.settings = {
            k: torch.tensor(v, dtype=torch.float64) for k, v in (("lr", 5e-3), ("beta1", 0.9), ("beta2", 0.999))
        }

    def _drawn(self, operator: Operator, x: Tensor) -> dict[str, Any]:
        if type(operator).draw is Operator.draw:
            return {}
        return {"drawn": operator.draw(*fed(operator, x), generator=torch.Generator().manual_seed(3))}

    def _tried(self, operator: Operator, p: Any, buffers: Any, x: Tensor) -> Tensor:
        copies = {name: tensor.clone() for name, tensor in buffers.items()}
        return operator.forward({**p, **copies}, *fed(operator, x), training=True, **self._drawn(operator, x))[0]

    def draws(self, x: Tensor) -> list[Tensor]:
        """What the operators of a step on such a batch draw."""
        found = []
        for operator, (p, buffers) in zip(self.operators, self.held, strict=True):
            found += self._drawn(operator, x).values()
            x = self._tried(operator, p, buffers, x)
        return [each for each in found if each is not None]

    def state(self) -> list[Tensor]:
        """All that a step changes."""
        return [self.flat, *self.vectors, self.count, *(t for _, b in self.held for t in b.values())]

    def forward_backward(self, x: Tensor, target: Tensor, drawn: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        """The loss and the prediction; the gradients are written where they belong."""
        saved, draws, y = [], iter(drawn), x
        for operator, (p, buffers) in zip(self.operators, self.held, strict=True):
            more = {} if type(operator).draw is Operator.draw else {"drawn": next(draws)}
            y, kept = operator.forward({**p, **buffers}, *fed(operator, y), training=True, **more)
            saved.append(kept)
        loss, kept = self.loss.forward({}, y, target, training=True)
        (dy, *_), _ = called(self.loss, {}, kept, torch.ones_like(loss), {"prediction": None})
        for k in reversed(range(len(self.operators))):
            p, buffers = self.held[k]
            needs = dict.fromkeys((*(self.operators[k].slots or ()), "input", "a", "b"))
            dys, found = called(self.operators[k], {**p, **buffers}, saved[k], dy, needs | self.destinations[k])
            dy = dys[0] if len(dys) == 1 else dys[0] + dys[1]
            for name, gradient in found.items():
                if gradient is not self.destinations[k][name]:
                    self.destinations[k][name].copy_(gradient)
        return loss, y

    def update(self) -> None:
        """The update of all parameters at once."""
        w, g, (m, v), dtype = self.flat, self.gradient, self.vectors, self.dtype
        lr, beta1, beta2 = self.settings.values()
        t = self.count.add_(1)
        if self.rule == "sgd":
            w.sub_(lr.to(dtype) * g)
            return
        m.lerp_(g, (1 - beta1).to(dtype))
        v.mul_(beta2.to(dtype)).addcmul_((1 - beta2).to(dtype) * g, g)
        rate = (lr / (1 - torch.pow(beta1, t))).to(dtype)
        scale = torch.rsqrt(1 - torch.pow(beta2, t)).to(dtype)
        w.sub_(rate * m / (v.sqrt() * scale + self.eps))

    def tape(self, x: Tensor, target: Tensor, drawn: Sequence[Tensor]) -> tuple[Tape, Roles, dict[str, int]]:
        """The step's tape, and what its storages are for."""
        with recording() as recorder:
            loss, y = self.forward_backward(x, target, drawn)
            total = loss.double() if not loss.dim() else loss.sum().double()
            guard = len(recorder.calls)
            self.update()
        moving = [recorder.slot(each).storage for each in (x, target, *drawn)]
        buffers = [recorder.slot(t).storage for _, b in self.held for t in b.values()]
        results = (recorder.slot(total), recorder.slot(y))
        return (
            recorder.tape(),
            Roles(tuple(moving), tuple(buffers), guard, results[0], results),
            dict(enumerate(moving)),
        )


def called(operator: Operator, p: Any, saved: Any, dy: Tensor, needs: dict[str, Any]) -> Any:
    """backward with what is needed, if it asks for it."""
    if "needs" in inspect.signature(operator.backward).parameters:
        return operator.backward(p, saved, dy, needs)
    return operator.backward(p, saved, dy)


class CompiledChain:
    """A chain's step in C++, on the chain's memory."""

    def __init__(self, chain: Chain, xs: Tensor, targets: Tensor, draws: Sequence[Tensor] = ()) -> None:
        self.chain = chain
        before = [each.clone() for each in chain.state()]
        self.moving = [xs, targets, *draws]
        self.firsts = [each[0].clone() for each in self.moving]
        x, target, *drawn = self.firsts
        self.tape, self.roles, order = chain.tape(x, target, drawn)
        for tensor, old in zip(chain.state(), before, strict=True):
            tensor.copy_(old)
        self.compiled: Compiled = compile_tape(self.tape, self.roles)
        self.workspace = TorchCalls(self.tape).make_workspace(self.compiled.workspace)
        given = [self.tape.given[n].data_ptr() for n in self.compiled.given]
        self.compiled.place(given, self.workspace.data_ptr())
        self.order = list(order)

    def run(self, count: int) -> tuple[int, list[Tensor]]:
        found = [torch.empty((count, *slot.shape), dtype=slot.dtype) for slot in self.roles.results]
        moving = [self.moving[k].data_ptr() for k in self.order]
        self.compiled.prepare(moving, [f.data_ptr() for f in found], count)
        self.compiled.run()
        return self.compiled.made, found


__all__ = ["Chain", "CompiledChain", "Slot", "bytes_of"]
