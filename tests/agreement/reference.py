"""The same training in torch: an interpreter of the two dictionaries, autograd, and torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from graphdl import (
    AdaptiveAvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BCEWithLogitsLoss,
    Cast,
    Concat,
    Constant,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Feed,
    Flatten,
    Identity,
    Item,
    L1Loss,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    Mean,
    MSELoss,
    Multiply,
    Operator,
    Product,
    RectifiedTanh,
    ReLU,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Softmax,
    Subtract,
    Sum,
    Tanh,
    Weight,
)
from tests.agreement.cases import whole
from tests.agreement.layers import LogOnePlusExp, Split
from tests.agreement.networks import EPOCHS, STEPS, Drawn
from tests.agreement.rounding import rounded, rounded_inputs, rounded_output
from tests.agreement.training import Twin
from tests.operators.case import Case


@dataclass
class Result:
    """What training gave.

    states  number of steps -> parameters and buffers after so many, by name
    losses  of each step, or mean ones of each epoch, by their number
    """

    states: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)


class Edge(torch.autograd.Function):
    """An edge of the graph: the value passes as it is, and the gradient times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.factor, None


def batch_norm(op, p, b, x, training):
    if training and op.track_running_stats:
        b["num_batches_tracked"] += 1
    momentum = op.momentum
    if momentum is None:
        momentum = 1 / float(b["num_batches_tracked"]) if training and op.track_running_stats else 0.0
    by_batch = training or not op.track_running_stats
    moved = b.get("running_mean"), b.get("running_var")
    return functional.batch_norm(x, *moved, p.get("weight"), p.get("bias"), by_batch, momentum, op.eps)


def layer_norm(op, p, b, x, training):
    shape = op.normalized_shape
    axes = shape if isinstance(shape, tuple) else (shape or x.shape[-1],)
    return functional.layer_norm(x, axes, p.get("weight"), p.get("bias"), op.eps)


def convolution(op, p, b, x, training):
    module = nn.Conv2d(
        x.shape[1], op.out_channels, op.kernel_size, op.stride, op.padding, op.dilation, op.groups, "bias" in p,
        op.padding_mode, device="meta",
    )  # fmt: skip
    return functional_call(module, p, (x,))


def embedding(op, p, b, x, training):
    by_frequency = op.scale_grad_by_freq
    return functional.embedding(x, p["weight"], op.padding_idx, scale_grad_by_freq=by_frequency)


def cross_entropy(op, p, b, x, target, training):
    settings = {"reduction": op.reduction, "label_smoothing": op.label_smoothing}
    if target.shape == x.shape:  # probabilities, of which none can be ignored
        return functional.cross_entropy(x, target, **settings)
    return functional.cross_entropy(x, target.long(), ignore_index=op.ignore_index, **settings)


def max_pool(op, p, b, x, training):
    return functional.max_pool2d(x, op.kernel_size, op.stride, op.padding, op.dilation, op.ceil_mode)


def two_sided(loss):
    return lambda op, p, b, x, target, training: loss(x, target, reduction=op.reduction)


FORMULAS: dict[type, Callable[..., Any]] = {
    Linear: lambda op, p, b, x, training: functional.linear(x, p["weight"], p.get("bias")),
    Conv2d: convolution,
    BatchNorm1d: batch_norm,
    BatchNorm2d: batch_norm,
    BatchNorm3d: batch_norm,
    LayerNorm: layer_norm,
    Embedding: embedding,
    MaxPool2d: max_pool,
    AdaptiveAvgPool2d: lambda op, p, b, x, training: functional.adaptive_avg_pool2d(x, op.output_size or (None, None)),
    ReLU: lambda op, p, b, x, training: functional.relu(x),
    LeakyReLU: lambda op, p, b, x, training: functional.leaky_relu(x, op.negative_slope),
    Tanh: lambda op, p, b, x, training: x.tanh(),
    RectifiedTanh: lambda op, p, b, x, training: (1 + x.tanh()) / 2,
    Sigmoid: lambda op, p, b, x, training: x.sigmoid(),
    Softmax: lambda op, p, b, x, training: functional.softmax(x, op.dim),
    LogSoftmax: lambda op, p, b, x, training: functional.log_softmax(x, op.dim),
    LogOnePlusExp: lambda op, p, b, x, training: functional.softplus(x, threshold=100.0),
    Identity: lambda op, p, b, x, training: x.view_as(x),
    Item: lambda op, p, b, x, training: x[op.index],
    Split: lambda op, p, b, x, training: x.split(op.widths, -1),
    Flatten: lambda op, p, b, x, training: x.flatten(op.start_dim, op.end_dim),
    Reshape: lambda op, p, b, x, training: x.reshape(len(x), *op.shape),
    Select: lambda op, p, b, x, training: x.select(op.dim, op.index),
    Cast: lambda op, p, b, x, training: x.to(getattr(torch, op.dtype)),
    Scale: lambda op, p, b, x, training: x * op.factor + op.shift,
    Weight: lambda op, p, b, training: p["weight"],
    Constant: lambda op, p, b, training: b["value"],
    Multiply: lambda op, p, b, x, y, training: x * y,
    Sum: lambda op, p, b, *xs, training: sum(xs),
    Mean: lambda op, p, b, *xs, training: sum(xs) / len(xs),
    Product: lambda op, p, b, *xs, training: torch.stack(torch.broadcast_tensors(*xs)).prod(0),
    Subtract: lambda op, p, b, x, y, training: x - y,
    Concat: lambda op, p, b, *xs, training: torch.cat(xs, op.axis),
    MSELoss: two_sided(functional.mse_loss),
    L1Loss: two_sided(functional.l1_loss),
    BCEWithLogitsLoss: two_sided(functional.binary_cross_entropy_with_logits),
    CrossEntropyLoss: cross_entropy,
}


def sources_of(drawn: Drawn, key: Any) -> list[tuple[Any, float]]:
    """(source, factor) of every slot: edges that name theirs, and the others in the order of writing."""
    edges: list[tuple[Any, Feed]] = [
        (source, feed) for source, feeds in drawn.edges.items() for feed in feeds if feed.key == key
    ]
    names = {"prediction": 0, "target": 1}
    slots = {names.get(f.slot, f.slot): (s, f) for s, f in edges if f.slot is not None}
    free = iter([slot for slot in range(len(edges)) if slot not in slots])
    slots |= {next(free): (source, feed) for source, feed in edges if feed.slot is None}
    return [(slots[slot][0], slots[slot][1].gradient) for slot in sorted(slots)]


def leading_to(drawn: Drawn, keys: list[Any]) -> set[Any]:
    """These nodes and all that they are computed from."""
    found: set[Any] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += [source for source, _ in sources_of(drawn, key)]
    return found


class Reference:
    """A network in torch.

    everything  whether all nodes are computed, as by net.forward, or only what leads to a loss, as by fit
    noise       the seed of other roundings; None is torch's own
    """

    def __init__(self, drawn: Drawn, everything: bool, noise: int | None = None) -> None:
        self.drawn, net = drawn, drawn.network()
        needed = set(drawn.operators) if everything else leading_to(drawn, drawn.losses)
        self.order = [key for key in net.order if key in drawn.operators and key in needed]
        self.generator = torch.Generator()
        self.generator.set_state(net.generator.get_state())
        frozen = {drawn.owner(key) for key in drawn.frozen}
        nodes = {
            f"{key}.{name}": key for key, op in net.operators.items() for name in net.engine.store.by_node.get(key, {})
        }
        self.names = {key: list(tensors) for key, tensors in net.engine.store.by_node.items()}
        self.leaves = {name: tensor.clone() for name, tensor in net.parameters.items()}
        self.buffers = {name: tensor.clone() for name, tensor in net.buffers.items()}
        self.training = {name: leaf for name, leaf in self.leaves.items() if nodes[name] not in frozen}
        for leaf in self.training.values():
            leaf.requires_grad_()
        self.frozen = frozen
        self.twin = Twin(drawn.training, self.training, nodes)
        self.sources = {key: sources_of(drawn, key) for key in self.order}
        self.noise = None if noise is None else torch.Generator().manual_seed(noise)

    def _tensors(self, owner: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
        names = ((name, f"{owner}.{name}") for name in self.names.get(owner, ()))
        return {name: found[whole] for name, whole in names if whole in found}

    def _edge(self, value: Any, factor: float) -> Any:
        """What an edge passes on: its gradient is scaled, and none goes back where the factor is 0."""
        if isinstance(value, tuple):
            return tuple(self._edge(each, factor) for each in value)
        if not value.is_floating_point() or factor == 1.0:
            return value
        return Edge.apply(value, factor) if factor else value.detach()

    def _dropout(self, op: Dropout, x: Tensor, training: bool) -> Tensor:
        mask = op.draw(x, generator=self.generator) if training else None
        return x if mask is None else x * mask * (1 / (1 - op.p) if op.p < 1 else 0.0)

    def _compute(self, key: Any, values: dict[Any, Any]) -> Any:
        owner = self.drawn.owner(key)
        op, training = self.drawn.operators[owner], owner not in self.frozen
        xs = [values[key]] if key in values else []  # nothing feeds it: an input of its own name
        xs += [self._edge(values[source], factor) for source, factor in self.sources[key]]
        p, b = self._tensors(owner, self.leaves), self._tensors(owner, self.buffers)
        if owner in self.drawn.cases:
            return self._by_case(self.drawn.cases[owner], p, b, xs, training)
        if isinstance(op, Dropout):
            y = self._dropout(op, *xs, training)
        else:
            y = FORMULAS[type(op)](op, p, b, *xs, training=training)
        return y if self.noise is None or not isinstance(y, Tensor) else rounded(op, xs, y, self.noise)

    def _by_case(self, case: Case, p: dict[str, Tensor], b: dict[str, Tensor], xs: list[Any], training: bool) -> Any:
        op, chance = case.operator, {}
        if training and type(op).draw is not Operator.draw:
            chance = {"drawn": op.draw(*xs, generator=self.generator)}
        if self.noise is None:
            return whole(case.reference(p | b, *xs, **chance), [*p.values(), *xs])
        xs = rounded_inputs(xs, self.noise)
        return rounded_output(whole(case.reference(p | b, *xs, **chance), [*p.values(), *xs]), self.noise)

    def step(self, batch: dict[Any, Tensor]) -> float:
        """Make a step; return the total loss before it."""
        values: dict[Any, Any] = dict(batch)
        for key in self.order:
            values[key] = self._compute(key, values)
        total: Any = 0.0
        loss = 0.0
        for key in self.drawn.losses:
            weight = self.drawn.operator(key).weight
            total = total + weight * values[key].sum()
            loss += weight * float(values[key].detach().sum())
        leaves = self.training
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        self.reached = [name for name, gradient in zip(leaves, found, strict=True) if gradient is not None]
        self.twin.take(dict(zip(leaves, found, strict=True)))
        return loss

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in {**self.leaves, **self.buffers}.items()}


def train(drawn: Drawn, everything: bool = False, finish: bool = True, noise: int | None = None) -> Result:
    """Train for all epochs. finish: whether gradients that are left at the end of an epoch bring an update."""
    reference, result = Reference(drawn, everything, noise), Result()
    for epoch in range(EPOCHS):
        total = 0.0
        for k, batch in enumerate(drawn.batches()):
            loss = reference.step(batch)
            result.losses[f"step {epoch * STEPS + k + 1}"] = loss
            total += loss * len(next(iter(batch.values())))
        result.losses[f"epoch {epoch + 1}"] = total / (drawn.rows * (STEPS - 1) + drawn.last)
        if finish:
            reference.twin.finish()
        result.states[(epoch + 1) * STEPS] = reference.state()
    return result
