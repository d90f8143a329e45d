from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import networkx
import pytest

from graphdl.rendering import NodeFacts

Connect = Callable[..., Any]


def connect_nodes(connectivity: Mapping[Any, Sequence[Any]], implicit: Mapping[Any, Any] | None = None) -> Any:
    """A graph as the network hands it over; a consumer may be (key, {"slot_name": ..., "gradient": ...})."""
    graph: Any = networkx.MultiDiGraph()
    slots: dict[Any, int] = {}
    for tail, heads in connectivity.items():
        graph.add_node(tail)
        for head in heads:
            key, given = head if isinstance(head, tuple) else (head, {})
            slots[key] = slots.get(key, -1) + 1
            graph.add_edge(tail, key, **({"slot": slots[key], "slot_name": None, "gradient": 1.0} | given))
    for key, names in (implicit or {}).items():
        graph.add_node(key, implicit=names)
    return graph


def linear(inputs: int = 25, outputs: int = 25, **changes: Any) -> NodeFacts:
    given: dict[str, Any] = {
        "operator": "Linear",
        "family": "dense",
        "settings": f"{inputs} → {outputs}",
        "parameters": inputs * outputs + outputs,
        "shape": (outputs,),
        "dtype": "f32",
    }
    return NodeFacts("operator", **(given | changes))


def plain(operator: str, family: str = "activation", **changes: Any) -> NodeFacts:
    return NodeFacts("operator", operator, family, **({"shape": (25,)} | changes))


INPUT = NodeFacts("input", shape=(2,), dtype="f32")
LOSS = NodeFacts("loss", "MSELoss", "loss")


def mlp() -> tuple[Any, dict[Any, NodeFacts]]:
    graph = connect_nodes(
        {
            "x": ["fc1"],
            "fc1": ["tanh"],
            "tanh": ["fc2"],
            "fc2": [("loss", {"slot_name": "prediction"})],
            "target": [("loss", {"slot_name": "target"})],
        }
    )
    facts = {"x": INPUT, "fc1": linear(2, 25), "tanh": plain("Tanh"), "fc2": linear(25, 2)}
    return graph, facts | {"target": INPUT, "loss": LOSS}


def residual_blocks(number: int, mask: bool = False) -> tuple[Any, dict[Any, NodeFacts]]:
    connectivity: dict[Any, list[Any]] = {"mask": []} if mask else {}
    connectivity |= {"x": ["embed"], "embed": []}
    facts = {"mask": INPUT, "x": INPUT, "embed": linear()}
    previous = "embed"
    for index in range(number):
        fc, act, add = (f"block{index}/{name}" for name in ("mlp/fc", "mlp/act", "sum"))
        connectivity[previous] += [fc, add]
        connectivity |= {fc: [act], act: [add], add: []}
        if mask:
            connectivity["mask"].append(add)
        facts |= {fc: linear(), act: plain("ReLU"), add: plain("Sum", "merge")}
        previous = add
    connectivity |= {previous: ["head"], "head": ["loss"], "target": ["loss"]}
    return connect_nodes(connectivity), facts | {"head": linear(25, 2), "loss": LOSS, "target": INPUT}


@pytest.fixture
def connect() -> Connect:
    return connect_nodes


@pytest.fixture
def operator() -> Callable[..., NodeFacts]:
    return plain


@pytest.fixture
def dense() -> Callable[..., NodeFacts]:
    return linear


@pytest.fixture
def perceptron() -> tuple[Any, dict[Any, NodeFacts]]:
    return mlp()


@pytest.fixture
def blocks() -> Callable[..., tuple[Any, dict[Any, NodeFacts]]]:
    return residual_blocks
