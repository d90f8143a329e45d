"""Random points for classification, and their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import torch

from graphdl.calls import explained
from graphdl.data.checks import finite_number, whole_number
from graphdl.errors import SettingError, ShapeError, did_you_mean, listing
from graphdl.intake import as_tensor

__all__ = ["ball", "disc", "line", "one_hot", "spiral", "with_sum_of_squares"]

Labelled = tuple[torch.Tensor, torch.Tensor]

LARGEST_SEED = 2**63 - 1


def disc(n: int = 1000, centre: Sequence[float] = (0.5, 0.5), seed: int | None = None) -> Labelled:
    """Points of the unit square, labelled by whether they lie inside a disc of area 1/2.

    x ~ Uniform[0, 1)², label = 1 if ||x - centre|| < 1 / sqrt(2 pi) else 0
    -> x (n, 2) float32, labels (n,) int64

    With the centre (0.5, 0.5) the disc holds half of the points; with the origin as centre, a quarter of the disc is in
    the square and holds an eighth. A seed gives the same points each time and does not use torch's global generator;
    None does.

    Raises SettingError if n < 1, centre is not two finite numbers, or seed is not a whole number from 0.

    >>> x, labels = disc(n=4, seed=0)
    >>> x.shape, labels.shape, labels.dtype
    (torch.Size([4, 2]), torch.Size([4]), torch.int64)
    """
    n = whole_number("n", n, least=1)
    if not isinstance(centre, Sequence) or len(centre) != 2:
        raise SettingError(f"centre is {centre!r}: give the two coordinates of a point, as in (0.5, 0.5).")
    coordinates = [finite_number("A coordinate of centre", coordinate) for coordinate in centre]
    middle = torch.tensor(coordinates, dtype=torch.float32, device="cpu")
    x = torch.rand(n, 2, generator=_generator(seed), dtype=torch.float32, device="cpu")
    squared_distance = (x - middle).square().sum(dim=1)
    return x, (squared_distance < 1 / (2 * math.pi)).long()


def ball(
    n: int = 1000, shape: Sequence[int] = (3, 4, 4), radius: float = 2.0, centre: float = 0.5, seed: int | None = None
) -> Labelled:
    """Points of the unit cube in any number of dimensions, labelled by whether they lie inside a ball.

    x ~ Uniform[0, 1)^shape, label = 1 if ||x - centre|| < radius else 0, with the Euclidean norm over all of `shape`
    -> x (n, *shape) float32, labels (n,) int64

    The mean of ||x - 1/2||² is a twelfth of the number of dimensions: 4 for images of shape (3, 4, 4), so that a ball
    of radius 2 holds about half of them. A seed gives the same points each time and does not use torch's global
    generator; None does.

    Raises SettingError if n < 1, shape is not a sequence of whole numbers from 1, radius or centre is not finite, or
    radius is negative, or seed is not a whole number from 0.

    >>> x, labels = ball(n=4, seed=0)
    >>> x.shape, labels.shape
    (torch.Size([4, 3, 4, 4]), torch.Size([4]))
    """
    n = whole_number("n", n, least=1)
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise SettingError(f"shape is {shape!r}: give the sizes of the axes of one sample, as in (3, 4, 4).")
    sizes = [whole_number("A size of shape", size, least=1) for size in shape]
    radius, centre = finite_number("radius", radius, least=0), finite_number("centre", centre)
    x = torch.rand(n, *sizes, generator=_generator(seed), dtype=torch.float32, device="cpu")
    return x, ((x - centre).square().flatten(1).sum(dim=1) < radius**2).long()


def line(n: int = 1000, slope: float = 4.0, seed: int | None = None) -> Labelled:
    """Points around the origin, labelled by the side of a line through it.

    x ~ Normal(0, 1)², label = 1 if x_1 > slope x_0 else 0
    -> x (n, 2) float32, labels (n,) int64

    About half of the points are on each side. A seed gives the same points each time and does not use torch's global
    generator; None does.

    Raises SettingError if n < 1, slope is not finite, or seed is not a whole number from 0.

    >>> x, labels = line(n=4, seed=0)
    >>> bool((labels == (x[:, 1] > 4 * x[:, 0])).all())
    True
    """
    n, slope = whole_number("n", n, least=1), finite_number("slope", slope)
    x = torch.randn(n, 2, generator=_generator(seed), dtype=torch.float32, device="cpu")
    return x, (x[:, 1] > slope * x[:, 0]).long()


def spiral(
    n: int = 1000, classes: int = 2, turns: float = 1.5, noise: float = 0.03, seed: int | None = None
) -> Labelled:
    """Interleaved spiral arms around the origin, one for each class, in random order.

    r ~ Uniform[0, 1), angle = 2 pi (turns r + label / classes)
    x = r (cos angle, sin angle) + noise Normal(0, 1)²
    -> x (n, 2) float32, labels (n,) int64

    The sizes of two classes differ by at most one. Neighbouring arms are 1 / (turns classes) apart, and
    noise should be much smaller; all arms meet at the origin. A seed gives the same points each time and does not use
    torch's global generator; None does.

    Raises SettingError if classes < 2, n < classes, turns is not finite, noise is negative or not finite, or
    seed is not a whole number from 0.

    >>> x, labels = spiral(n=90, classes=3, seed=0)
    >>> x.shape, labels.bincount().tolist()
    (torch.Size([90, 2]), [30, 30, 30])
    """
    classes = whole_number("classes", classes, least=2)
    n = whole_number("n", n, least=classes)
    turns, noise = finite_number("turns", turns), finite_number("noise", noise, least=0)
    generator = _generator(seed)
    labels = torch.randperm(n, generator=generator, device="cpu") % classes
    radius = torch.rand(n, generator=generator, dtype=torch.float32, device="cpu")
    angle = 2 * math.pi * (turns * radius + labels.to(torch.float32) / classes)
    arms = radius.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], dim=1)
    x = arms + noise * torch.randn(n, 2, generator=generator, dtype=torch.float32, device="cpu")
    return x, labels


@explained("one_hot(labels, classes=3)")
def one_hot(labels: Any, classes: int | Sequence[Any], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Targets from labels: `high` at the class of the label and `low` elsewhere.

    y[..., k] = high if k == labels[...] else low
    labels (...) integers in 0 ... classes - 1 -> y (..., classes) float32, on the labels' device

    labels   a tensor, an array, a list or a column of pandas; of a categorical one, give .cat.codes or classes=[...]
    classes  their number; or their names in order, where labels are names: one_hot(["b", "a"], classes=["a", "b"])

    Raises SettingError if classes < 1, low or high is not finite, or labels are not integers or out of range.

    >>> one_hot(torch.tensor([1, 0]), classes=2, low=0.2, high=0.8)
    tensor([[0.2000, 0.8000],
            [0.8000, 0.2000]])
    """
    if not isinstance(classes, int) and isinstance(classes, Sequence):
        labels, classes = _numbered(labels, classes), len(classes)
    classes = whole_number("classes", classes, least=1)
    low, high = finite_number("low", low), finite_number("high", high)
    labels = as_tensor(labels, "labels")
    if labels.is_floating_point():
        raise SettingError(f"labels are {labels.dtype}: give integers, for example labels.long().")
    index = labels.long()
    if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < classes:
        raise SettingError(
            f"labels are from {int(index.min())} to {int(index.max())}, but with classes={classes} they must "
            f"be in 0 ... {classes - 1}: set more classes, or count the labels from 0."
        )
    targets = torch.full((*index.shape, classes), low, dtype=torch.float32, device=index.device)
    return targets.scatter_(-1, index.unsqueeze(-1), high)


def _numbered(labels: Any, names: Sequence[Any]) -> torch.Tensor:
    """The number of each label among the names of the classes."""
    listed = numpy.asarray(labels, dtype=object)
    if any(isinstance(label, (list, tuple)) for label in listed.flat):
        raise SettingError("labels hold lists of different lengths: give one label for each row.")
    number = {name: k for k, name in enumerate(names)}
    if isinstance(names, str) or not names or len(number) < len(names):
        raise SettingError(f"classes is {names!r:.100}: give the names of the classes, each once, in their order.")
    for label in listed.flat:
        if label not in number:
            raise SettingError(f"labels hold {label!r}, which is not a class.{did_you_mean(label, number)} The classes "
                               f"are {listing(map(repr, names))}.")  # fmt: skip
    return torch.tensor([number[label] for label in listed.flat], dtype=torch.long).view(listed.shape)


def with_sum_of_squares(x: torch.Tensor) -> torch.Tensor:
    """Inputs augmented with the sum of their squares, in which a sphere is separated by a plane.

    y = [x, sum_i x_i²]
    x (n, i) -> y (n, i + 1)

    Raises SettingError if x is not a tensor of floating-point numbers, ShapeError if it is not (n, i).

    >>> with_sum_of_squares(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2., 5.]])
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, torch.Tensor) else f"a {type(x).__name__}"
        raise SettingError(f"x is {kind}: give a tensor of floating-point numbers, for example x.float().")
    if x.dim() != 2:
        raise ShapeError(f"x has shape {tuple(x.shape)}: give one row for each sample, shape (n, i).")
    return torch.cat([x, x.square().sum(dim=1, keepdim=True)], dim=1)


def _generator(seed: int | None) -> torch.Generator | None:
    if seed is None:
        return None
    return torch.Generator(device="cpu").manual_seed(whole_number("seed", seed, least=0, most=LARGEST_SEED))
