"""What the inputs of a network are for: features from which it predicts, or targets with which it is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphdl.data.labels import may_have_several_labels
from graphdl.errors import MissingInputError
from graphdl.graph import Key, input_kinds, sources_by_role
from graphdl.network import Network


@dataclass(frozen=True)
class Needed:
    """The inputs that losses or predictions need.

    features, targets  their names
    kinds              of those that are integers or booleans
    """

    features: tuple[Key, ...]
    targets: tuple[Key, ...]
    kinds: Mapping[Key, str]


@dataclass(frozen=True)
class Answer:
    """What a network predicts where a loss compares it with a target.

    size       the numbers in a row; of class indices, the number of classes
    indices    whether the target is class indices
    binary     whether the loss takes each number as one of two classes
    symmetric  whether the two classes of a number are -1 and 1
    """

    size: int
    indices: bool
    binary: bool
    symmetric: bool


def needed_inputs(net: Network, *, predicting: bool = False) -> Needed:
    """The inputs of a network by what they are for; only those of predictions if `predicting`."""
    fed = {source for loss in net.losses for source in sources_by_role(net.graph, loss, "target")}
    predictive = net.engine.plan(net.predictions).inputs
    needed = predictive if predicting or not net.losses else net.engine.plan(net.losses).inputs
    targets = tuple(name for name in needed if name in fed and name not in predictive)
    return Needed(tuple(name for name in needed if name not in targets), targets, input_kinds(net.graph))


def answers_of(net: Network, features: Mapping[Key, Tensor]) -> dict[Key, Answer]:
    """What is compared with each target, given the features."""
    shapes = net.shapes({name: (2, *tensor.shape[1:]) for name, tensor in features.items()})
    found: dict[Key, Answer] = {}
    kinds = input_kinds(net.graph)
    for loss in net.losses:
        operator = net.engine.loss(loss)
        for source in sources_by_role(net.graph, loss, "target"):
            for prediction in sources_by_role(net.graph, loss, "prediction")[:1]:
                shape = shapes[prediction]
                indices = kinds.get(source) == "integer"
                size = 1 if len(shape) < 2 else shape[1] if indices else torch.Size(shape[1:]).numel()
                binary = may_have_several_labels(operator)
                found[source] = Answer(size, indices, binary, operator.target_threshold == 0)
    return found


def check_trains(net: Network) -> None:
    """Raise MissingInputError for a network without a loss."""
    if not net.losses:
        raise MissingInputError(
            "The network has no loss node, which training and evaluation need: add one to the file, such as "
            '"loss": {"type": "MSELoss"}, with edges from the prediction and from an input for the target.'
        )
