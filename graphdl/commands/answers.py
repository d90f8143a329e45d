"""Predictions of a network as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from graphdl.commands.encoding import Encoding
from graphdl.commands.target import Target
from graphdl.errors import SettingError
from graphdl.graph import Key, sources_by_role
from graphdl.network import Network


def predictions_of(net: Network, features: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Node -> its prediction."""
    found = net.predict(features)
    return found if isinstance(found, dict) else {net.predictions[0]: found}


def columns_of(net: Network, encoding: Encoding, predicted: Mapping[Key, Tensor], values: bool) -> dict[str, Any]:
    """Labels or numbers by column; with `values` also the numbers from which labels were chosen.

    Raises SettingError for predictions that are not one row of a table for each row of the data.
    """
    columns: dict[str, Any] = {}
    for node, tensor in predicted.items():
        if tensor.dim() > 2:
            raise SettingError(
                f"The prediction {node!r} has the shape {tuple(tensor.shape)}, which is not a table: write it with "
                "--output predictions.npz."
            )
        target, threshold = _compared(net, encoding, node)
        found = _numbers(str(node), tensor)
        if target is not None:
            labels = target.decoded(tensor, threshold)
            more = _numbers(target.columns[0], tensor, target) if values and target.of_classes else {}
            found = {**labels, **more}
        for name, column in found.items():
            columns[name if name not in columns else f"{name} of {node}"] = column
    return columns


def arrays_of(net: Network, encoding: Encoding, predicted: Mapping[Key, Tensor], values: bool) -> dict[str, Any]:
    """The same as arrays; predictions that are not rows of a table are left as they are."""
    deep = {str(node): tensor.numpy() for node, tensor in predicted.items() if tensor.dim() > 2}
    flat = {node: tensor for node, tensor in predicted.items() if tensor.dim() <= 2}
    return {**columns_of(net, encoding, flat, values), **deep}


def _compared(net: Network, encoding: Encoding, node: Key) -> tuple[Target | None, float]:
    """The target with which a prediction is compared, and the threshold of its loss."""
    for loss in net.losses:
        if node in sources_by_role(net.graph, loss, "prediction"):
            for source in sources_by_role(net.graph, loss, "target"):
                if str(source) in encoding.targets:
                    return encoding.targets[str(source)], net.engine.loss(loss).threshold
    return None, 0.0


def _numbers(name: str, tensor: Tensor, target: Target | None = None) -> dict[str, list[float]]:
    """The numbers of a prediction: a column for each, called after its class or its position."""
    if target is not None and tensor.dim() == 2 and len(target.columns) == tensor.shape[1]:
        return {f"{column}_value": held for column, held in zip(target.columns, tensor.T.tolist(), strict=True)}
    if tensor.dim() < 2 or tensor.shape[1] == 1:
        return {f"{name}_value" if target else name: tensor.flatten().tolist()}
    named = target is not None and len(target.classes) == tensor.shape[1]
    ends = target.classes if target is not None and named else range(tensor.shape[1])
    return {f"{name}_{end}": column for end, column in zip(ends, tensor.T.tolist(), strict=True)}
