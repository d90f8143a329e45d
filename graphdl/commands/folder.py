"""The folder in which a training begins: what is in it is replaced only once fit has accepted its arguments."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graphdl.commands.output import make_folder
from graphdl.commands.saved import CHECKPOINTS, LOG, RECORD, WEIGHTS
from graphdl.errors import SettingError
from graphdl.network import Network
from graphdl.optim import Stepper
from graphdl.training import History


class Beginning:
    """A callback that does something with the history when fit has accepted its arguments."""

    __slots__ = ("_act",)

    def __init__(self, act: Callable[[History], object]) -> None:
        self._act = act

    def on_fit_start(self, net: Network, stepper: Stepper, history: History) -> None:
        """Do it."""
        self._act(history)


def check_folder(out: Path, overwrite: bool, sources: Iterable[Path]) -> None:
    """Raise SettingError for a folder that holds a training, unless it may be replaced and reads nothing from it."""
    if not (out / RECORD).exists():
        return
    if not overwrite:
        raise SettingError(
            f"{out} holds a training: continue it with graphdl resume {out}, give another --out, or replace it with "
            "--overwrite."
        )
    folder = out.resolve()
    lost = {folder, *(folder / name for name in (RECORD, WEIGHTS, LOG))}
    for path in sources:
        if path in lost or path.is_relative_to(folder / CHECKPOINTS):
            raise SettingError(f"--overwrite would delete {path}, which the new training reads: give another --out.")


@contextmanager
def beginning(out: Path, write: Callable[[], object]) -> Iterator[Beginning]:
    """A context for fit, with a callback for it: what the old training has left is deleted when training starts.

    The folder is created. If fit fails before that, it is as it was.

    write  called when training starts
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    make_folder("--out", out)
    kept, aside = out / CHECKPOINTS, out / f".{CHECKPOINTS}-replaced"
    old, begun = (out / RECORD).exists(), False
    ours = old or not kept.exists()

    def begin(_: History) -> None:
        nonlocal begun
        for name in (WEIGHTS, LOG) if old else ():
            (out / name).unlink(missing_ok=True)
        write()
        begun = True
        shutil.rmtree(aside, ignore_errors=True)

    if old and kept.exists():
        shutil.rmtree(aside, ignore_errors=True)
        kept.rename(aside)
    try:
        yield Beginning(begin)
    finally:
        if not begun and ours:
            shutil.rmtree(kept, ignore_errors=True)
            if aside.exists():
                aside.rename(kept)
        if not begun:
            with suppress(OSError):  # what others have written into them stays
                for folder in made:
                    folder.rmdir()
