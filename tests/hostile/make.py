"""Writes tests/hostile/cases.jsonl, the hostile model files with what each must give: python -m tests.hostile.make.

A line is {"name", "file": its name, "gives": a part of the error's text, or null where it loads rightly}, and the
content as "text", or as "deflated" bytes in base64.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from graphdl import Linear, Network, Tanh, container
from graphdl.model_file import MANIFEST, MODEL, WEIGHTS

CASES = Path(__file__).parent / "cases.jsonl"
LINEAR = {"type": "Linear", "in_features": 2, "out_features": 3}
TANH = {"type": "Tanh"}
Case = tuple[str, bytes, str | None]


def network(operator: Any = LINEAR, **changed: Any) -> dict[str, Any]:
    """A good network of one node, with changes."""
    data = {"format": "graphdl", "version": 1, "operators": {"a": operator}, "connectivity": {"x": ["a"]}}
    return {**data, **changed}


def text(data: Any) -> bytes:
    """Data as JSON."""
    return json.dumps(data).encode()


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Data without an entry."""
    return {key: value for key, value in data.items() if key != name}


def nested(depth: int, inner: Any = 1) -> Any:
    """Lists in lists."""
    for _ in range(depth):
        inner = [inner]
    return inner


def no_json() -> Iterator[Case]:
    """Texts that are not JSON, or more than JSON."""
    good = text(network())
    yield "empty", b"", "is not a JSON file"
    yield "one brace", b"{", "is not a JSON file"
    yield "zeros", bytes(1000), "is not a JSON file"
    yield "no utf-8", b"\xff\xfe" + good, "is not a JSON file"
    yield "utf-16", good.decode().encode("utf-16"), "is not a JSON file"
    yield "byte order mark", b"\xef\xbb\xbf" + good, "is not a JSON file"
    yield "truncated", good[:-20], "is not a JSON file"
    yield "trailing data", good + b"{}", "is not a JSON file: Extra data"
    yield "trailing zero", good + b"\0", "is not a JSON file: Extra data"
    yield "comment", b"// a comment\n" + good, "is not a JSON file"
    yield "single quotes", good.replace(b'"', b"'"), "is not a JSON file"
    yield "trailing comma", good[:-1] + b",}", "is not a JSON file"
    yield "control character", good.replace(b'"a"', b'"a\x07"'), "is not a JSON file"
    yield "pickle", b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94", "is not a JSON file"
    yield "python", b"__import__('os').system('touch /tmp/graphdl-was-here')", "is not a JSON file"
    yield "yaml", b"!!python/object/apply:os.system ['touch /tmp/graphdl-was-here']", "is not a JSON file"
    yield "html", b"<script>alert(1)</script>", "is not a JSON file"
    yield "white space", b" " * 50_000, "is not a JSON file"
    yield "too long", b" " * (2**25 + 1), "more than 33,554,432 bytes of JSON"
    yield "a number of 5,000 digits", b"1" * 5000, "is not a JSON file: Exceeds the limit"
    for depth in (1_000, 100_000):
        yield f"{depth} lists", b"[" * depth + b"]" * depth, "nested too deeply"
        yield f"{depth} objects", b'{"a":' * depth + b"1" + b"}" * depth, "nested too deeply"
        yield f"{depth} lists without an end", b"[" * depth, "nested too deeply"
    for number in ("NaN", "Infinity", "-Infinity"):
        written = text(network({**LINEAR, "weight": {"type": "Constant", "value": "HERE"}}))
        yield number, written.replace(b'"HERE"', number.encode()), f"{number} is not a number in JSON"
    written = text(network({"type": "LeakyReLU", "negative_slope": "HERE"}))
    yield "1e400", written.replace(b'"HERE"', b"1e400"), "1e400 is larger than any floating-point number"
    yield "a name twice", good.replace(b'"x"', b'"x": ["a"], "x"'), "has 'x' more than once"
    yield "type twice", good.replace(b'"type"', b'"type": "Tanh", "type"'), "has 'type' more than once"
    yield "format twice", b'{"format": "graphdl", ' + good[1:], "has 'format' more than once"
    yield "half a surrogate pair", good.replace(b'"x"', b'"\\ud800"'), "half of a surrogate pair"
    yield "half a pair as a type", good.replace(b"Linear", b"\\udfff"), "half of a surrogate pair"


def no_network() -> Iterator[Case]:
    """JSON that is not a stored network."""
    for name, data in (
        ("null", None),
        ("a number", 3),
        ("a string", "graphdl"),
        ("a list", [network()]),
        ("true", True),
    ):
        yield name, text(data), "A stored network is a dictionary"
    yield "an empty object", b"{}", '"format" is None'
    yield "another format", text(network(format="onnx")), "\"format\" is 'onnx'"
    yield "format in a list", text(network(format=["graphdl"])), '"format" is'
    for version in (0, 2, "1", None, True, [1], 10**400):
        yield f"version {version!r:.10}", text(network(version=version)), "reads version 1"
    yield "version 1.5", text(network(version=1.5)), "reads version 1"
    yield "an unknown entry", text(network(code="print(1)")), "'code' is not part of a stored network"
    yield "__class__", text({**network(), "__class__": "os.system"}), "is not part of a stored network"
    for name in ("operators", "connectivity"):
        yield f"without {name}", text(without(network(), name)), f'"{name}" is None'
        for held in (None, 3, "a", ["a"], [["a"]], [["a", 1, 2]], True):
            yield f"{name} {held!r}", text(network(**{name: held})), f'"{name}" is'
    yield "a key of null", text(network(operators=[[None, LINEAR]])), "is not the key of a node"
    yield "a key of 1.5", text(network(operators=[[1.5, LINEAR]])), "is not the key of a node"
    yield "a key of true", text(network(operators=[[True, LINEAR]])), "is not the key of a node"
    yield "a list as a key", text(network(operators=[[["a"], LINEAR]])), "is not the key of a node"
    yield "a node twice", text(network(operators=[["a", LINEAR], ["a", LINEAR]])), "a node more than once"
    yield "a source twice", text(network(connectivity=[["x", ["a"]], ["x", ["a"]]])), "a node more than once"
    yield "deep operators", text(network(operators=nested(900))), '"operators" is'
    yield "deep connectivity", text(network(connectivity={"x": nested(900)})), "is not the key of a node"


def operators() -> Iterator[Case]:
    """Operators that do not exist or cannot be made."""
    for name in (
        "os.system",
        "builtins.eval",
        "__import__",
        "Network",
        "Operator",
        "Feed",
        "torch.nn.Linear",
        "",
        "Linaer",
    ):
        yield f"type {name!r}", text(network({"type": name})), "is not a registered operator"
    yield "a long type", text(network({"type": "Linear" * 3000})), "is not a registered operator"
    yield "a type in a list", text(network({"type": ["Linear"]})), "is not a registered operator"
    yield "an initializer as an operator", text(network({"type": "Zeros"})), "write {"
    yield "an operator as an initializer", text(network({**LINEAR, "weight": LINEAR})), "weight must be"
    yield "a schedule as an operator", text(network({"type": "Cosine", "high": 1, "steps": 2})), "write {"
    yield "code as a setting", text(network({**LINEAR, "bias": "__import__('os')"})), "bias must be"
    yield "an operator of null", text(network(None)), "is None: write"
    yield "an operator without a type", text(network({"in_features": 1})), 'without a "type"'
    yield "an unknown setting", text(network({**LINEAR, "__init__": 1})), "has no setting '__init__'"
    yield "a private setting", text(network({**LINEAR, "_level": 1})), "has no setting '_level'"
    yield "a missing setting", text(network({"type": "Linear"})), "out_features is missing"
    for size in (0, -1, 2.0, 2.5, "2", None, True, [2], {"type": "Zeros"}):
        yield f"out_features {size!r}", text(network({**LINEAR, "out_features": size})), "out_features"
    yield "a size of 400 digits", text(network({**LINEAR, "in_features": 10**400})), "is not an integer of 64 bits"
    yield "a size of 2**63", text(network({**LINEAR, "in_features": 2**63})), "is not an integer of 64 bits"
    yield "a shape of 400 digits", text(network({"type": "Weight", "shape": [10**400]})), "is not an integer of 64 bits"
    yield "a shape of -1", text(network({"type": "Weight", "shape": [-1]})), "a tuple of sizes"
    yield "a number of 400 digits", text(network({"type": "Clamp", "max": 10**400})), "is not an integer of 64 bits"
    yield "a slope of 1e308", text(network({"type": "LeakyReLU", "negative_slope": 1e308})), "the largest number of"
    filled = {**LINEAR, "weight": {"type": "Normal", "std": 1e308}}
    yield "a standard deviation of 1e308", text(network(filled)), "weight, std is 1e+308"
    yield (
        "a constant of 1e308",
        text(network({"type": "Constant", "value": [[1.0, 1e308]]}, connectivity={})),
        "value is",
    )
    yield "a constant of ragged rows", text(network({"type": "Constant", "value": [[1], [1, 2]]})), "regular shape"
    yield "a constant of 50 levels", text(network({"type": "Constant", "value": nested(50)}, connectivity={})), None
    yield (
        "a constant of 100 levels",
        text(network({"type": "Constant", "value": nested(100)}, connectivity={})),
        None,
    )
    yield "a deep setting", text(network({**LINEAR, "weight": nested(900)})), "nested too deeply"
    yield "a weight of 1e308", text(network({"type": "MSELoss", "weight": 1e308})), "weight is 1e+308"
    yield "lr as text", text(network({"type": "Dropout", "p": "0.5"})), "p must be"
    yield "p of 1e308", text(network({"type": "Dropout", "p": 1e308})), "p must be"


def edges() -> Iterator[Case]:
    """Connectivities that do not fit the operators."""
    two = {"a": LINEAR, "b": TANH}

    def fed(**connectivity: Any) -> bytes:
        return text(network(operators=two, connectivity={"b": [], **connectivity}))

    yield "an unknown node", fed(x=["a"], a=["c"]), "'c'"
    yield "a cycle", fed(a=["b"], b=["a"]), "cycle"
    yield "a node that feeds itself", fed(a=["a"]), "cycle"
    yield "two inputs into one slot", fed(x=["a", "b"], a=["b"]), "takes 1 input"
    yield "a slot of 10**9", fed(x=[{"key": "a", "slot": 10**9}]), "has no slot 1000000000"
    yield "a slot of -1", fed(x=[{"key": "a", "slot": -1}]), "has no slot -1"
    yield "a slot of 400 digits", fed(x=[{"key": "a", "slot": 10**400}]), "has no slot"
    yield "a slot in a list", fed(x=[{"key": "a", "slot": ["input"]}]), "slot must be a position"
    yield "an unknown slot", fed(x=[{"key": "a", "slot": "__class__"}]), "has no slot '__class__'"
    yield "an edge without a key", fed(x=[{"slot": 0}]), "key"
    yield "an edge with code", fed(x=[{"key": "a", "hook": "os.system"}]), "Feed has no setting 'hook'"
    yield "an edge of null", fed(x=[None]), "is not the key of a node"
    yield "a gradient as text", fed(x=[{"key": "a", "gradient": "1"}]), "must be a number"
    yield "a gradient of 400 digits", fed(x=[{"key": "a", "gradient": 10**400}]), "too large"
    yield "a gradient of 1e308", fed(x=[{"key": "a", "gradient": 1e308}], a=["b"]), "gradient"
    yield "no list", fed(x="a"), "write a list of nodes"
    yield "shared with itself", text(network({"type": "Shared", "key": "a"})), "a"
    yield "shared with nobody", text(network({"type": "Shared", "key": "b"})), "'b'"
    circle = {"a": {"type": "Shared", "key": "b"}, "b": {"type": "Shared", "key": "a"}}
    yield "shared in a circle", text(network(operators=circle, connectivity={"x": ["a", "b"]})), "a"
    yield "shared key of 1.5", text(network({"type": "Shared", "key": 1.5})), "must be a str or an int"
    names = {str(k): TANH for k in range(2000)}
    loop = {str(k): [str((k + 1) % 2000)] for k in range(2000)}
    yield "a cycle of 2,000 nodes", text(network(operators=names, connectivity=loop)), "cycle"
    line = {"x": ["0"], **{str(k): [str(k + 1)] for k in range(1999)}}
    yield "a line of 2,000 nodes", text(network(operators=names, connectivity=line)), None
    wide = {"s": {"type": "Sum"}}
    yield "10,000 edges", text(network(operators=wide, connectivity={"x": ["s"] * 10_000})), None
    yield "the same slot twice", fed(x=[{"key": "a", "slot": 0}], y=[{"key": "a", "slot": 0}]), "takes 1 input"
    sums = {str(k): {"type": "Sum"} for k in range(100)}
    dense = {str(k): [str(j) for j in range(k + 1, 100)] for k in range(99)}
    yield "a dense graph", text(network(operators=sums, connectivity=dense)), None


def names() -> Iterator[Case]:
    """Names that are long or strange."""

    def named(name: str, fed: str | None = None) -> bytes:
        return text(network(operators={name: LINEAR}, connectivity={"x": [name if fed is None else fed]}))

    many = "".join(chr(0x4E00 + k % 5000) for k in range(16_384))
    yield "a name of 16 kB", named("n" * 16_384), None
    yield "a name of 16,384 different letters", named(many), None
    yield "a misspelt name of 16 kB", named(many, many[::-1]), "feeds"
    yield "a misspelt letter in 16 kB", named("ab" * 8192, "ab" * 8191 + "ba"), "feeds"
    yield "a name of 8,000 slashes", named("/" * 8000), None
    yield "a name of 8,000 parts", named("/".join("a" * 8000)), None
    yield "an empty name", named(""), None
    yield "escape characters", named("\x1b[2J\x1b]0;title\x07"), None
    yield "a text that runs backwards", named("\u202ereversed\u2066"), None
    yield "a zero in a name", named("a\0b"), None
    yield "a path as a name", named("../../etc/passwd"), None
    yield "markup in a name", named("[bold]</script><!--"), None
    yield "a template as a name", named("{0.__class__.__init__.__globals__}"), None
    yield (
        "an integer of 400 digits as a name",
        text(network(operators=[[10**400, TANH]], connectivity=[["x", [10**400]]])),
        None,
    )
    yield (
        "1 and '1'",
        text(network(operators=[[1, LINEAR], ["1", LINEAR]], connectivity=[["x", [1, "1"]]])),
        "Two tensors",
    )


def bombs() -> Iterator[Case]:
    """Small files that declare much."""
    yield (
        "Linear(10**9, 10**9)",
        text(network({**LINEAR, "in_features": 10**9, "out_features": 10**9})),
        "4,000,000,004,000",
    )
    yield (
        "10**12 numbers",
        text(network({"type": "Weight", "shape": [10**6, 10**6]}, connectivity={})),
        "4,000,000,000,000 b",
    )
    yield "2**62 numbers", text(network({"type": "Weight", "shape": [2**31, 2**31]}, connectivity={})), "max_bytes"
    yield (
        "a product of 10**900",
        text(network({"type": "Weight", "shape": [10**18] * 50}, connectivity={})),
        "max_bytes",
    )
    yield "1 GiB and a little", text(network({"type": "Weight", "shape": [2**28 + 1]}, connectivity={})), "max_bytes"
    yield (
        "an Embedding of 10**15",
        text(network({"type": "Embedding", "num_embeddings": 10**12, "embedding_dim": 10**3})),
        "max_bytes",
    )
    yield (
        "a filled constant",
        text(network({"type": "Constant", "value": 0.0, "shape": [10**6, 10**6]}, connectivity={})),
        "max_bytes",
    )
    yield (
        "buffers of 10**12",
        text(network({"type": "BatchNorm1d", "num_features": 10**12, "affine": False})),
        "max_bytes",
    )
    convolution = {"type": "Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 10**6}
    yield "a kernel of 10**6", text(network(convolution)), "max_bytes"
    recurrent = {"type": "LSTM", "input_size": 1, "hidden_size": 1}
    yield "10**9 layers", text(network({**recurrent, "num_layers": 10**9})), "num_layers must be"
    many = {str(k): {**recurrent, "num_layers": 1000} for k in range(40)}
    yield "40 times 1,000 layers", text(network(operators=many, connectivity={"x": list(many)})), "tensors"
    hundred = {str(k): {**LINEAR, "out_features": 2 * 10**6} for k in range(100)}
    yield "100 times 24 MB", text(network(operators=hundred, connectivity={"x": list(hundred)})), "2,400,000,000 bytes"
    for depth in (10, 20, 60, 70):
        level: Any = {"type": "Block", "operators": {"t": TANH}, "connectivity": {"x": ["t"]}}
        for _ in range(depth):
            inside = {"a": level, "b": {"type": "Shared", "key": "a"}}
            level = {"type": "Block", "operators": inside, "connectivity": {"x": ["a"], "a": ["b"]}}
        gives = None if depth == 10 else "nested more than 64 deep" if depth == 70 else "its blocks repeat others"
        yield f"a block that is doubled {depth} times", text(network(level)), gives
    for fed in (True, False):
        level = {"a": {"type": "Block", "operators": {"t": TANH}, "connectivity": {"x": ["t"]}}}
        for _ in range(16):
            inner = {
                "type": "Block",
                "operators": level,
                "connectivity": {key: [] for key in level} | ({"x": [*level]} if fed else {}),
            }
            level = {"a": inner, **{f"b{k}": {"type": "Shared", "key": "a"} for k in range(9)}}
        content = text(network(operators=level, connectivity={"x": list(level)}))
        yield (
            f"ten times at every level, {'outputs' if fed else 'inputs'}",
            content,
            "more than 100,000 outputs" if fed else "is not clear",
        )
    one = {"type": "Block", "operators": {"t": TANH}, "connectivity": {"x": ["t"]}}
    for _ in range(16):
        level = {"a": one, **{f"b{k}": {"type": "Shared", "key": "a"} for k in range(9)}, "s": {"type": "Sum"}}
        connectivity = {"x": [*level][:-1], **{name: ["s"] for name in [*level][:-1]}}
        one = {"type": "Block", "operators": level, "connectivity": connectivity}
    yield "ten times at every level, summed", text(network(one)), "its blocks repeat others"
    one = {"type": "Block", "operators": {"t": TANH}, "connectivity": {"x": ["t"]}}
    for _ in range(30):
        level = {"a": {"type": "Block", "operators": {"i": one}, "connectivity": {"x": ["i"]}}}
        level["b"] = {"type": "Shared", "key": "a/i"}
        one = {"type": "Block", "operators": level, "connectivity": {"x": ["a"], "a": ["b"]}}
    yield "an inner block that is doubled 30 times", text(network(one)), "its blocks repeat others"
    deep: Any = TANH
    for _ in range(200):
        deep = {"type": "Block", "operators": {"a": deep}, "connectivity": {"x": ["a"]}}
    yield "a block 200 deep", text(network(deep)), "deep"
    split = {
        "c": {"type": "Constant", "value": 0.0}, "r": {"type": "Expand", "sizes": [10**9]},
        "s": {"type": "Split", "split_size_or_sections": 1, "dim": 0},
    }  # fmt: skip
    yield "a constant in 10**9 parts", text(network(operators=split, connectivity={"c": ["r"], "r": ["s"]})), None


GOOD = Network({"a": Linear(2, 3), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=0).freeze("a")


def simple_generator() -> torch.Tensor:
    """A state of a random generator that compresses well."""
    state = torch.Generator().manual_seed(0).get_state()
    state[24:-64] = 0
    return state


GOOD.generator.set_state(simple_generator())


def saved() -> bytes:
    """A good model file."""
    with tempfile.TemporaryDirectory() as folder:
        return GOOD.save(Path(folder, "model.graphdl")).read_bytes()


def members() -> dict[str, bytes]:
    """The members of a good model file."""
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(held: dict[str, bytes]) -> bytes:
    """A container of these members, whose structure is right."""
    file = io.BytesIO()
    container.write(file, held)
    return file.getvalue()


def described(changed: dict[str, bytes | None], **entries: Any) -> bytes:
    """A model file with changed members and entries of the manifest, whose digests are right."""
    held = {name: content for name, content in {**members(), **changed}.items() if content is not None}
    manifest = json.loads(held.pop(MANIFEST))
    manifest["members"] = {
        name: {"bytes": len(content), "sha256": container.sha256(content)} for name, content in held.items()
    }
    return packed({MANIFEST: text({**manifest, **entries}), **held})


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> dict[str, bytes | None]:
    """A safetensors file by its header."""
    written = header if isinstance(header, bytes) else text(header)
    return {WEIGHTS: struct.pack("<Q", len(written) if length is None else length) + written + data}


def f32(start: int, *shape: int, dtype: str = "F32") -> dict[str, Any]:
    """The entry of a tensor in a safetensors header."""
    size = 4
    for each in shape:
        size *= each
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, start + size]}


def weights() -> Iterator[Case]:
    """Model files whose structure is right and whose weights are not."""
    bias, weight = f32(0, 3), f32(12, 3, 2)
    right, data = {"a.bias": bias, "a.weight": weight}, bytes(36)
    yield "rightly made weights", described(tensors(right, data)), None
    yield "weights of nan", described(tensors(right, struct.pack("<9f", *[float("nan")] * 9))), None
    wrong: dict[str, tuple[Any, bytes, str]] = {
        "a missing tensor": ({"a.bias": bias}, bytes(12), "lacks a.weight"),
        "a tensor too many": ({**right, "c.weight": f32(36, 1)}, bytes(40), "has c.weight"),
        "another shape": ({"a.bias": bias, "a.weight": f32(12, 2, 3)}, data, "of shape (2, 3)"),
        "another rank": ({"a.bias": bias, "a.weight": f32(12, 6)}, data, "of shape (6,)"),
        "another type": ({"a.bias": bias, "a.weight": f32(12, 3, 2, dtype="I32")}, data, "torch.int32"),
        "an unknown type": (
            {"a.bias": bias, "a.weight": f32(12, 3, 2, dtype="OBJECT")},
            data,
            "not a safetensors file",
        ),
        "overlapping tensors": ({"a.bias": bias, "a.weight": f32(0, 3, 2)}, bytes(24), "not a safetensors file"),
        "a hole between tensors": ({"a.bias": bias, "a.weight": f32(16, 3, 2)}, bytes(40), "not a safetensors file"),
        "tensors beyond the end": (right, bytes(20), "not a safetensors file"),
        "data after the tensors": (right, bytes(40), "not a safetensors file"),
        "offsets that go backwards": (
            {**right, "a.bias": {**bias, "data_offsets": [12, 0]}},
            data,
            "not a safetensors",
        ),
        "negative offsets": ({**right, "a.bias": {**bias, "data_offsets": [-12, 0]}}, data, "not a safetensors file"),
        "offsets of 400 digits": (
            {**right, "a.bias": {**bias, "data_offsets": [0, 10**400]}},
            data,
            "not a safetensors",
        ),
        "a shape of 2**63": ({**right, "a.bias": {**bias, "shape": [2**63, 2]}}, data, "not a safetensors file"),
        "a negative shape": ({**right, "a.bias": {**bias, "shape": [-3]}}, data, "not a safetensors file"),
        "an empty header": ({}, b"", "lacks a.weight"),
        "a header in a list": ([], b"", "not a safetensors file"),
        "a header of no JSON": (b"not json", b"", "not a safetensors file"),
        "a deep header": (b"[" * 100_000, b"", "not a safetensors file"),
        "no header": (b"", b"", "not a safetensors file"),
    }
    for name, (header, held, gives) in wrong.items():
        yield name, described(tensors(header, held)), gives
    for length in (2**63, 2**40, 100_000_001, 10_000, 0):
        yield f"a header of {length} bytes", described(tensors(right, data, length)), "not a safetensors file"
    yield "empty weights", described({WEIGHTS: b""}), "not a safetensors file"
    yield "a pickle as weights", described({WEIGHTS: b"\x80\x04cos\nsystem\n(S'exit 1'\ntR."}), "not a safetensors file"
    yield "no weights", described({WEIGHTS: None}), "weights.safetensors is missing"
    lazy = text(network({"type": "Linear", "out_features": 3}))
    yield "weights of unknown sizes", described({MODEL: lazy}, outputs=["a"]), "sizes are unknown"


def models() -> Iterator[Case]:
    """Model files whose structure is right and whose dictionaries or manifest are not."""
    large = {**LINEAR, "in_features": 10**9, "out_features": 10**9}
    yield "10**18 parameters in a model file", described({MODEL: text(network(large))}), "max_bytes is 1,073,741,824"
    yield "a large type in a model file", described({MODEL: text(network(large))}, dtype="float64"), "max_bytes"
    yield "no model", described({MODEL: None}), "model.json is missing"
    yield "a model of no JSON", described({MODEL: b"{"}), "model.json is not a JSON file"
    yield "a model without a type", described({MODEL: text(network({}))}), 'without a "type"'
    yield "another model", described({MODEL: text(network({**LINEAR, "out_features": 4}))}), "of shape"
    manifest = json.loads(members()[MANIFEST])
    gives = {"format": "does not have the format", "version": "it has version None"}
    for name in ("format", "version", "graphdl", "torch", "dtype", "frozen", "outputs", "generator"):
        yield f"{name} null in the manifest", described({}, **{name: None}), gives.get(name, f"the entries {name} of")
        changed = text(without(manifest, name))
        yield (
            f"no {name} in the manifest",
            packed({**members(), MANIFEST: changed}),
            gives.get(name, f"the entries {name} of"),
        )
    yield "version 2 of the manifest", described({}, version=2), "reads version 1"
    yield "version 400 digits", described({}, version=10**400), "reads version 1"
    yield "an unknown entry in the manifest", described({}, code="os.system"), "code"
    yield "dtype int64", described({}, dtype="int64"), "dtype"
    yield "dtype float8", described({}, dtype="float8_e4m3fn"), "dtype"
    yield "dtype float4", described({}, dtype="float4_e2m1fn_x2"), "dtype"
    yield "dtype __class__", described({}, dtype="__class__"), "dtype"
    yield "dtype float64 of float32", described({}, dtype="float64"), "torch.float32 of shape"
    yield "frozen of an unknown node", described({}, frozen=["c"]), "'c'"
    yield "frozen in lists", described({}, frozen=[["a"]]), "frozen"
    yield "frozen twice", described({}, frozen=["a", "a"]), None
    yield "outputs of an unknown node", described({}, outputs=["c"]), "'c'"
    yield "no outputs", described({}, outputs=[]), "outputs"
    yield "an input as an output", described({}, outputs=["x"]), None
    yield "an inner output", described({}, outputs=["a"]), None
    yield "a generator of no base64", described({}, generator="!!"), "no valid state"
    yield "a short generator", described({}, generator="AAAA"), "no valid state"
    yield "a generator of ones", described({}, generator=base64.b64encode(b"\xff" * 5056).decode()), "no valid state"
    yield "a generator of zeros", described({}, generator=base64.b64encode(bytes(5056)).decode()), "no valid state"
    wrong = {**manifest, "members": {**manifest["members"], MODEL: {"bytes": 1, "sha256": "0" * 64}}}
    yield "a wrong digest", packed({**members(), MANIFEST: text(wrong)}), "not those of model.json"
    yield "a member that is not there", packed(without(members(), WEIGHTS)), "not those of model.json"
    yield "a manifest of no JSON", packed({**members(), MANIFEST: b"["}), "manifest.json is not a JSON file"
    yield "a deep manifest", packed({**members(), MANIFEST: b"[" * 100_000}), "nested too deeply"
    yield "a manifest in a list", packed({**members(), MANIFEST: b"[]"}), "does not have the format"
    repeated = members()[MANIFEST].replace(b'"version"', b'"version": 1, "version"')
    yield "version twice", packed({**members(), MANIFEST: repeated}), "more than once"


def zipped(held: list[tuple[Any, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as Python's zipfile writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in held:
            archive.writestr(name, content)
    return file.getvalue()


def containers() -> Iterator[Case]:
    """Zips that are not what graphdl writes."""
    good, held = saved(), members()
    other = "the file is damaged, or another program wrote it"
    listed = list(held.items())
    yield "a good model file", good, None
    yield "by another program", zipped(listed), other
    yield "compressed", zipped(listed, zipfile.ZIP_DEFLATED), other
    yield "compressed by bzip2", zipped(listed, zipfile.ZIP_BZIP2), other
    yield "compressed by lzma", zipped(listed, zipfile.ZIP_LZMA), other
    yield "a bomb of zip", zipped([(MODEL, bytes(2**25))], zipfile.ZIP_DEFLATED), other
    yield "a path that leaves", zipped([("../../../tmp/graphdl-was-here", b"x"), *listed]), other
    yield "an absolute path", zipped([("/tmp/graphdl-was-here", b"x"), *listed]), other
    link = zipfile.ZipInfo("model.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    yield "a symbolic link", zipped([(link, b"/etc/passwd"), *listed[2:]]), other
    yield "a pickle", zipped([("archive/data.pkl", b"\x80\x04cos\nsystem\n."), ("archive/version", b"3")]), other
    yield "an empty zip", zipped([]), "is not a JSON file"
    yield "5,000 members", zipped([(f"{k}", b"") for k in range(5000)]), other
    encrypted = bytearray(good)
    encrypted[6] |= 1
    yield "encrypted", bytes(encrypted), other
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    yield "encrypted in the directory as well", bytes(encrypted), other
    twice = packed({"manifest.json": held[MANIFEST]})[: -(56 + 20 + 22)]
    yield "a member twice", twice + good, other
    yield "trailing data in the zip", good + b"x", other
    yield "a comment of zip", good[:-2] + b"\x05\x00hello", other
    yield "data before the zip", b"#!/bin/sh\n" + good, "is not a JSON file"
    yield "two zips", good + good, other
    for length in (4, 10, 30, 100, len(good) // 2, len(good) - 100, len(good) - 22, len(good) - 1):
        yield f"{length} bytes of it", good[:length], "truncated" if length < 7000 else "its directory is wrong"
    sizes = bytearray(good)
    sizes[30 + len(MANIFEST) + 12 : 30 + len(MANIFEST) + 20] = b"\xff" * 8
    yield "a member of 2**64 bytes", bytes(sizes), "manifest.json is missing or truncated"
    yield "only the magic", b"PK\x03\x04", other
    yield "the magic and zeros", b"PK\x03\x04" + bytes(1000), "what it says of manifest.json is wrong"
    yield "in another order", packed({MODEL: held[MODEL], MANIFEST: held[MANIFEST], WEIGHTS: held[WEIGHTS]}), other
    yield "a member too many", packed({**held, "code.py": b"import os"}), other
    yield "another member", packed({MANIFEST: held[MANIFEST], MODEL: held[MODEL], "weights.pickle": b""}), other
    middle = bytearray(good)
    middle[good.index(held[WEIGHTS]) + 100] ^= 0xFF
    yield "a changed byte of the weights", bytes(middle), other


JSON_CASES = (no_json, no_network, operators, edges, names, bombs)
MODEL_CASES = (weights, models, containers)


def lines() -> Iterator[str]:
    """The lines of the file."""
    for kinds, suffix in ((JSON_CASES, "json"), (MODEL_CASES, "graphdl")):
        for kind in kinds:
            for name, content, gives in kind():
                line = {"name": name, "kind": kind.__name__, "file": f"model.{suffix}", "gives": gives}
                yield json.dumps({**line, **held(content)})


def held(content: bytes) -> dict[str, str]:
    """A content as it stands in the file."""
    try:
        if len(content) < 1000:
            return {"text": content.decode()}
    except UnicodeDecodeError:
        pass
    return {"deflated": base64.b64encode(zlib.compress(content, 9)).decode()}


def content_of(case: dict[str, Any]) -> bytes:
    """The content of a case."""
    if "text" in case:
        return str(case["text"]).encode()
    return zlib.decompress(base64.b64decode(case["deflated"]))


if __name__ == "__main__":
    CASES.write_text("".join(f"{line}\n" for line in lines()))
