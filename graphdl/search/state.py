"""The state of a member at an epoch end: plain data and tensors, to continue elsewhere or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphdl.search.member import Member
from graphdl.search.run import Run
from graphdl.training.runs.state import is_stateful


@dataclass(frozen=True)
class RunState:
    """A member's outcome so far and, if it has not ended, all that its training depends on.

    values  state, error, kept, way, history, seconds, network; of training: stepper, callbacks, order, chance
    """

    values: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the member's training has come to an end."""
        return "stepper" not in self.values


def can_continue(run: Run) -> bool:
    """Whether the state of its callbacks can be stored, by `state_dict` and `load_state_dict`."""
    return all(map(is_stateful, run.callbacks.given))


def state_of(run: Run) -> RunState:
    """The state of a run at an epoch end."""
    member = run.member
    values: dict[str, Any] = {
        "state": member.state, "error": member.error, "kept": member.kept, "way": member.way,
        "history": {name: list(values) for name, values in member.history.items()}, "seconds": member.history.seconds,
        "network": member.net.state_dict(),
    }  # fmt: skip
    if not member.ended:
        values["stepper"] = run.stepper.state_dict()
        values["callbacks"] = [each.state_dict() for each in run.callbacks.given]
        values["order"] = run.generator.get_state()
        values["chance"] = member.net.engine.chance.get_state()
    return RunState(values)


def restore(member: Member, state: RunState) -> None:
    """Give a member the outcome of a state, and its network the parameters and buffers."""
    values, history = state.values, member.history
    member.state, member.error = values["state"], values["error"]
    member.kept, member.way = values["kept"], values["way"]
    for name, figures in values["history"].items():
        for figure in figures[len(history[name]) if name in history else 0 :]:
            history.append({name: figure})
    history.seconds = values["seconds"]
    member.net.load_state_dict(values["network"])


def resume(run: Run, state: RunState) -> None:
    """Continue a run from a state."""
    restore(run.member, state)
    run.keep()
    if state.ended:
        return
    run.callbacks.start(run.member.net, run.stepper, run.member.history)
    for callback, stored in zip(run.callbacks.given, state.values["callbacks"], strict=True):
        callback.load_state_dict(stored)
    run.stepper.load_state_dict(state.values["stepper"])
    run.generator.set_state(state.values["order"])
    run.member.net.engine.chance.set_state(state.values["chance"])
