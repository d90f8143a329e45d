"""The IDX file format, and data sets in it: MNIST and others with the same files."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from graphdl.errors import FileFormatError, did_you_mean, listing

__all__ = ["mnist", "read_idx"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 2**20
LARGEST_ARRAY_BYTES = 2**63 - 1

PARTS = ("train", "t10k")
AXES = {"images": 3, "labels": 1}
SIDE = 28
CLASSES = 10


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 2**30) -> torch.Tensor:
    """Read one array from an IDX file, plain or compressed by gzip (detected by content, not by name).

    The file: two zero bytes, a byte for the dtype, a byte for the number of axes, the length of each axis as
    a big-endian uint32, the elements in row-major order, big-endian
    -> tensor of these axes; uint8 (code 0x08), int8 (09), int16 (0B), int32 (0C), float32 (0D), float64 (0E)

    Memory is allocated for the data in the file, not for the size in its header, and for at most max_bytes: a small
    compressed file may hold a thousand times its own length.
    Raises FileFormatError if the file is missing, unreadable, corrupt, shorter or longer than its header
    says, larger than max_bytes, or not an IDX file.
    Source of the format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database".
    """
    path = Path(path)
    with _explained_errors(path), path.open("rb") as raw:
        compressed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if compressed else raw
        dtype, shape = _read_header(path, stream)
        size = math.prod(shape) * dtype.itemsize
        if size > max_bytes:
            raise FileFormatError(
                f"{path}: its header gives {dtype.name} of shape {shape}, {size:,} bytes, and max_bytes is "
                f"{max_bytes:,}: if the file is trusted, read_idx(path, max_bytes={size})."
            )
        data = _read_up_to(stream, size + 1)
    if len(data) != size:
        held = f"only {len(data)}" if len(data) < size else "more"
        raise FileFormatError(
            f"{path}: its header gives {dtype.name} of shape {shape}, {size} bytes of data, but the file has {held}. "
            "It is truncated or has extra data: download it again."
        )
    elements = np.frombuffer(data, dtype=dtype).astype(dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(elements).reshape(shape)


def mnist(folder: str | os.PathLike[str], train: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """MNIST, or a data set with the same files such as Fashion-MNIST or KMNIST, from a folder.

    The files: train-images-idx3-ubyte and train-labels-idx1-ubyte, t10k-... for train=False; also with
    ".idx" for "-idx", also with ".gz" at the end. Nothing is downloaded.
    -> images (n, 28, 28) float32 in [0, 1], labels (n,) int64 in 0 ... 9; n = 60000, or 10000 for train=False

    Raises FileFormatError if a file is missing or broken, the two differ in length, the images are not
    28 x 28 or a label is above 9.
    """
    folder, part = Path(folder), PARTS[0] if train else PARTS[1]
    images_path, labels_path = _find(folder, part, "images"), _find(folder, part, "labels")
    images, labels = read_idx(images_path), read_idx(labels_path)
    _expect_bytes(images_path, images, f"(n, {SIDE}, {SIDE})", images.shape[1:] == (SIDE, SIDE))
    _expect_bytes(labels_path, labels, "(n,)", labels.ndim == 1)
    if len(images) != len(labels):
        raise FileFormatError(
            f"{images_path} holds {len(images)} images and {labels_path.name} {len(labels)} labels: each "
            "image needs one label. Check that both files belong to the same data set."
        )
    wrong = (labels >= CLASSES).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise FileFormatError(
            f"{labels_path}: label {int(labels[row])} at position {row}, but labels must be in "
            f"0 ... {CLASSES - 1}: use read_idx for data sets with more classes."
        )
    return images.to(torch.float32).div_(255), labels.long()


@contextmanager
def _explained_errors(path: Path) -> Iterator[None]:
    """Convert errors of opening, reading and decompressing into a FileFormatError with the path."""
    try:
        yield
    except FileNotFoundError as error:
        hint = did_you_mean(path.name, _names(path.parent))
        raise FileFormatError(f"{path}: there is no such file.{_holdings(path.parent)}{hint}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = f"its gzip data are corrupt or truncated ({error}): download it again."
        raise FileFormatError(f"{path}: {reason}") from error
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or error}): give a readable file."
        raise FileFormatError(f"{path}: {reason}") from error


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    magic = _read_up_to(stream, 4)
    if len(magic) < 4:
        raise FileFormatError(f"{path}: it ends within its header, after {len(magic)} of at least 4 bytes.")
    if magic[:2] != b"\x00\x00":
        raise FileFormatError(
            f"{path}: not an IDX file: it starts with the bytes {magic[:2].hex(' ')}, not with 00 00."
        )
    code, axes = magic[2], magic[3]
    if code not in DTYPES:
        known = listing(f"0x{known:02X} ({np.dtype(name).name})" for known, name in DTYPES.items())
        raise FileFormatError(f"{path}: unknown dtype code 0x{code:02X}; it must be one of {known}.")
    lengths = _read_up_to(stream, 4 * axes)
    if len(lengths) < 4 * axes:
        raise FileFormatError(
            f"{path}: it ends within its header, which takes {4 + 4 * axes} bytes for {axes} axes; "
            f"it has {4 + len(lengths)}."
        )
    dtype: np.dtype[np.generic] = np.dtype(DTYPES[code])
    shape = struct.unpack(f">{axes}I", lengths)
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > LARGEST_ARRAY_BYTES:
        raise FileFormatError(f"{path}: its header gives shape {shape}, which is larger than any array can be.")
    return dtype, shape


def _read_up_to(stream: io.BufferedIOBase, size: int) -> bytearray:
    """Read at most `size` bytes; memory is allocated in chunks, as data are read."""
    data = bytearray()
    while len(data) < size and (chunk := stream.read(min(CHUNK_BYTES, size - len(data)))):
        data += chunk
    return data


def _find(folder: Path, part: str, kind: str) -> Path:
    candidates = _spellings(part, kind)
    for name in candidates:
        if (folder / name).is_file():
            return folder / name
    proper = {name for some_part in PARTS for some_kind in AXES for name in _spellings(some_part, some_kind)}
    hint = did_you_mean(candidates[0], [name for name in _names(folder) if name not in proper])
    raise FileFormatError(
        f"{folder}: no file of the {part} {kind}: searched for {listing(candidates)}.{_holdings(folder)}{hint}"
    )


def _spellings(part: str, kind: str) -> list[str]:
    names = [f"{part}-{kind}{mark}idx{AXES[kind]}-ubyte" for mark in "-."]
    return [name + ending for name in names for ending in ("", ".gz")]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _holdings(folder: Path) -> str:
    if not folder.is_dir():
        return f" The folder {folder} does not exist."
    names = _names(folder)
    return f" The folder holds {listing(names)}." if names else " The folder is empty."


def _expect_bytes(path: Path, tensor: torch.Tensor, shape: str, fits: bool) -> None:
    if tensor.dtype != torch.uint8 or not fits:
        raise FileFormatError(
            f"{path}: it holds {tensor.dtype} of shape {tuple(tensor.shape)}; expected torch.uint8 of shape {shape}."
        )
