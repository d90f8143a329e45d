"""The stepper of an optimizer whose updates couple all parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, UnknownNodeError, did_you_mean
from graphdl.graph import Key
from graphdl.optim.gradients import Gathering
from graphdl.optim.moves import Moves
from graphdl.optim.numbers import State
from graphdl.optim.stepper import Stepper
from graphdl.optim.writing import initial_state, owned
from graphdl.parameters import Extent, ParameterStore


class JointStepper(Stepper):
    """A stepper whose state belongs to all parameters that are trained together.

    If others are trained, because nodes were frozen or unfrozen, the state is reset.
    """

    _coupled: tuple[str, ...] = ()

    def moves(self, nodes: Iterable[Key], together: Collection[Key] = (), gathering: Gathering | None = None) -> Moves:
        """The calls that update the parameters of these nodes, all in one group."""
        nodes = list(nodes)
        self._couple([extent for run in self._store.runs(nodes) for extent in run])
        return super().moves(nodes, together, gathering)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _couple(self, extents: Sequence[Extent]) -> None:
        """Create the state of these parameters, unless it exists."""
        self._held()
        names = tuple(extent.full_name for extent in extents)
        if names != self._coupled:
            flat = self._store.flat
            w = torch.cat([flat[:0], *(flat[extent.start : extent.stop] for extent in extents)])
            self._state, self._coupled = owned(initial_state(self.optimizer, w), w), names

    def _new_state(self, store: ParameterStore) -> State:
        """Nothing, until the trained parameters are known."""
        return ()

    def _kept(self) -> dict[str, Tensor]:
        """The optimizer's state tensors, by name."""
        return {f"state.{k}": tensor for k, tensor in enumerate(self._held(), 1)}

    def state_dict(self) -> dict[str, Any]:
        """A copy of the stepper's state: "parameters" are the names of those it couples, "state.1" its first tensor."""
        return {**super().state_dict(), "parameters": list(self._coupled)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; nothing changes if it belongs to another network or optimizer."""
        if not isinstance(state, Mapping) or state.get("optimizer") != type(self.optimizer).__name__:
            return super().load_state_dict(state)
        known = {extent.full_name: extent for extent in self._store.extents}
        if "parameters" not in state:
            raise MissingInputError(f"load_state_dict: the state of {state['optimizer']} has no parameters.")
        for name in state["parameters"]:
            if name not in known:
                raise UnknownNodeError(f"load_state_dict: no parameter is called {name!r}.{did_you_mean(name, known)}")
        before = self._state, self._coupled
        try:
            self._couple([known[name] for name in state["parameters"]])
            super().load_state_dict({name: value for name, value in state.items() if name != "parameters"})
        except BaseException:
            self._state, self._coupled = before
            raise
