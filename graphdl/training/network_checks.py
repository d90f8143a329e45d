"""What training and evaluation need of a network."""

from __future__ import annotations

import warnings

from graphdl.errors import GraphDLWarning, MissingInputError, SettingError, did_you_mean, level_outside, listing
from graphdl.graph import ancestors
from graphdl.network import Network


def check_losses(net: object, caller: str, instead: str = "") -> None:
    """Raise SettingError for what is not a network, and MissingInputError for one without a loss."""
    if not isinstance(net, Network):
        kind = f"{type(net).__module__}.{type(net).__name__}"
        raise SettingError(
            f"{caller} takes a graphdl.Network first, not an instance of {kind}: make one by Network(operators, "
            "connectivity)."
        )
    if not net.losses:
        raise MissingInputError(
            f"{caller} needs a loss, and the network has no loss node: add one, such as MSELoss(){instead}."
        )


def check_network(net: Network, caller: str) -> None:
    """Raise SettingError for what is not a network, MissingInputError unless it has a loss that needs an input.

    Warn of parameters that lead to no loss, since an edge may be misspelt.
    """
    check_losses(net, caller)
    engine = net.engine
    if not engine.plan(net.losses).inputs:
        raise MissingInputError(
            f"{caller} needs rows, and the losses of the network need no input. Make steps with net.forward(), "
            "net.backward() and a stepper, optimizer.bind(net)."
        )
    leading = {net.graph.nodes[key]["owner"] for key in ancestors(net.graph, net.losses)}
    for key, operator in engine.operators.items():
        if key in leading or key in engine.frozen or (operator.complete and not operator.parameters()):
            continue
        named = [name for name in engine.inputs if name not in engine.operators]
        warnings.warn(
            f"{key} ({type(operator).__name__}) has parameters and leads to no loss, so it is not trained."
            f"{did_you_mean(key, named)} The inputs are {listing(map(repr, engine.inputs))}: check whether one of them "
            f"is a misspelt node, or an edge is missing. If this is intended, call net.freeze({key!r}).",
            GraphDLWarning,
            stacklevel=level_outside(),
        )
