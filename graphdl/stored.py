"""How a network is stored: plain data, files and pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, cast

import torch

from graphdl import model_file, serialization
from graphdl.arguments import Device
from graphdl.budget import MOST_BYTES


class Stored:
    """The methods of a Network that store it."""

    def to_dict(self: Any) -> dict[str, Any]:
        """The two dictionaries as plain data for JSON, with the inferred sizes. Operators must be registered."""
        return serialization.to_dict(self.operators, self.connectivity)

    @classmethod
    def from_dict(
        cls, data: object, *, seed: int | None = None, device: Device = "cpu", dtype: torch.dtype = torch.float32,
        max_bytes: int = MOST_BYTES,
    ) -> Self:  # fmt: skip
        """The network of a dictionary that `to_dict` returned. Raises FileFormatError for another, as `load` does."""
        return cast("Self", model_file.of_dictionary(cls, data, seed, device, dtype, max_bytes))

    def save(self, path: str | Path) -> Path:
        """Write a model file, *.graphdl, with all state; or a .json file, the two dictionaries. Return the path."""
        return model_file.save(self, Path(path))

    @classmethod
    def load(
        cls, path: str | Path, *, seed: int | None = None, device: Device = "cpu", dtype: torch.dtype | None = None,
        max_bytes: int = MOST_BYTES,
    ) -> Self:  # fmt: skip
        """The network of a model file or a JSON file. No code of a file is run, nor anything made before it is checked.

        seed       of first parameters and random numbers, for those of the file
        dtype      None is that of the file, and float32 for JSON
        max_bytes  of the tensors, and of 32 times the JSON; 1 GiB. Device "meta" makes no tensors, and has no limit

        Raises FileFormatError for a file that is damaged, too large, or does not describe a network.
        """
        return cast("Self", model_file.load(cls, Path(path), seed, device, dtype, max_bytes))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the two dictionaries and the state; recorded values are left out."""
        return serialization.reduced(self)
