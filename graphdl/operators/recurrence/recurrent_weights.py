"""The parameters of one recurrent layer in one direction.

They have the names and the layout of torch.nn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from graphdl.initializers import Initializer, Uniform
from graphdl.operators.operator import Parameter, Values


class Weights(NamedTuple):
    """The parameters: ih (g o, i), hh (g o, o), and the biases (g o) or None."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    @property
    def bias(self) -> Tensor | None:
        """The sum of both biases."""
        return None if self.bias_ih is None or self.bias_hh is None else self.bias_ih + self.bias_hh


def weights(p: Values, suffix: str) -> Weights:
    """The parameters of a layer, whose names end in `suffix`."""
    return Weights(
        p[f"weight_ih{suffix}"], p[f"weight_hh{suffix}"], *(p.get(f"bias_{w}{suffix}") for w in ("ih", "hh"))
    )


def layer_parameters(
    gates: int, i: int, o: int, weight: Initializer | None, bias: bool | Initializer, suffix: str
) -> dict[str, Parameter]:
    """The parameters of a layer, by default Uniform ±1 / sqrt(o) as in torch.nn."""
    bound = 1 / math.sqrt(max(o, 1))
    usual = Uniform(-bound, bound)
    found = {f"weight_ih{suffix}": Parameter((gates * o, i), weight or usual)}
    found[f"weight_hh{suffix}"] = Parameter((gates * o, o), weight or usual)
    if bias is not False:
        first = Parameter((gates * o,), usual if bias is True else bias)
        found |= {f"bias_ih{suffix}": first, f"bias_hh{suffix}": first}
    return found
