"""The state of a member at an epoch end: plain data and tensors, to continue elsewhere or later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphdl.search.member import Member
from graphdl.search.run import Run


@dataclass(frozen=True)
class RunState:
    """A member's outcome so far and, if it has not ended, all that its training depends on.

    facts    plain data for JSON: state, error, kept, way, history, seconds; numbers of stepper and callbacks
    tensors  "net.fc1.weight", "stepper.fc1.weight.1", "callback 0.best.fc1.weight", "order", "chance"
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def ended(self) -> bool:
        """Whether the member's training has come to an end."""
        return "stepper" not in self.facts


def can_continue(run: Run) -> bool:
    """Whether the state of its callbacks can be stored, by `state_dict` and `load_state_dict`."""
    return all(hasattr(each, "state_dict") and hasattr(each, "load_state_dict") for each in run.callbacks.given)


def state_of(run: Run) -> RunState:
    """The state of a run at an epoch end."""
    member = run.member
    facts: dict[str, Any] = {
        "state": member.state, "error": member.error, "kept": member.kept, "way": member.way,
        "history": {name: list(values) for name, values in member.history.items()}, "seconds": member.history.seconds,
    }  # fmt: skip
    tensors: dict[str, Tensor] = {}
    _split("net.", member.net.state_dict(), tensors)
    if not member.ended:
        facts["stepper"] = _split("stepper.", run.stepper.state_dict(), tensors)
        facts["callbacks"] = [
            _split(f"callback {k}.", each.state_dict(), tensors) for k, each in enumerate(run.callbacks.given)
        ]
        tensors["order"] = run.generator.get_state()
        tensors["chance"] = member.net.engine.chance.get_state()
    return RunState(facts, tensors)


def restore(member: Member, state: RunState) -> None:
    """Give a member the outcome of a state, and its network the parameters and buffers."""
    facts, history = state.facts, member.history
    member.state, member.error = facts["state"], facts["error"]
    member.kept, member.way = facts["kept"], facts["way"]
    for name, values in facts["history"].items():
        for value in values[len(history[name]) if name in history else 0 :]:
            history.append({name: value})
    history.seconds = facts["seconds"]
    member.net.load_state_dict(_joined("net.", {}, state.tensors))


def resume(run: Run, state: RunState) -> None:
    """Continue a run from a state."""
    restore(run.member, state)
    run.keep()
    if state.ended:
        return
    run.callbacks.start(run.member.net, run.stepper, run.member.history)
    for k, (callback, facts) in enumerate(zip(run.callbacks.given, state.facts["callbacks"], strict=True)):
        callback.load_state_dict(_joined(f"callback {k}.", facts, state.tensors))
    run.stepper.load_state_dict(_joined("stepper.", state.facts["stepper"], state.tensors))
    run.generator.set_state(state.tensors["order"])
    run.member.net.engine.chance.set_state(state.tensors["chance"])


def _split(prefix: str, state: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The plain values of a state; its tensors are added under names with a prefix."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().clone()
    return {name: value for name, value in state.items() if not isinstance(value, Tensor)}


def _joined(prefix: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {**facts, **found}


def bytes_of(tensor: Tensor) -> bytes:
    """The memory of a tensor, for a digest."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
