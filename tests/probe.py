"""An operator that counts its calls, for the tests of what is run."""

from collections import Counter
from dataclasses import dataclass, field

from graphdl import Operator


@dataclass(frozen=True)
class Probe(Operator):
    """Passes values on and counts its calls."""

    calls: Counter = field(default_factory=Counter, compare=False)

    def forward(self, p, x, *, training):
        self.calls["forward"] += 1
        return x, None

    def backward(self, p, saved, dy):
        self.calls["backward"] += 1
        return (dy,), {}
