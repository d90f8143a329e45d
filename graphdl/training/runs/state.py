"""The state of a training run: all that its further course depends on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Generator

from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training.epochs import CompiledEpoch, SteppedEpoch
from graphdl.training.history import History
from graphdl.training.hooks import Callbacks
from graphdl.training.runs.generators import Held, restore
from graphdl.training.step import TrainingStep


@dataclass(frozen=True)
class Parts:
    """What fit trains with; `generator` draws the order of the rows, `held` are those of the data."""

    net: Network
    stepper: Stepper
    step: TrainingStep
    train: SteppedEpoch | CompiledEpoch
    calls: Callbacks
    history: History
    generator: Generator
    held: Sequence[Held] = ()

    def state(self) -> dict[str, Any]:
        """All that training depends on, between two steps, except where it stands in an epoch."""
        history = self.history
        return {
            "network": self.net.state_dict(),
            "frozen": self.frozen,
            "optimizer": self.stepper.state_dict(),
            "callbacks": [each.state_dict() if is_stateful(each) else None for each in self.calls.given],
            "history": {name: list(values) for name, values in history.items()},
            "seconds": history.seconds,
            "generators": self.generators(),
            "threads": torch.get_num_threads(),
            "compiled": self.train.state_dict(),
        }

    @property
    def frozen(self) -> list[Key]:
        """The nodes that are frozen."""
        return sorted(self.net.engine.frozen, key=repr)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state, whose history was restored before."""
        engine, frozen = self.net.engine, set(state["frozen"])
        engine.freeze(frozen - engine.frozen, frozen=True)
        engine.freeze(engine.frozen - frozen, frozen=False)
        self.net.load_state_dict(state["network"])
        self.stepper.load_state_dict(state["optimizer"])
        for callback, stored in zip(self.calls.given, state["callbacks"], strict=True):
            if stored is not None:
                callback.load_state_dict(stored)
        self.train.load_state_dict(state["compiled"])
        self.step.threads = self.step.threads or state["threads"]  # rounding depends on it
        self.set_generators(state["generators"])

    def generators(self, in_step: bool = True) -> dict[str, Any]:
        """The states of all random generators; `in_step` includes the one on a GPU, which the first step makes."""
        engine, states = self.net.engine, dict[str, Any]()
        if in_step and self.net.device.type not in ("cpu", "meta"):
            states["device"] = engine.chance.get_state()
        states["network"] = self.net.generator.get_state()
        if self.generator is not self.net.generator:
            states["order"] = self.generator.get_state()
        numbers = numpy.random.get_state(legacy=False)
        states["inputs"] = [each.state for each in self.held]
        return {**states, "torch": torch.get_rng_state(), "numpy": numbers, "python": random.getstate()}

    def set_generators(self, states: Mapping[str, Any]) -> None:
        """Restore the states of the generators."""
        if "device" in states:
            self.net.engine.chance.set_state(states["device"])
        self.net.generator.set_state(states["network"])
        if "order" in states:
            self.generator.set_state(states["order"])
        restore(self.held, states["inputs"])
        torch.set_rng_state(states["torch"])
        numpy.random.set_state(states["numpy"])
        random.setstate(states["python"])


def is_stateful(callback: object) -> bool:
    """Whether the state of a callback can be stored."""
    return hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict")
