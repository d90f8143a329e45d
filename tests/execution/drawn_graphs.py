"""Random networks, drawn by hypothesis, and an interpreter of the two dictionaries that torch can differentiate."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st
from torch.nn import functional

from graphdl import (
    BCEWithLogitsLoss,
    Concat,
    CrossEntropyLoss,
    Feed,
    Identity,
    L1Loss,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Mean,
    MSELoss,
    Network,
    Product,
    RectifiedTanh,
    ReLU,
    Shared,
    Sigmoid,
    Softmax,
    Subtract,
    Sum,
    Tanh,
)
from graphdl.errors import GraphDLWarning
from graphdl.operators import Loss

ROWS = 4
ACTIVATIONS = {
    ReLU(): torch.relu,
    LeakyReLU(0.2): lambda x: functional.leaky_relu(x, 0.2),
    Tanh(): torch.tanh,
    RectifiedTanh(): lambda x: (1 + torch.tanh(x)) / 2,
    Sigmoid(): torch.sigmoid,
    Softmax(): lambda x: torch.softmax(x, 1),
    LogSoftmax(): lambda x: torch.log_softmax(x, 1),
    Identity(): lambda x: x,
}
MERGES = {
    Sum: lambda *xs: sum(xs),
    Mean: lambda *xs: sum(xs) / len(xs),
    Product: lambda *xs: torch.stack(torch.broadcast_tensors(*xs)).prod(0),
    Subtract: lambda a, b: a - b,
    Concat: lambda *xs: torch.cat(xs, 1),
}
LOSSES = {
    MSELoss: functional.mse_loss,
    L1Loss: functional.l1_loss,
    BCEWithLogitsLoss: functional.binary_cross_entropy_with_logits,
    CrossEntropyLoss: functional.cross_entropy,
}
FACTORS = st.sampled_from([1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 0.5, -2.5, 3])


@dataclass
class Drawn:
    """A network as it is drawn, node after node: each reads only what stands before it."""

    operators: dict = field(default_factory=dict)
    edges: dict = field(default_factory=dict)
    widths: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    frozen: list = field(default_factory=list)
    seed: int = 0

    def network(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GraphDLWarning)  # what is drawn has no purpose
            net = Network(self.operators, self.edges, seed=self.seed, dtype=torch.float64)
        if self.frozen:
            net.freeze(*self.frozen)
        return net

    def owner(self, key):
        operator = self.operators[key]
        return self.owner(operator.key) if isinstance(operator, Shared) else key


class Artist:
    """Draws a network."""

    def __init__(self, draw):
        self.draw, self.drawn = draw, Drawn(seed=draw(st.integers(0, 2**16)))
        self.generator = torch.Generator().manual_seed(self.drawn.seed)
        self.names = draw(st.sampled_from(["{}", "n{}", "a.b\n{}'"]))

    def key(self):
        k = len(self.drawn.operators) + len(self.drawn.inputs)
        return k if self.names == "{}" else self.names.format(k)

    def normal(self, width):
        return torch.randn(ROWS, width, generator=self.generator, dtype=torch.float64)

    def add_input(self, width, value=None):
        key = self.key()
        self.drawn.inputs[key] = self.normal(width) if value is None else value
        self.drawn.widths[key] = width if value is None else None
        return key

    def feed(self, key, sources):
        """Edges from the sources, with the slots named or left to the order in which they are written."""
        named = len(sources) > 1 and self.draw(st.booleans())
        for slot, source in enumerate(sources):
            edge = Feed(key, slot if named else None, self.draw(FACTORS))
            self.drawn.edges.setdefault(source, []).append(edge)

    def add(self, operator, width, sources):
        key = self.key()
        self.drawn.operators[key], self.drawn.widths[key] = operator, width
        self.drawn.edges.setdefault(key, [])
        self.feed(key, sources)
        return key

    def source(self, *widths):
        """A node or input of one of these widths; any width if none is given."""
        fitting = [key for key, width in self.drawn.widths.items() if width and (not widths or width in widths)]
        return self.draw(st.sampled_from(fitting)) if fitting else self.add_input(widths[0])

    def add_linear(self):
        width, draw = self.draw(st.integers(1, 3)), self.draw
        shapes = {key: op for key, op in self.drawn.operators.items() if isinstance(op, Linear)}
        if shapes and draw(st.booleans()):
            owner = draw(st.sampled_from(list(shapes)))
            self.add(Shared(owner), shapes[owner].out_features, [self.source(shapes[owner].in_features)])
        elif draw(st.integers(0, 5)) == 0:  # nothing feeds it: an input of its own name
            key = self.add(Linear(2, width), width, [])
            self.drawn.inputs[key] = self.normal(2)
        else:
            source = self.source()
            self.add(Linear(self.drawn.widths[source], width, bias=draw(st.booleans())), width, [source])

    def add_activation(self):
        source = self.source()
        self.add(self.draw(st.sampled_from(list(ACTIVATIONS))), self.drawn.widths[source], [source])

    def add_merge(self):
        kind = self.draw(st.sampled_from(list(MERGES)))
        width = self.drawn.widths[first := self.source()]
        count = 1 if kind is Subtract else self.draw(st.integers(0, 3))
        sources = [first, *(self.source(*([] if kind is Concat else [width, 1])) for _ in range(count))]
        widths = [self.drawn.widths[source] for source in sources]
        self.add(kind(), sum(widths) if kind is Concat else max(widths), self.draw(st.permutations(sources)))

    def add_loss(self):
        draw, kind = self.draw, self.draw(st.sampled_from(list(LOSSES)))
        reduction = draw(st.sampled_from(["mean", "sum", "none"]))
        width = self.drawn.widths[prediction := self.source()]
        if kind is CrossEntropyLoss and draw(st.booleans()):
            target = self.add_input(width, torch.randint(width, (ROWS,), generator=self.generator))
        else:
            target = self.source(width)
        operator = kind(reduction=reduction, weight=draw(st.sampled_from([1.0, 0.5, -2.0])))
        key = self.add(operator, None, [])
        self.drawn.edges.setdefault(prediction, []).append(Feed(key, "prediction", draw(FACTORS)))
        self.drawn.edges.setdefault(target, []).append(Feed(key, "target", draw(FACTORS)))
        if draw(st.booleans()):
            self.add(Identity(), None, [key])


@st.composite
def networks(draw, losses=0):
    artist = Artist(draw)
    for _ in range(draw(st.integers(1, 3))):
        artist.add_input(draw(st.integers(1, 3)))
    steps = [artist.add_linear, artist.add_activation, artist.add_merge]
    for _ in range(draw(st.integers(2, 14))):
        draw(st.sampled_from(steps))()
    for _ in range(draw(st.integers(min(losses, 1), losses))):
        artist.add_loss()
    drawn = artist.drawn
    used = {key for key in drawn.inputs if drawn.edges.get(key) or key in drawn.operators}
    drawn.inputs = {key: value for key, value in drawn.inputs.items() if key in used}
    drawn.frozen = [key for key in drawn.operators if draw(st.integers(0, 4)) == 0]
    written = list(drawn.edges.items())
    random.Random(drawn.seed).shuffle(written)  # the order of reading is that of writing
    drawn.edges = dict(written)
    return drawn


def sources_of(drawn, key, operator):
    """(source, factor) of every slot: named slots first, then the free ones in the order of writing."""
    edges = [(source, feed) for source, feeds in drawn.edges.items() for feed in feeds if feed.key == key]
    names = list(operator.slots or range(len(edges)))
    slots = {names.index(f.slot) if isinstance(f.slot, str) else f.slot: (s, f) for s, f in edges if f.slot is not None}
    free = iter([slot for slot in range(len(edges)) if slot not in slots])
    slots |= {next(free): (source, feed) for source, feed in edges if feed.slot is None}
    return [(slots[slot][0], slots[slot][1].gradient) for slot in sorted(slots)]


class Edge(torch.autograd.Function):
    """An edge's policy: the value passes as it is, and the gradient times a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.factor, None


def compute(operator, p, xs):
    if isinstance(operator, Linear):
        return functional.linear(*xs, p["weight"], p.get("bias"))
    if type(operator) in MERGES:
        return MERGES[type(operator)](*xs)
    if isinstance(operator, Loss):
        return LOSSES[type(operator)](*xs, reduction=operator.reduction)
    return ACTIVATIONS[operator](*xs)


def interpret(drawn, parameters):
    """Node -> value, in torch; leaves are the inputs by ("input", name) and the parameters by their names."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    leaves |= {("input", k): x.clone().requires_grad_(x.is_floating_point()) for k, x in drawn.inputs.items()}
    values = {key: leaves["input", key] for key in drawn.inputs if key not in drawn.operators}
    for key in drawn.operators:
        owner = drawn.owner(key)
        operator = drawn.operators[owner]
        xs = [leaves["input", key]] if key in drawn.inputs else []
        for source, factor in sources_of(drawn, key, operator):
            xs.append(Edge.apply(values[source], factor) if values[source].is_floating_point() else values[source])
        p = {name: leaves[f"{owner}.{name}"] for name in ("weight", "bias") if f"{owner}.{name}" in leaves}
        values[key] = compute(operator, p, xs).clone()
    return values, leaves
