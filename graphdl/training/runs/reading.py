"""What is stored of a run, to look at or to use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from graphdl.budget import MOST_BYTES
from graphdl.errors import FileFormatError, SettingError
from graphdl.model_file import DTYPES
from graphdl.network import Network
from graphdl.training.history import History
from graphdl.training.runs.folder import RunFolder

Which = Literal["best", "last"]


class Run:
    """A training run as it is stored in its folder.

    history   up to the last checkpoint
    settings  what its numbers depend on: arguments of fit, the optimizer, the nodes, digests of the data
    about     what the caller of fit has stored with it: Checkpoint(..., about={...})
    ended     whether a callback has ended it
    best      the best epoch, {"epoch", "monitor", "value"}; None if none was chosen
    epoch, batch  where the last checkpoint stands: after so many epochs, and batches of the next one
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = RunFolder(folder)
        self._manifest, self._state = self._read()
        self._model = self._folder.read_model(self._manifest)
        manifest = self._manifest
        self.folder, self.settings, self.about = self._folder.path, manifest.settings, manifest.about
        self.ended = manifest.ended
        place: Mapping[str, Any] = manifest.checkpoints[-1] if manifest.checkpoints else {"epoch": 0, "batch": 0}
        self.epoch, self.batch = place["epoch"], place["batch"]
        best = manifest.best
        self.best = None if best is None else {name: best[name] for name in ("epoch", "monitor", "value")}
        self.history = History()
        if self._state:
            self.history.restore(self._state["history"], self._state["seconds"])

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.history})"

    def _read(self) -> tuple[Any, dict[str, Any] | None]:
        """The manifest and the last state; again where a process that trains has replaced them meanwhile."""
        while True:
            manifest = self._folder.read()
            if manifest is None:
                raise FileFormatError(f"{self._folder.path} is not the folder of a run: it has no run.json.")
            if not manifest.checkpoints:
                return manifest, None
            try:
                return manifest, self._folder.read_checkpoint(manifest.checkpoints[-1])
            except FileFormatError:
                if self._folder.read() == manifest:
                    raise

    def network(self, which: Which = "last", max_bytes: int | None = None) -> Network:
        """The network of the last checkpoint, or of the best epoch.

        max_bytes  of its tensors; by default 1 GiB, or more if the checkpoint holds more

        Raises SettingError if there is none, FileFormatError if it is too large.
        """
        if which not in ("best", "last"):
            raise SettingError(f"Run.network takes 'best' or 'last', not {which!r}.")
        state, best = self._last_state(), self._manifest.best
        if which == "best" and best is None:
            raise SettingError(
                f"{self.folder} has no best epoch: none was chosen without validation data or Checkpoint(monitor=...)."
            )
        if which == "best" and best is not None:
            state = self._folder.read_checkpoint(best)
        if max_bytes is None:
            max_bytes = max(MOST_BYTES, sum(tensor.nbytes for tensor in state["network"].values()))
        dtype = DTYPES[self.settings["dtype"].removeprefix("torch.")]
        net = Network.from_dict(self._model, seed=0, dtype=dtype, max_bytes=max_bytes)
        net.load_state_dict(state["network"])
        return net.freeze(*state["frozen"])

    def stepper_state(self) -> dict[str, Any]:
        """The optimizer's state in the last checkpoint, for `stepper.load_state_dict`."""
        state: dict[str, Any] = self._last_state()["optimizer"]
        return state

    def _last_state(self) -> dict[str, Any]:
        if self._state is None:
            raise SettingError(f"{self.folder} has no checkpoint yet.")
        return self._state


def read_run(folder: str | Path) -> Run:
    """Read what is stored of a training run, also while it trains. Raises FileFormatError for damaged files.

    run = read_run("runs/disc")
    run.network("best").predict(x)
    run.history.plot("loss.svg")
    """
    return Run(folder)
