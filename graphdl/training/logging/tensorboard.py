"""Training in TensorBoard: curves, histograms, the diagram and the settings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch

from graphdl import rendering
from graphdl.errors import DrawingError, SettingError, import_optional
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.settings import flag, size
from graphdl.training.history import History
from graphdl.training.logging.entry import EpochEntry, Logger
from graphdl.training.logging.norms import Probe

VALIDATION = "validation_"
MOST_DRAWN = 200
"""The diagram of a network of more nodes is left out: Graphviz would need minutes."""


class TensorBoard(Logger):
    """Writes what TensorBoard shows: `tensorboard --logdir folder`.

    folder      of this training; losses and metrics of validation are in its subfolder "validation", under the same
                names, so that TensorBoard draws them into the same charts
    histograms  writes histograms of the parameters, and of their gradients on `data`
    data        (inputs, targets), or {name: tensor}, on which the gradients are computed
    every       the number of epochs between two entries; the last epoch is always written
    diagram     writes the diagram of the network as a picture, for networks of up to 200 nodes where Graphviz is
                installed
    settings    what else describes the training, {name: value}, written as a text beside optimizer and summary

    The step of an entry is the number of epochs. Where `fit` continues from a checkpoint, entries after the epoch of
    the checkpoint are replaced. Raises MissingPackageError without tensorboard.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        histograms: bool = False,
        data: Any = None,
        every: int = 1,
        diagram: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        for name, value in (("histograms", histograms), ("diagram", diagram)):
            flag()("TensorBoard", name, value)
        size()("TensorBoard", "every", every)
        if data is not None and not histograms:
            raise SettingError("TensorBoard: data are for histograms of gradients: add histograms=True.")
        pair = data if isinstance(data, tuple) else (data,)
        self._probe = None if data is None else Probe("TensorBoard", *pair)
        self.folder = Path(folder).absolute()  # a callback may change the directory
        self.histograms, self.every, self.diagram = histograms, every, diagram
        self.settings = dict(settings or {})
        self._writers: dict[str, Any] = {}
        self._start, self._unwritten = 0, EpochEntry()

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Write the settings, unless training continues."""
        super().on_fit_start(net, stepper, history)
        self._start = history.epochs
        if not history.epochs:
            self._writer().add_text("settings", _described(stepper, self.settings), 0)

    def on_epoch_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Write losses, metrics and histograms; after the first epoch, when all shapes are known, the network too."""
        if history.epochs == 1:
            self._describe(net)
        self._unwritten = self.entry(stepper, history)
        if history.epochs % self.every == 0:
            self._write(net, stepper)

    def on_fit_end(self, net: Network, stepper: Stepper, history: History) -> None:
        """Write the last epoch, and close the files."""
        try:
            if self._unwritten:
                self._write(net, stepper)
        finally:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()

    def _writer(self, part: str = "") -> Any:
        """The writer of the folder, or of a part of it."""
        if part not in self._writers:
            module = import_optional("torch.utils.tensorboard", "TensorBoard", "tensorboard", "logging")
            purge = self._start + 1 if self._start else None
            self._writers[part] = module.SummaryWriter(str(self.folder / part), purge_step=purge)
        return self._writers[part]

    def _describe(self, net: Network) -> None:
        """Write the summary and the diagram of a network."""
        self._writer().add_text("network", "```\n" + net.summary() + "\n```", 0)
        if self.diagram and len(net.order) <= MOST_DRAWN and rendering.available():
            pixels = _pixels(net)
            if pixels is not None:
                self._writer().add_image("network", pixels, 0, dataformats="HWC")

    def _write(self, net: Network, stepper: Stepper) -> None:
        """Write the last epoch."""
        entry, self._unwritten = self._unwritten, {}
        epoch = entry["epoch"]
        for name, value in entry.items():
            if name not in ("epoch", "seconds"):
                part = "validation" if name.startswith(VALIDATION) else ""
                self._writer(part).add_scalar(name.removeprefix(VALIDATION), value, epoch)
        self._writer().add_scalar("learning_rate_scale", stepper.scale, epoch)
        if self.histograms:
            gradients = {} if self._probe is None else self._probe.gradients(net)
            for kind, tensors in (("parameters", net.parameters), ("gradients", gradients)):
                for name, tensor in tensors.items():
                    if torch.isfinite(tensor).all():  # a histogram has no place for others
                        self._writer().add_histogram(f"{kind}/{name}", tensor.detach().cpu(), epoch)
        for writer in self._writers.values():
            writer.flush()


def _described(stepper: Stepper, settings: Mapping[str, object]) -> str:
    """A table in Markdown."""
    rows = {"optimizer": stepper.optimizer, **settings}
    cells = [f"| {name} | `{str(value).replace('|', '/')}` |" for name, value in rows.items()]
    return "\n".join(["| setting | value |", "|---|---|", *cells])


def _pixels(net: Network) -> Any:
    """The diagram of a network as an array (h, w, 3) of bytes; None where Graphviz fails: training goes on."""
    image = import_optional("PIL.Image", "TensorBoard(diagram=True)", "pillow", "logging")
    with tempfile.TemporaryDirectory() as folder:
        try:
            picture = net.render(Path(folder, "network.png"))
        except DrawingError:
            return None
        return numpy.asarray(image.open(picture).convert("RGB"))
