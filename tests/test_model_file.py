"""The model file: what it holds, that it is reproducible, and that damage and excess are refused."""

import hashlib
import json
import random
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from graphdl import (
    BatchNorm1d,
    Block,
    Dropout,
    Linear,
    MSELoss,
    Network,
    ReLU,
    Shared,
    Tanh,
    fit,
    initializers,
)
from graphdl.errors import FileFormatError, SettingError
from graphdl.optim import Adam

X, Y = torch.linspace(-1, 1, 40).reshape(20, 2), torch.linspace(0, 1, 20)[:, None]
LAYER = Block(
    {"fc": Linear(4, 4), "norm": BatchNorm1d(4), "act": ReLU()}, {"x": ["fc"], "fc": ["norm"], "norm": ["act"]}
)


def trained(dtype=torch.float32):
    operators = {
        "in": Linear(2, 4), "one": LAYER, "two": Shared("one"), "drop": Dropout(0.5), "out": Linear(4, 1),
        "loss": MSELoss(),
    }  # fmt: skip
    connectivity = {"x": ["in"], "in": ["one"], "one": ["two"], "two": ["drop"], "drop": ["out"], "out": ["loss"]}
    net = Network(operators, {**connectivity, "target": ["loss"]}, seed=3, dtype=dtype)
    train(net)
    return net.freeze("in")


def train(net):
    fit(net, {"x": X, "target": Y}, optimizer=Adam(lr=1e-2), epochs=2, batch_size=10, seed=5, progress=False)


def same(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert tensor.equal(other.state_dict()[name]), name
    assert one.to_dict() == other.to_dict()
    assert (one.dtype, one.outputs, one.engine.frozen) == (other.dtype, other.outputs, other.engine.frozen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_network_comes_back_and_trains_on_as_it_would_have(dtype, tmp_path):
    net = trained(dtype)
    before = torch.get_rng_state()
    again = Network.load(net.save(tmp_path / "model.graphdl"))
    assert torch.get_rng_state().equal(before)
    same(again, net)
    assert again.predict(X).equal(net.predict(X))
    train(net)
    train(again)
    same(again, net)


def test_equal_networks_have_equal_files_in_every_process(tmp_path):
    script = (
        "import sys; sys.path.insert(0, '.')\nfrom tests.test_model_file import trained\n"
        f"trained().freeze('out').save({str(tmp_path / 'other.graphdl')!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"})
    path = trained().freeze("out").save(tmp_path / "model.graphdl")
    assert path.read_bytes() == (tmp_path / "other.graphdl").read_bytes()
    again = Network.load(path).save(tmp_path / "again.graphdl")
    assert path.read_bytes() == again.read_bytes()


def test_it_is_a_zip_of_three_stored_members(tmp_path):
    net = trained()
    with zipfile.ZipFile(net.save(tmp_path / "model.graphdl")) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == ["manifest.json", "model.json", "weights.safetensors"]
        manifest = json.loads(archive.read("manifest.json"))
        for name, entry in manifest["members"].items():
            assert entry == {"bytes": len(archive.read(name)), "sha256": hashlib.sha256(archive.read(name)).hexdigest()}
        archive.extractall(tmp_path)
    assert (manifest["format"], manifest["version"], manifest["torch"]) == ("graphdl model file", 1, torch.__version__)
    plain = Network.load(tmp_path / "model.json")
    plain.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert plain.predict(X).equal(net.predict(X))
    assert (tmp_path / "model.json").read_bytes() == net.save(tmp_path / "plain.json").read_bytes()


def test_seed_and_type_may_be_chosen(tmp_path):
    path = trained().save(tmp_path / "model.graphdl")
    net = Network.load(path, seed=11, dtype=torch.float64)
    assert net.generator.get_state().equal(torch.Generator().manual_seed(11).get_state())
    assert {tensor.dtype for tensor in net.parameters.values()} == {torch.float64}
    assert net.parameters["in.weight"].equal(Network.load(path).parameters["in.weight"].double())


def test_a_network_without_sizes_and_a_part(tmp_path):
    lazy = Network({"fc": Linear(out_features=3)}, {"x": ["fc"]}, seed=1)
    again = Network.load(lazy.save(tmp_path / "lazy.graphdl"))
    assert again.predict(X).equal(lazy.predict(X))
    part = trained().part(["x"], ["in", "one"])
    found = Network.load(part.save(tmp_path / "part.graphdl"))
    assert found.outputs == part.outputs
    assert found.predict(X)["in"].equal(part.predict(X)["in"])


def test_integer_keys(tmp_path):
    net = Network({1: Linear(2, 2), 2: Tanh()}, {0: [1], 1: [2]}, seed=1).freeze(1)
    same(Network.load(net.save(tmp_path / "net.graphdl")), net)


def test_loading_on_meta_reads_and_checks_and_makes_nothing(tmp_path):
    path = trained().save(tmp_path / "model.graphdl")
    net = Network.load(path, device="meta", max_bytes=100_000)
    assert all(tensor.is_meta for tensor in net.state_dict().values())
    assert net.summary() == Network.load(path).summary()
    content = bytearray(path.read_bytes())
    content[content.index(b"in.weight") + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="wrong"):
        Network.load(path, device="meta")
    with pytest.raises(SettingError, match="has no values"):
        net.save(tmp_path / "hollow.graphdl")
    filled = net.to("cpu")
    assert not filled.parameters["in.weight"].any()


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = trained().save(tmp_path / "model.graphdl")
    before = path.read_bytes()
    with pytest.raises(SettingError, match="infinite"):
        Network({"a": Linear(2, 2, weight=initializers.Constant(float("inf")))}, {"x": ["a"]}).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.graphdl"]


def test_what_is_too_large_is_refused_with_what_it_needs(tmp_path):
    net = Network({"a": Linear(10**9, 10**9)}, {"x": ["a"]}, device="meta")
    path = net.save(tmp_path / "large.json")
    text = (
        r"large\.json: its tensors take 4,000,000,004,000,000,000 bytes, and max_bytes is 1,073,741,824\. The largest"
    )
    with pytest.raises(FileFormatError, match=rf"{text} is a\.weight with the shape \(1000000000, 1000000000\)"):
        Network.load(path)
    assert "1,000,000,001,000,000,000 parameters" in Network.load(path, device="meta").summary()
    with pytest.raises(FileFormatError, match="max_bytes is 23"):
        Network.from_dict(Network({"a": Linear(2, 2)}, {"x": ["a"]}).to_dict(), max_bytes=23)
    assert Network.from_dict(Network({"a": Linear(2, 2)}, {"x": ["a"]}).to_dict(), max_bytes=24)
    small = trained().save(tmp_path / "model.graphdl")
    with pytest.raises(FileFormatError, match="max_bytes is 1,000"):
        Network.load(small, max_bytes=1000)


FLIPS = 1000


def test_every_flip_of_a_bit_is_detected(tmp_path, request):
    path = Network({"a": Linear(2, 2), "b": Tanh()}, {"x": ["a"], "a": ["b"]}, seed=1).save(tmp_path / "model.graphdl")
    content = path.read_bytes()
    bits = range(8 * len(content))
    if not request.config.getoption("--every-check"):  # run it with --every-check for all of them
        structure = [bit for bit in bits if bit < 8 * 60 or bit > 8 * (len(content) - 500)]
        chosen = random.Random(10)
        bits = {*chosen.sample(bits, FLIPS // 2), *chosen.sample(structure, FLIPS // 2)}
    let_pass = []
    for bit in bits:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            Network.load(path)
            let_pass.append(bit)
        except FileFormatError:
            pass
    print(f"{len(bits):,} single bits flipped, {len(let_pass)} let pass")
    assert let_pass == []


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.safetensors"])
def test_suffixes_of_other_files_are_refused(name, tmp_path):
    net = Network({"fc": Linear(2, 1)}, {"x": ["fc"]}, seed=0)
    with pytest.raises(SettingError, match=r"Save the network with its weights as a \.graphdl file"):
        net.save(tmp_path / name)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "content"), [("net.graphdl", b"\x89PNG\r\n\x1a\n"), ("wine.csv", b"a,b\n1,2\n")])
def test_files_of_other_programs_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=r"it is not a JSON file of a network, nor a model file"):
        Network.load(tmp_path / name)
