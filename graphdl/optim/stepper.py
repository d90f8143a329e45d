"""An optimizer bound to a network: its state, and the count of its updates."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from graphdl.errors import MissingInputError, SettingError, did_you_mean, listing
from graphdl.graph import Key
from graphdl.network import Network
from graphdl.optim.advice import OF_STEPPERS, LoopWatch, check_formula, refuse_habit
from graphdl.optim.gradients import Gathering
from graphdl.optim.moves import Moves
from graphdl.optim.numbers import State, Variant
from graphdl.optim.penalties import Penalty
from graphdl.optim.pieces import Memory
from graphdl.optim.selection import check_names
from graphdl.optim.writing import FirstUpdate, initial_state, owned
from graphdl.parameters import Name, ParameterStore, like

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer

ROWS_AHEAD = 1000
"""For how many updates numbers that no schedule changes are made at once."""


class Stepper:
    """An optimizer bound to a network. A training step is forward, backward, step.

    A parameter is updated if it is not frozen and the last backward pass reached it.

    >>> from graphdl import Linear, MSELoss, Network
    >>> from graphdl.optim import SGD
    >>> net = Network({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"], "y": ["loss"]}, seed=0)
    >>> stepper = SGD(lr=0.1).bind(net)
    >>> for _ in range(3):
    ...     loss = net.forward({"x": torch.ones(4, 2), "y": torch.ones(4, 1)})["loss"]
    ...     _ = net.backward()
    ...     stepper.step()
    >>> stepper.steps
    3
    """

    def __init__(self, optimizer: Optimizer, net: Network) -> None:
        if not hasattr(net, "engine"):
            raise SettingError(
                f"{type(optimizer).__name__}.bind takes a graphdl.Network, not a {type(net).__module__}."
                f"{type(net).__name__}: Adam(lr=1e-3).bind(net)."
            )
        self.optimizer, self.net = optimizer, net
        self._scale, self._steps = 1.0, 0
        self._count = torch.zeros((), device="cpu")
        self._variants: list[Variant] = []
        self._by_name: dict[Name, Variant] = {}
        self._state: State | None = None
        self._ahead = 0, 0.0, torch.empty(0, 0)
        self._first, self._watch = FirstUpdate(), LoopWatch()
        self._moves: Moves
        self._bound: Any = None
        if isinstance(net, Network) and net.engine.built:
            self._choose(net.engine.store)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise UnknownAttributeError, with advice for what optimizers of torch have."""
            refuse_habit(self, name, OF_STEPPERS)

    def __setattr__(self, name: str, value: object) -> None:
        if name in OF_STEPPERS:
            refuse_habit(self, name, OF_STEPPERS)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Stepper({self.optimizer}, {self.steps} steps)"

    @property
    def steps(self) -> int:
        """The number of updates made."""
        return self._steps

    @property
    def scale(self) -> float:
        """A factor of every learning rate, schedules included: 1 by default."""
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise SettingError(f"scale multiplies the learning rates and must be a number, 0 or more, not {value!r}.")
        self._scale = float(value)

    def step(
        self,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        """Update the parameters by the gradients in `net.gradients`, which are not changed.

        clip_norm   scales all gradients so that their total norm is at most this
        clip_value  clamps every element to ±clip_value, before that
        accumulate  makes an update only after this number of calls, by the mean of their gradients; `finish` makes an
                    update of the remaining calls
        penalties   terms such as L2(1e-3), whose gradients are added before clipping
        """
        if not self.net.gradients:
            raise MissingInputError(
                "step needs gradients of its network: call net.forward(inputs) and net.backward() first."
            )
        settings = clip_norm, clip_value, accumulate, penalties
        self._watch.step(self.net.engine, self._steps)
        if self._bound != (self.net.engine.version, self.net.reached, *settings):
            self._bind(*settings)
        with torch.no_grad():
            self._moves.step([self.net.gradients[extent.full_name] for extent in self._moves.extents])

    def finish(self) -> None:
        """Make an update of the batches that step(accumulate=...) has accumulated since the last one, if any."""
        if self._bound is not None:
            with torch.no_grad():
                self._moves.finish()

    def _bind(self, *settings: Any) -> None:
        """Create the calls that `step` makes."""
        if self._bound is not None and self._moves.pending:
            raise SettingError(
                "step(accumulate=...): the trained parameters or a setting changed, and "
                f"no update has been made of the last {self._moves.pending} of the batches. Change it after an update; "
                "stepper.finish() makes one."
            )
        engine, reached = self.net.engine, self.net.reached
        first, self._moves = self._bound is None, self.moves(reached, gathering=Gathering(*settings))
        if first and not self._steps:
            LoopWatch.bound(engine, len(self._held()), type(self.optimizer).__name__)
        self._bound = engine.version, reached, *settings

    def count_step(self) -> None:
        """Count an update, before it is made."""
        for variant in self._variants:
            variant.set(self._steps, self._scale)
        self._steps += 1
        self._count.fill_(self._steps)

    def advance(self, count: int) -> None:
        """Count updates that compiled code made by `numbers`."""
        self._steps += count
        self._count.fill_(self._steps)

    @torch.inference_mode(False)
    @torch.no_grad()
    def moves(self, nodes: Iterable[Key], together: Collection[Key] = (), gathering: Gathering | None = None) -> Moves:
        """The calls that update the parameters of these nodes; those in `together` form a group even if large.

        gathering  operations on all gradients
        """
        state, store = self._held(), self._store
        memory = Memory(store, state, self._by_name, self._count, self._width, self._first)
        return Moves(self, memory, nodes, together, gathering or None)

    @property
    def _store(self) -> ParameterStore:
        """The tensors of the network."""
        return self.net.engine.store

    @property
    def _width(self) -> int:
        return sum(len(variant.names) for variant in self._variants) + 1

    def numbers(self, count: int) -> Tensor:
        """The numbers of the next updates, one row each in double precision, for `Moves.formula`."""
        if not self._variants:
            self._held()
        (start, scale, rows), device = self._ahead, self._store.flat.device
        held = start <= self._steps <= start + rows.shape[0] - max(count, 1)
        if not held or scale != self._scale or rows.device != device:
            scheduled = any(variant.schedules for variant in self._variants)
            rows = self._rows(count if scheduled else max(count, ROWS_AHEAD)).to(device)
            start, _, _ = self._ahead = self._steps, self._scale, rows
        return rows[self._steps - start : self._steps - start + count]

    def _rows(self, count: int) -> Tensor:
        """The numbers of the next updates."""
        steps = range(self._steps, self._steps + count)
        first = [variant.number(name, self._steps, self._scale) for variant in self._variants for name in variant.names]
        rows = torch.tensor([*first, 0.0], dtype=torch.float64, device="cpu").repeat(count, 1)
        for variant in self._variants:
            for k, name in enumerate(variant.names, variant.column):
                if name in variant.schedules:
                    values = [variant.number(name, step, self._scale) for step in steps]
                    rows[:, k] = torch.tensor(values, dtype=torch.float64)
        torch.arange(steps.start + 1, steps.stop + 1, out=rows[:, -1])
        return rows

    def memory(self) -> tuple[State, Tensor]:
        """The optimizer's state, as vectors of all parameters, and the count of updates on the device."""
        return self._held(), self._count

    def _choose(self, store: ParameterStore) -> None:
        """Find the settings of each parameter."""
        nodes = self.optimizer.selection
        check_names(nodes, store.extents, [*store.by_node, *getattr(self.net, "order", ())])
        found: dict[tuple[Key, ...], Variant] = {}
        for extent in store.extents:
            keys = nodes.fitting(extent)
            if keys not in found:
                variant = Variant(nodes.variant(self.optimizer, keys) if keys else self.optimizer, self._width - 1)
                check_formula(variant)
                self._variants.append(variant)
                found[keys] = variant
            self._by_name[extent.node, extent.name] = found[keys]

    @torch.inference_mode(False)
    @torch.no_grad()
    def _held(self) -> State:
        """The optimizer's state, created if needed, on the device of the network."""
        store = self._store
        flat = store.flat
        if not self._variants:
            self._choose(store)
        state = self._new_state(store) if self._state is None else self._state
        self._state = tuple(vector.to(flat.device, flat.dtype) for vector in state)
        self._count = self._count.to(flat.device)
        return self._state

    def _new_state(self, store: ParameterStore) -> State:
        """The optimizer's state before the first update."""
        if len(self._variants) == 1 and self.optimizer.elementwise:
            (variant,) = self._variants
            found = owned(initial_state(variant.optimizer, store.flat), store.flat)
            variant.kept = len(found)
            return found
        memory = Memory(store, (), self._by_name, self._count, self._width, self._first)
        vectors: list[Tensor] = []
        for stretch in memory.stretches(store.extents):
            variant, part = memory.variant(stretch), slice(stretch[0].start, stretch[-1].stop)
            found = initial_state(variant.optimizer, memory.views(stretch)[0])
            variant.kept = len(found)
            vectors += [torch.zeros_like(store.flat) for _ in found[len(vectors) :]]
            for vector, initial in zip(vectors, found, strict=False):
                vector[part] = initial.reshape(-1)
        return tuple(vectors)

    def state_dict(self) -> dict[str, Any]:
        """A copy of the stepper's state, to resume training later: plain numbers and tensors.

        "optimizer" is the class name, "step" the count of updates, "scale" the attribute, and "fc1.weight.1" the first
        state tensor of the parameter "fc1.weight". It does not hold the settings: bind an equal optimizer to resume.
        """
        kept = {name: tensor.clone() for name, tensor in self._kept().items()}
        return {"optimizer": type(self.optimizer).__name__, "step": self.steps, "scale": self.scale, **kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; nothing changes if it belongs to another network or optimizer."""
        if not isinstance(state, Mapping):
            raise SettingError(f"load_state_dict takes what stepper.state_dict() returned, not {state!r:.200}.")
        named, kept = type(self.optimizer).__name__, self._kept()
        expected = ["optimizer", "step", "scale", *kept]
        if missing := [name for name in expected if name not in state]:
            raise MissingInputError(f"load_state_dict: the state of {named} has no {listing(missing)}.")
        if state["optimizer"] != named:
            raise SettingError(f"load_state_dict: the state belongs to {state['optimizer']}, not to {named}.")
        for name in state:
            if name not in expected:
                meant = did_you_mean(name, expected)
                raise SettingError(f"load_state_dict: {named} has no state called {name!r} for this network.{meant}")
        step = state["step"]
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise SettingError(f"load_state_dict: step must be a number of updates, 0 or more, not {step!r}.")
        values = {name: like(name, held, state[name]) for name, held in kept.items()}
        self.scale = state["scale"]
        for name, held in kept.items():
            held.copy_(values[name])
        self._steps = step
        self._count.fill_(step)

    def _kept(self) -> dict[str, Tensor]:
        """The optimizer's state tensors of each parameter, by name."""
        state = self._held()
        return {
            f"{extent.full_name}.{k}": extent.view(vector)
            for extent in self._store.extents
            for k, vector in enumerate(state[: self._by_name[extent.node, extent.name].kept], 1)
        }
