"""The network of an estimator: a default perceptron, or what the user declares."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from graphdl.errors import GraphDLError, SettingError, did_you_mean, listing
from graphdl.graph import Feed, Key, sources_by_role
from graphdl.network import Network
from graphdl.operators import ELU, GELU, Identity, Linear, Loss, Operator, ReLU, Sigmoid, SiLU, Tanh

ACTIVATIONS: dict[str, type[Operator]] = {
    "relu": ReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,
    "gelu": GELU,
    "elu": ELU,
    "silu": SiLU,
    "identity": Identity,
}
FORMS = "give a function (n_features, n_outputs) -> network, a Network, or a pair (operators, connectivity)"

Pair = tuple[dict[Key, Any], dict[Key, Any]]


class Ends(NamedTuple):
    """Where data enter a network and predictions leave it."""

    input: Key
    target: Key
    prediction: Key
    loss: Loss


def perceptron(features: int, hidden: Sequence[int], activation: Any, outputs: int) -> Pair:
    """Linear layers of these sizes with activations between: fc1, act1, fc2, ..., out."""
    if isinstance(hidden, (str, Mapping)) or not isinstance(hidden, Sequence):
        raise SettingError(f"hidden must be a tuple of sizes such as (100,), not {hidden!r:.200}.")
    operators: dict[Key, Any] = {}
    for k, (size, following) in enumerate(zip((features, *hidden), hidden, strict=False), start=1):
        operators[f"fc{k}"] = Linear(size, following)
        operators[f"act{k}"] = _activation(activation)
    operators["out"] = Linear((features, *hidden)[-1], outputs)
    chain = ["x", *operators]
    return operators, {node: [fed] for node, fed in pairwise(chain)}


def _activation(given: Any) -> Operator:
    if isinstance(given, Operator):
        return given
    if not isinstance(given, str) or given not in ACTIVATIONS:
        raise SettingError(
            f"activation must be {listing(map(repr, ACTIVATIONS))}, or an operator such as ReLU(), not {given!r:.200}."
            f"{did_you_mean(given, ACTIVATIONS)}"
        )
    return ACTIVATIONS[given]()


def declared(given: Any, features: int, outputs: int, seed: int, device: Any, dtype: torch.dtype) -> Network:
    """The network that the user gave as a function, a Network, of which it is a copy, or a pair of dictionaries."""
    if callable(given) and not isinstance(given, (Network, type)):
        try:
            given = given(features, outputs)
        except GraphDLError as error:
            raise type(error)(f"network({features}, {outputs}): {error}") from error
    elif isinstance(given, Network):
        given = copy.deepcopy(given)
    if isinstance(given, Network):
        return given.to(device, dtype)
    if isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(each, Mapping) for each in given):
        return Network(*given, seed=seed, device=device, dtype=dtype)
    raise SettingError(f"network is {given!r:.200}: {FORMS}, or None for a perceptron of the sizes in hidden.")


def with_loss(net: Network, loss: Loss | None, default: Loss, seed: int) -> Network:
    """A network that has a loss: the given or the default one is added behind the only output of one that has none."""
    if net.losses:
        if loss is not None:
            raise SettingError(
                f"loss={loss!r} was given, and the network has the loss {net.losses[0]!r}: remove one of them."
            )
        return net
    if loss is not None and not isinstance(loss, Loss):
        raise SettingError(f"loss must be a loss such as {default!r}, not {loss!r:.200}.")
    if len(net.outputs) != 1:
        raise SettingError(
            f"The network has {len(net.outputs)} outputs, {listing(net.outputs)}, and no loss: add the loss to the "
            "network, so that it says which of them is the prediction."
        )
    taken = {*net.operators, *net.connectivity, *net.graph}
    if used := taken & {"loss", "target"}:
        raise SettingError(f"The network has no loss, and a node named {used.pop()!r}: rename it, or add a loss.")
    feeds = {net.outputs[0]: (Feed("loss", slot=0),), "target": (Feed("loss", slot=1),)}
    whole = Network(
        {**net.operators, "loss": loss or default},
        {**net.connectivity, **feeds},
        seed=seed,
        device=net.device,
        dtype=net.dtype,
    )
    whole.engine.freeze(net.engine.frozen, frozen=True)
    if net.engine.built:
        whole.load_state_dict(net.state_dict())
    return whole


def ends_of(net: Network) -> Ends:
    """Where a network takes rows and targets, and its prediction. Raises SettingError unless there is one of each."""
    needed = net.engine.plan(net.losses).inputs
    fed = {loss: sources_by_role(net.graph, loss, "target") for loss in net.losses}
    targets = dict.fromkeys(source for sources in fed.values() for source in sources if source in needed)
    inputs = [name for name in needed if name not in targets]
    for what, found in (("for the rows", inputs), ("for the targets", list(targets))):
        if len(found) != 1:
            raise SettingError(
                f"An estimator needs a network with one input {what}, and it has {len(found)}: "
                f"{listing(map(repr, found)) or 'none'}."
            )
    target = next(iter(targets))
    loss = next(key for key, sources in fed.items() if target in sources)
    prediction = sources_by_role(net.graph, loss, "prediction")
    if len(prediction) != 1:
        raise SettingError(f"The loss {loss!r} must have one prediction, and it has {len(prediction)}.")
    return Ends(inputs[0], target, prediction[0], net.engine.loss(loss))
