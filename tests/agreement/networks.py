"""Random networks of all operators, each drawn from a seed: the two dictionaries, data, and how they are trained."""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphdl import (
    BCEWithLogitsLoss,
    Concat,
    CrossEntropyLoss,
    Embedding,
    Feed,
    Identity,
    Item,
    L1Loss,
    Linear,
    Loss,
    Mean,
    MSELoss,
    Network,
    Product,
    Shared,
    Subtract,
    Sum,
    Weighted,
)
from graphdl.errors import GraphDLWarning
from tests.agreement.cases import depends_on_training, place, turn
from tests.agreement.layers import Split, layer
from tests.agreement.training import Training, draw_training
from tests.operators.case import Case

STEPS = 5
"""Batches an epoch."""

EPOCHS = 2


@dataclass
class Drawn:
    """A network as it is drawn, node after node: each reads only what stands before it.

    inputs     name -> all rows, those of a batch after those of another
    rows       of a batch; `last` of the last one of an epoch
    recompute  nodes that one way computes twice
    cases      node -> the case that its operator and its reference are of, if they are
    """

    seed: int
    dtype: torch.dtype
    rows: int
    last: int
    operators: dict[Any, Any] = field(default_factory=dict)
    edges: dict[Any, list[Feed]] = field(default_factory=dict)
    inputs: dict[Any, Tensor] = field(default_factory=dict)
    frozen: list[Any] = field(default_factory=list)
    recompute: list[Any] = field(default_factory=list)
    training: Training = field(default_factory=Training)
    cases: dict[Any, Case] = field(default_factory=dict)

    def network(self) -> Network:
        """The network, with the same parameters in every call."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GraphDLWarning)  # what is drawn has no purpose
            net = Network(self.operators, self.edges, seed=self.seed, dtype=self.dtype)
        if not net.engine.built:
            net.build({name: tensor[: self.rows].to("meta") for name, tensor in self.inputs.items()})
        return net.freeze(*self.frozen) if self.frozen else net

    def batches(self) -> list[dict[Any, Tensor]]:
        """The batches of an epoch."""
        starts = [k * self.rows for k in range(STEPS)]
        return [{name: x[start : start + self.rows] for name, x in self.inputs.items()} for start in starts]

    def owner(self, key: Any) -> Any:
        """The node whose operator and parameters this one has."""
        operator = self.operators[key]
        return self.owner(operator.key) if isinstance(operator, Shared) else key

    def operator(self, key: Any) -> Any:
        """The operator of a node, sizes left out included."""
        return self.operators[self.owner(key)]

    @property
    def losses(self) -> list[Any]:
        return [key for key in self.operators if isinstance(self.operator(key), Loss)]

    @property
    def custom(self) -> bool:
        """Whether there are operators that are not graphdl's own."""
        return any(type(op).__module__ == "tests.agreement.layers" for op in self.operators.values())


class Artist:
    """Draws a network."""

    def __init__(self, seed: int, attempt: int) -> None:
        self.rng = rng = random.Random(f"{seed}/{attempt}")
        dtype = torch.float32 if rng.random() < 0.25 else torch.float64
        rows = rng.randint(1, 17)
        last = rng.randint(min(2, rows), rows) if rng.random() < 0.2 else rows
        self.drawn = Drawn(seed, dtype, rows, last)
        self.generator = torch.Generator().manual_seed(seed)
        self.shapes: dict[Any, tuple[int, ...]] = {}  # of what is a floating-point tensor
        self.read: dict[Any, tuple[int, ...]] = {}  # of what an operator of one input reads
        self.indices: dict[Any, int] = {}  # inputs of integers -> how many there are
        self.ends: list[Any] = []  # what must lead to a loss
        self.style = rng.choice(["{}", "n{}", "a.b {}'"])
        self.custom = rng.random() < 0.1

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def key(self) -> Any:
        k = len(self.drawn.operators) + len(self.drawn.inputs)
        return k if self.style == "{}" else self.style.format(k)

    @property
    def count(self) -> int:
        return self.drawn.rows * (STEPS - 1) + self.drawn.last

    def floats(self, shape: tuple[int, ...]) -> Tensor:
        """Normal numbers, at times rounded, so that there are ties and zeros."""
        x = torch.randn(self.count, *shape, generator=self.generator, dtype=torch.float64)
        return (x.round() if self.chance(0.1) else x).to(self.drawn.dtype)

    def add_input(self, shape: tuple[int, ...]) -> Any:
        key = self.key()
        self.drawn.inputs[key], self.shapes[key] = self.floats(shape), shape
        return key

    def add_given(self, value: Tensor) -> Any:
        """An input that only one node reads."""
        key = self.key()
        self.drawn.inputs[key] = value
        return key

    def add(self, operator: Any, shape: tuple[int, ...] | None, sources: list[Any], named: bool = False) -> Any:
        key = self.key()
        self.drawn.operators[key] = operator
        self.drawn.edges.setdefault(key, [])
        if shape is not None:
            self.shapes[key] = shape
        factors = [1.0] * 10 + [0.0, -1.0, 0.5, -2.5, 3]
        for slot, source in enumerate(sources):
            edge = Feed(key, slot if named else None, self.rng.choice(factors))
            self.drawn.edges.setdefault(source, []).append(edge)
        return key

    def source(self, fits: Any = lambda shape: True) -> Any:
        """A value, one of the latest ones rather."""
        found = [key for key, shape in self.shapes.items() if fits(shape)]
        if not found:
            return None
        return self.rng.choice(found[-3:] if self.chance(0.6) else found)

    def add_layer(self) -> None:
        source = self.source()
        shape = self.shapes[source]
        owners = [key for key, read in self.read.items() if read == shape]
        if owners and self.chance(0.2):
            owner = self.rng.choice(owners)
            self.add(Shared(owner), self.shapes[owner], [source])
        elif self.chance(0.03):  # nothing feeds it: an input of its own name
            width, key = self.rng.randint(1, 17), self.key()
            self.drawn.inputs[key] = self.floats((width,))
            self.drawn.operators[key], self.shapes[key] = Linear(width, 3), (3,)
            self.drawn.edges.setdefault(key, [])
        else:
            operator, made = layer(self.rng, shape, min(self.drawn.rows, self.drawn.last), self.custom)
            self.read[self.add(operator, made, [source])] = shape

    def add_embedding(self) -> None:
        count, width = self.rng.randint(1, 9), self.rng.randint(1, 9)
        shape = self.rng.choice([(), (self.rng.randint(1, 5),)])
        padding = self.rng.choice([None, None, self.rng.randrange(count), -1])
        fitting = [key for key, most in self.indices.items() if most <= count]
        if fitting and self.chance(0.3):
            source = self.rng.choice(fitting)
            shape = tuple(self.drawn.inputs[source].shape[1:])
        else:
            dtype = self.rng.choice([torch.int64, torch.int64, torch.int32])
            source = self.add_given(torch.randint(count, (self.count, *shape), generator=self.generator).to(dtype))
            self.indices[source] = count
        operator = Embedding(count, width, padding, scale_grad_by_freq=self.chance(0.3))
        self.add(operator, (*shape, width), [source])

    def add_merge(self) -> None:
        first = self.source()
        shape, kind = self.shapes[first], self.rng.choice([Sum, Sum, Mean, Product, Subtract, Concat])
        if kind is Concat:
            axis = self.rng.randrange(len(shape))
            others = shape[:axis], shape[axis + 1 :]
            fits = lambda s: len(s) == len(shape) and (s[:axis], s[axis + 1 :]) == others  # noqa: E731
            more = [self.source(fits) for _ in range(self.rng.randint(0, 2))]
            width = sum(self.shapes[key][axis] for key in (first, *more))
            if width <= 40:
                made = (*shape[:axis], width, *shape[axis + 1 :])
                spelt = axis + 1 if self.chance(0.7) else axis - len(shape)
                self.add(Concat(spelt), made, [first, *more], named=self.chance(0.3))
            return
        fits = lambda s: len(s) == len(shape) and all(a in (b, 1) for a, b in zip(s, shape, strict=True))  # noqa: E731
        count = 1 if kind is Subtract else self.rng.randint(0, 3)
        sources = [first, *(self.source(fits) for _ in range(count))]
        self.rng.shuffle(sources)
        self.add(kind(), shape, sources, named=self.chance(0.3))

    def add_split(self) -> None:
        source = self.source(lambda shape: shape[-1] > 1)
        if source is None:
            return
        *rest, width = self.shapes[source]
        cuts = sorted(self.rng.sample(range(1, width), min(width - 1, self.rng.randint(1, 2))))
        widths = tuple(b - a for a, b in zip([0, *cuts], [*cuts, width], strict=True))
        node = self.add(Split(widths), None, [source])
        for k in self.rng.sample(range(len(widths)), self.rng.randint(1, len(widths))):
            self.add(Item(k if self.chance(0.7) else k - len(widths)), (*rest, widths[k]), [node])

    def target(self, prediction: Any, kind: Any) -> Any:
        """A target of the prediction's shape: another value, or an input."""
        shape = self.shapes[prediction]
        if self.chance(0.25) and kind is not BCEWithLogitsLoss:  # its targets are from 0 to 1
            return self.source(lambda s: s == shape)
        value = self.floats(shape)
        if kind is not MSELoss and kind is not L1Loss:
            value = value.sigmoid()
        return self.add_given(value / value.sum(1, keepdim=True) if kind is CrossEntropyLoss else value)

    def classes(self, shape: tuple[int, ...], ignored: int) -> Any:
        """Class indices, some of them ignored, but for the first one of each batch."""
        target = torch.randint(shape[0], (self.count, *shape[1:]), generator=self.generator)
        target[torch.rand(target.shape, generator=self.generator) < 0.2] = ignored
        kept = (ignored + 1) % shape[0] if 0 <= ignored < shape[0] else 0
        target[:: self.drawn.rows] = kept
        return self.add_given(target.to(self.rng.choice([torch.int64, torch.int64, torch.int32])))

    def weighted(self, loss: Loss) -> Loss:
        """A loss with a weight."""
        if isinstance(loss, Weighted):
            return replace(loss, loss=self.weighted(loss.loss))
        return replace(loss, weight=self.rng.choice([1.0, 1.0, 0.5, -0.3, 2]))

    def add_loss(self, prediction: Any) -> None:
        shape = self.shapes[prediction]
        kind = self.rng.choice([MSELoss, L1Loss, BCEWithLogitsLoss, CrossEntropyLoss, CrossEntropyLoss])
        settings: dict[str, Any] = {"reduction": self.rng.choice(["mean", "mean", "sum", "none"])}
        if kind is CrossEntropyLoss:
            settings["label_smoothing"] = self.rng.choice([0.0, 0.0, 0.1, 1.0])
        if kind is CrossEntropyLoss and self.chance(0.6):
            settings["ignore_index"] = self.rng.choice([-100, -1, *([0] if shape[0] > 1 else [])])
            target = self.classes(shape, settings["ignore_index"])
        else:
            target = self.target(prediction, kind)
        key = self.add(self.weighted(kind(**settings)), None, [])
        factor = self.rng.choice([1.0, 1.0, 1.0, -0.5, 2.0])
        self.drawn.edges.setdefault(prediction, []).append(Feed(key, "prediction", factor))
        self.drawn.edges.setdefault(target, []).append(Feed(key, "target", self.rng.choice([1.0, 1.0, 0.0, -1.0])))
        if self.chance(0.2):
            self.add(Identity(), None, [key])

    def paint(self) -> Drawn:
        drawn, rng = self.drawn, self.rng
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            if kind < 0.2:
                self.add_embedding()
            else:
                sizes = rng.choice([1, 1, 1, 2, 3]) if kind < 0.9 else 3
                high = {1: 17, 2: 7, 3: 6}[sizes]
                self.add_input(tuple(rng.randint(1, high if k else min(high, 17)) for k in range(sizes)))
        steps = [self.add_layer] * 8 + [self.add_merge] * 3 + [self.add_embedding] * (rng.random() < 0.1)
        if self.custom:
            steps.append(self.add_split)
        drawing = [partial(place, self, kind) for kind in turn(drawn.seed)]
        drawing += rng.choices(steps, k=rng.randint(1, 6))
        rng.shuffle(drawing)
        for add in drawing:
            add()
        for end in self.ends:
            if not drawn.edges.get(end):
                self.add_loss(end)
        for _ in range(rng.choice([0, 1, 1, 2]) if drawn.losses else 1):
            self.add_loss(self.source())
        self._finish()
        return drawn

    def _finish(self) -> None:
        drawn, rng = self.drawn, self.rng
        read = {source for source, feeds in drawn.edges.items() if feeds}
        drawn.inputs = {key: x for key, x in drawn.inputs.items() if key in read or key in drawn.operators}
        owners = [key for key, op in drawn.operators.items() if not isinstance(op, (Shared, Loss))]
        owners = [key for key in owners if key not in drawn.cases or not depends_on_training(drawn.operators[key])]
        drawn.frozen += [key for key in owners if self.chance(0.12)] if self.chance(0.5) else []
        computed = [key for key in drawn.operators if key not in drawn.losses]
        drawn.recompute = [key for key in computed if self.chance(0.4)]
        written = list(drawn.edges.items())
        rng.shuffle(written)  # the order of reading is that of writing
        drawn.edges = dict(written)
        drawn.training = draw_training(rng, drawn)
