"""Checks of the values of targets: once, on the data, because steps do not look at them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphdl.errors import GraphDLWarning, SettingError, level_outside
from graphdl.graph import Key, sources_by_role
from graphdl.operators import Loss

if TYPE_CHECKING:
    from graphdl.graph.build import Graph


@torch.no_grad()
def check_targets(graph: Graph, losses: tuple[Key, ...], inputs: Mapping[Key, Tensor]) -> None:
    """Raise SettingError for targets for which their loss is not defined; warn of values that are probably mistakes.

    Only inputs that feed nothing but targets are looked at.
    """
    for key in losses:
        loss: Loss = graph.nodes[key]["operator"]
        for name in sources_by_role(graph, key, "target"):
            if name not in inputs or not inputs[name].numel() or len(graph.out_edges(name)) > 1:
                continue
            where = f"{key} ({type(loss).__name__}): the target {name!r} "
            try:
                advice = loss.check_target(inputs[name])
            except SettingError as error:
                raise SettingError(f"{where}{error}.") from None
            if advice:
                warnings.warn(f"{where}{advice}.", GraphDLWarning, stacklevel=level_outside())
