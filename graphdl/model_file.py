"""The model file: a zip of a network's two dictionaries, its tensors, and a manifest with their digests.

    manifest.json        format, version, versions of graphdl and torch; size and sha256 of the members; dtype, frozen
                         nodes, outputs, and the state of the random generator
    model.json           the two dictionaries, as in a JSON file
    weights.safetensors  parameters and buffers by name, once all sizes are known

Nothing in it is code. Equal networks have equal files, and a file that differs in a single bit is refused.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from graphdl import container, serialization
from graphdl.arguments import FLOATING, floating_type, new_generator, usable_device
from graphdl.budget import check_gradients, check_size, most_text
from graphdl.errors import FileFormatError, GraphDLError, SettingError, listing
from graphdl.files import reading, replacing
from graphdl.graph import known_keys
from graphdl.json_text import parse

SUFFIX = ".graphdl"
OTHERS = (".pt", ".pth", ".ckpt", ".safetensors", ".pkl", ".onnx", ".h5", ".npz")
"""Suffixes by which users expect other files, with weights."""
READERS = {".safetensors": "safetensors.torch.load_file", **dict.fromkeys((".pt", ".pth", ".ckpt"), "torch.load")}
"""The function that reads files of weights with a suffix."""
FORMAT, VERSION = "graphdl model file", 1
MANIFEST, MODEL, WEIGHTS = "manifest.json", "model.json", "weights.safetensors"
FIELDS = ("format", "version", "graphdl", "torch", "members", "dtype", "frozen", "outputs", "generator")
DTYPES = {str(each).removeprefix("torch."): each for each in FLOATING}
NO_DATA = 2**62
"""The max_bytes of tensors without data, on the device "meta"."""


def save(net: Any, path: Path) -> Path:
    """Write a network into a model file, or where the suffix is not .graphdl, its two dictionaries into a JSON file."""
    if path.suffix.lower() in OTHERS:
        raise SettingError(
            f"{path}: save does not write {path.suffix} files. Save the network with its weights as a {SUFFIX} file, "
            "its two dictionaries alone as a .json file, or net.state_dict() by torch.save or safetensors."
        )
    if path.suffix.lower() != SUFFIX:
        return serialization.write_json(net.to_dict(), path)
    members = {MODEL: serialization.lay_out(net.to_dict(), path)}
    if net.engine.built:
        if net.device.type == "meta":
            raise SettingError(f"{path}: a network on the device 'meta' has no values. Save it as a .json file.")
        members[WEIGHTS] = serialization.packed(net)
    manifest = json.dumps(_manifest(net, members), indent=1).encode()
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        container.write(file, {MANIFEST: manifest, **members})
    return path


def _manifest(net: Any, members: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "graphdl": sys.modules["graphdl"].__version__,
        "torch": torch.__version__,
        "members": {
            name: {"bytes": len(content), "sha256": container.sha256(content)} for name, content in members.items()
        },
        "dtype": str(net.dtype).removeprefix("torch."),
        "frozen": [key for key in net.engine.operators if key in net.engine.frozen],
        "outputs": list(net.outputs),
        "generator": base64.b64encode(net.generator.get_state().numpy().tobytes()).decode(),
    }


def load(cls: Any, path: Path, seed: int | None, device: Any, dtype: torch.dtype | None, max_bytes: int) -> Any:
    """The network of a file that `save` wrote, or of a JSON file. Raises FileFormatError for anything else."""
    new_generator(0 if seed is None else seed)
    device, dtype = usable_device(device), None if dtype is None else floating_type(dtype)
    try:
        with reading(path) as file:
            if path.suffix.lower() in READERS:
                raise FileFormatError(
                    f"a {path.suffix} file holds weights and no network: make the network, or load it from its .json "
                    f"file, then call net.load_state_dict({READERS[path.suffix.lower()]}({str(path)!r}))."
                )
            if file.read(len(container.MAGIC)) == container.MAGIC:
                file.seek(0)
                return _read(cls, file, seed, device, dtype, max_bytes)
            file.seek(0)
            content = file.read(most_text(max_bytes) + 1)
        if path.suffix.lower() != ".json" and not content.lstrip().startswith(b"{"):
            raise FileFormatError("it is not a JSON file of a network, nor a model file of graphdl.")
        return of_dictionary(cls, _parsed(content, "it", max_bytes), seed, device, dtype or torch.float32, max_bytes)
    except RecursionError:
        raise FileFormatError(f"{path}: the network is nested too deeply.") from None
    except GraphDLError as error:
        if isinstance(error, FileFormatError) and str(error).startswith(str(path)):
            raise
        raise FileFormatError(f"{path}: {error}") from error


def of_dictionary(cls: Any, data: object, seed: int | None, device: Any, dtype: torch.dtype, max_bytes: int) -> Any:
    """The network of plain data, after its size has been checked. Raises FileFormatError if it is too large."""
    device, dtype = usable_device(device), floating_type(dtype)
    return _made(cls, data, seed, device, dtype, NO_DATA if device.type == "meta" else max_bytes)


def _made(cls: Any, data: object, seed: int | None, device: Any, dtype: torch.dtype, most: int) -> Any:
    """The network of plain data, whose tensors would take `most` bytes at most."""
    operators, connectivity = serialization.from_dict(data)
    check_size(operators, connectivity, dtype, most)
    net = cls(operators, connectivity, seed=seed, device=device, dtype=dtype)
    check_gradients(net.graph, dtype)
    return net


def _parsed(content: bytes | None, what: str, max_bytes: int) -> Any:
    assert content is not None
    if len(content) > (most := most_text(max_bytes)):
        raise FileFormatError(f"{what} has more than {most:,} bytes of JSON, which max_bytes={max_bytes} allows.")
    return parse(content, what)


def _read(cls: Any, file: BinaryIO, seed: int | None, device: torch.device, dtype: Any, max_bytes: int) -> Any:
    """The network of a model file."""
    hollow = device.type == "meta"
    if not hollow and (size := file.seek(0, 2)) > max_bytes:
        raise FileFormatError(f"it has {size:,} bytes, and max_bytes is {max_bytes:,}: if it is trusted, raise that.")
    file.seek(0)
    members = container.read(file, (MANIFEST, MODEL, WEIGHTS), {WEIGHTS} if hollow else ())
    if MODEL not in members:
        raise FileFormatError(f"it has no {MODEL}: it is damaged.")
    manifest = _checked(_parsed(members[MANIFEST].content, MANIFEST, max_bytes), members)
    model = _parsed(members[MODEL].content, MODEL, max_bytes)
    net = _made(cls, model, 0, "meta", DTYPES[manifest["dtype"]], NO_DATA if hollow else max_bytes)
    if net.engine.built != (WEIGHTS in members):
        raise FileFormatError(f"{WEIGHTS} is {'missing' if net.engine.built else 'there, and sizes are unknown'}.")
    state = {} if hollow or WEIGHTS not in members else _weights(members[WEIGHTS].content, net)
    if (outputs := known_keys(manifest["outputs"], "outputs", net.graph)) != net.outputs:  # those of a part
        net._set_up(net.generator, net.device, net.dtype, None, outputs)
    if manifest["frozen"]:
        net.freeze(*known_keys(manifest["frozen"], "frozen", net.engine.operators))
    net.to(device, dtype)
    if state:
        net.load_state_dict(state)
    _set_generator(net, manifest["generator"], seed)
    return net


def _checked(manifest: Any, members: Mapping[str, container.Member]) -> dict[str, Any]:
    """The manifest, which fits the members. Raises FileFormatError if it does not."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileFormatError(f'{MANIFEST} does not have the format "{FORMAT}".')
    if manifest.get("version") != VERSION or isinstance(manifest["version"], bool):
        raise FileFormatError(
            f"it has version {manifest.get('version')!s:.20}, and this release of graphdl reads version {VERSION}: "
            "read it with the release that wrote it, or a newer one."
        )
    found = {
        name: {"bytes": member.size, "sha256": member.sha256} for name, member in members.items() if name != MANIFEST
    }
    if manifest.get("members") != found:
        raise FileFormatError(f"the digests in {MANIFEST} are not those of {listing(found)}: the file is damaged.")
    kinds = dict.fromkeys(("graphdl", "torch", "dtype", "generator"), str) | dict.fromkeys(("frozen", "outputs"), list)
    wrong = [name for name, kind in kinds.items() if not isinstance(manifest.get(name), kind)]
    wrong += [name for name in manifest if name not in FIELDS]
    wrong += [name for name in ("frozen", "outputs") if name not in wrong and not _are_keys(manifest[name])]
    if wrong or manifest["dtype"] not in DTYPES:
        raise FileFormatError(f"the entries {listing(wrong or ['dtype'])} of {MANIFEST} are not what graphdl writes.")
    return manifest


def _are_keys(held: list[Any]) -> bool:
    return all(isinstance(key, (str, int)) and not isinstance(key, bool) for key in held)


def _weights(content: bytes | None, net: Any) -> dict[str, Tensor]:
    """The tensors by name, which are those of a network. Raises FileFormatError if they are not."""
    assert content is not None
    try:
        state: dict[str, Tensor] = safetensors.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise FileFormatError(f"{WEIGHTS} is not a safetensors file: {error}.") from None
    expected = {**net.parameters, **net.buffers}
    if missing := [name for name in expected if name not in state]:
        raise FileFormatError(f"{WEIGHTS} lacks {listing(missing)}.")
    if unknown := [name for name in state if name not in expected]:
        raise FileFormatError(f"{WEIGHTS} has {listing(unknown)}, which the network has not.")
    for name, tensor in expected.items():
        found = state[name]
        if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise FileFormatError(
                f"{WEIGHTS}: {name} is {found.dtype} of shape {tuple(found.shape)}, and in the network "
                f"{tensor.dtype} of shape {tuple(tensor.shape)}."
            )
    return state


def _set_generator(net: Any, stored: str, seed: int | None) -> None:
    """Give a network's generator its state, or a seed."""
    try:
        net.generator.set_state(torch.frombuffer(bytearray(base64.b64decode(stored, validate=True)), dtype=torch.uint8))
    except (ValueError, RuntimeError):
        raise FileFormatError(f"the generator in {MANIFEST} has no valid state.") from None
    if seed is not None:
        net.generator.manual_seed(seed)
