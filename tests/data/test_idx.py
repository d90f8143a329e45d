from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphdl.data import mnist, read_idx
from graphdl.errors import FileFormatError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}

repeatable = settings(max_examples=60)


def encode(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, array, compress=False):
    content = encode(array)
    path.write_bytes(gzip.compress(content) if compress else content)
    return path


@st.composite
def arrays(draw):
    name = draw(st.sampled_from(sorted(CODES)))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    count = int(np.prod(shape, dtype=int))
    content = draw(st.binary(min_size=8 * count, max_size=8 * count))
    return np.frombuffer(content, dtype=name)[:count].reshape(shape)


@repeatable
@given(array=arrays(), compress=st.booleans())
def test_round_trip(tmp_path_factory, array, compress):
    tensor = read_idx(write(tmp_path_factory.mktemp("idx") / "array", array, compress))
    assert tensor.shape == array.shape
    assert tensor.dtype == getattr(torch, array.dtype.name)
    assert tensor.numpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("name", CODES)
def test_values_of_every_dtype(tmp_path, name):
    limits = np.finfo(name) if name.startswith("float") else np.iinfo(name)
    array = np.array([[limits.min, 0, 1], [2, 3, limits.max]], dtype=name)
    tensor = read_idx(write(tmp_path / "array", array))
    assert tensor.tolist() == array.tolist()
    assert tensor.dtype == getattr(torch, name)


def test_bytes_of_a_known_file(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(bytes.fromhex("00000B02 00000002 00000003 0001 0002 FFFF 0100 7FFF 8000"))
    assert read_idx(str(path)).tolist() == [[1, 2, -1], [256, 32767, -32768]]


def test_tensor_owns_its_memory(tmp_path):
    tensor = read_idx(write(tmp_path / "array", np.arange(5, dtype=np.uint8)))
    assert tensor.add_(1).tolist() == [1, 2, 3, 4, 5]


def test_data_longer_than_a_chunk(tmp_path):
    array = np.arange(700_000, dtype=np.int32).reshape(700, 1000)
    for compress in (False, True):
        assert np.array_equal(read_idx(write(tmp_path / "array", array, compress)).numpy(), array)


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    array = np.arange(5, dtype=np.uint8)
    assert read_idx(write(tmp_path / "plain.gz", array)).tolist() == array.tolist()
    assert read_idx(write(tmp_path / "compressed", array, compress=True)).tolist() == array.tolist()


def test_many_axes(tmp_path):
    assert read_idx(write(tmp_path / "array", np.ones((1,) * 32, dtype=np.int8))).shape == (1,) * 32
    path = tmp_path / "most"
    path.write_bytes(b"\0\0\x08\xff" + struct.pack(">I", 1) * 255 + b"\x07")
    assert read_idx(path).shape == (1,) * 255


class TestBrokenFiles:
    def refused(self, tmp_path, content, text):
        for stored in (content, gzip.compress(content)):
            path = tmp_path / "array"
            path.write_bytes(stored)
            with pytest.raises(FileFormatError, match=text) as caught:
                read_idx(path)
            assert str(caught.value).startswith(f"{path}: ")

    def test_truncated_anywhere(self, tmp_path):
        content = encode(np.arange(6, dtype=np.int16).reshape(2, 3))
        for length in range(4):
            self.refused(tmp_path, content[:length], rf"it ends within its header, after {length} of at least 4")
        for length in range(4, 12):
            text = rf"ends within its header, which takes 12 bytes for 2 axes; it has {length}\.$"
            self.refused(tmp_path, content[:length], text)
        for length in range(12, 24):
            text = rf"gives int16 of shape \(2, 3\), 12 bytes of data, but the file has only {length - 12}\."
            self.refused(tmp_path, content[:length], text)

    def test_trailing_bytes(self, tmp_path):
        content = encode(np.arange(6, dtype=np.uint8)) + b"\0"
        self.refused(tmp_path, content, r"uint8 of shape \(6,\), 6 bytes of data, but the file has more\.")

    def test_no_idx_file(self, tmp_path):
        text = r"not an IDX file: it starts with the bytes 89 50, not with 00 00\.$"
        self.refused(tmp_path, b"\x89PNG\r\n\x1a\n", text)
        self.refused(tmp_path, b"\x00\x01\x08\x01", r"starts with the bytes 00 01")

    @pytest.mark.parametrize("code", [0x00, 0x0A, 0x0F, 0xFF])
    def test_unknown_dtype(self, tmp_path, code):
        text = rf"unknown dtype code 0x{code:02X}; it must be one of 0x08 \(uint8\), .* \(float64\)\.$"
        self.refused(tmp_path, bytes([0, 0, code, 1, 0, 0, 0, 0]), text)

    def test_huge_lengths_allocate_nothing(self, tmp_path):
        content = b"\0\0\x0e\x02" + struct.pack(">2I", 2**29, 2**29) + b"12345678"
        tracemalloc.start()
        try:
            self.refused(tmp_path, content, rf"{2**61:,} bytes, and max_bytes is 1,073,741,824: if the file is trusted")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2**23

    @pytest.mark.parametrize(("said", "text"), [(2**26, "max_bytes is 1,000,000:"), (1000, "but the file has more")])
    def test_a_bomb_of_gzip_is_not_unpacked(self, tmp_path, said, text):
        path = tmp_path / "array"
        path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", said) + bytes(2**26)))
        assert path.stat().st_size < 2**17
        tracemalloc.start()
        try:
            with pytest.raises(FileFormatError, match=text):
                read_idx(path, max_bytes=1_000_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2**22

    @pytest.mark.parametrize("lengths", [(2**32 - 1,) * 2, (2**32 - 1,) * 255, (0, *(2**32 - 1,) * 4)])
    def test_more_than_any_array_can_hold(self, tmp_path, lengths):
        content = bytes([0, 0, 0x0E, len(lengths)]) + struct.pack(f">{len(lengths)}I", *lengths)
        self.refused(tmp_path, content, r"gives shape \(.*\), which is larger than any array can be\.$")

    def test_missing_file(self, tmp_path):
        write(tmp_path / "train-images-idx3-ubyte", np.zeros(1, dtype=np.uint8))
        text = (
            r"train-image-idx3-ubyte: there is no such file\. The folder holds train-images-idx3-ubyte\. "
            r"Did you mean 'train-images-idx3-ubyte'\?$"
        )
        with pytest.raises(FileFormatError, match=text):
            read_idx(tmp_path / "train-image-idx3-ubyte")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(FileFormatError, match=r"no such file\. The folder .*nowhere does not exist\.$"):
            read_idx(tmp_path / "nowhere" / "array")

    def test_folder_instead_of_a_file(self, tmp_path):
        with pytest.raises(FileFormatError, match=r"it cannot be read \(Is a directory\): give a readable file\.$"):
            read_idx(tmp_path)

    def test_corrupt_gzip(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
        whole = gzip.compress(encode(array), mtime=0)
        damaged = bytearray(whole)
        damaged[-8] ^= 0xFF
        scrambled = whole[:20] + bytes([255] * 40) + whole[60:]
        cut = [whole[:length] for length in (2, 9, 15, 2000, len(whole) - 8, len(whole) - 1)]
        for content in [bytes(damaged), scrambled, whole + b"more", *cut]:
            path = tmp_path / "array.gz"
            path.write_bytes(content)
            with pytest.raises(FileFormatError, match=r"array\.gz: its gzip data are corrupt or truncated \(.+\)"):
                read_idx(path)

    @repeatable
    @given(position=st.integers(0, 10_000), value=st.integers(0, 255), compress=st.booleans())
    def test_any_changed_byte_is_read_or_explained(self, tmp_path_factory, position, value, compress):
        path = tmp_path_factory.mktemp("idx") / "array"
        content = bytearray(write(path, np.arange(12, dtype=np.int32).reshape(3, 4), compress).read_bytes())
        content[position % len(content)] = value
        path.write_bytes(content)
        try:
            assert read_idx(path).numel() <= 48
        except FileFormatError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017


IMAGES = np.arange(3 * 28 * 28, dtype=np.int64).reshape(3, 28, 28).astype(np.uint8)
LABELS = np.array([7, 0, 9], dtype=np.uint8)


def write_set(folder, images=IMAGES, labels=LABELS, part="train", mark="-", ending=""):
    write(folder / f"{part}-images{mark}idx3-ubyte{ending}", images, compress=ending == ".gz")
    write(folder / f"{part}-labels{mark}idx1-ubyte{ending}", labels, compress=ending == ".gz")


class TestMnist:
    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("mark", ["-", "."])
    @pytest.mark.parametrize("part", ["train", "t10k"])
    def test_every_spelling(self, tmp_path, part, mark, ending):
        write_set(tmp_path, part=part, mark=mark, ending=ending)
        images, labels = mnist(str(tmp_path), train=part == "train")
        assert images.shape == (3, 28, 28)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64
        assert labels.tolist() == [7, 0, 9]
        assert torch.equal(images, torch.from_numpy(IMAGES).float() / 255)
        assert (images.min(), images.max()) == (0, 1)

    def test_training_part_unless_told_otherwise(self, tmp_path):
        write_set(tmp_path)
        write_set(tmp_path, images=IMAGES[:1], labels=LABELS[:1], part="t10k")
        assert len(mnist(tmp_path)[1]) == 3
        assert len(mnist(tmp_path, train=False)[1]) == 1

    def test_missing_file_names_what_was_looked_for_and_found(self, tmp_path):
        write_set(tmp_path)
        (tmp_path / "train-images-idx3-ubyte").rename(tmp_path / "train-images-idx3-ubyt")
        text = (
            r"no file of the train images: searched for train-images-idx3-ubyte, train-images-idx3-ubyte\.gz, "
            r"train-images\.idx3-ubyte and train-images\.idx3-ubyte\.gz\. The folder holds "
            r"train-images-idx3-ubyt and train-labels-idx1-ubyte\. Did you mean 'train-images-idx3-ubyt'\?$"
        )
        with pytest.raises(FileFormatError, match=text):
            mnist(tmp_path)

    def test_another_file_of_the_set_is_no_misspelling(self, tmp_path):
        write_set(tmp_path)
        (tmp_path / "train-labels-idx1-ubyte").unlink()
        with pytest.raises(FileFormatError, match=r"train labels: .* holds train-images-idx3-ubyte\.$"):
            mnist(tmp_path)

    def test_empty_and_missing_folder(self, tmp_path):
        with pytest.raises(FileFormatError, match=r"no file of the t10k images: .* The folder is empty\.$"):
            mnist(tmp_path, train=False)
        with pytest.raises(FileFormatError, match=r"The folder .*nowhere does not exist\.$"):
            mnist(tmp_path / "nowhere")

    def test_counts_disagree(self, tmp_path):
        write_set(tmp_path, labels=LABELS[:2])
        text = r"images-idx3-ubyte holds 3 images and train-labels-idx1-ubyte 2 labels: each image needs"
        with pytest.raises(FileFormatError, match=text):
            mnist(tmp_path)

    def test_label_out_of_range(self, tmp_path):
        write_set(tmp_path, labels=np.array([7, 10, 11], dtype=np.uint8))
        text = r"train-labels-idx1-ubyte: label 10 at position 1, but labels must be in 0 \.\.\. 9: use read_idx"
        with pytest.raises(FileFormatError, match=text):
            mnist(tmp_path)

    @pytest.mark.parametrize("images", [IMAGES[:, :27], IMAGES[0], IMAGES.astype(np.int32), IMAGES[..., None]])
    def test_images_of_another_kind(self, tmp_path, images):
        write_set(tmp_path, images=images)
        text = r"images-idx3-ubyte: it holds .* of shape .*; expected torch\.uint8 of shape \(n, 28, 28\)\.$"
        with pytest.raises(FileFormatError, match=text):
            mnist(tmp_path)

    @pytest.mark.parametrize("labels", [LABELS[:, None], LABELS.astype(np.int8)])
    def test_labels_of_another_kind(self, tmp_path, labels):
        write_set(tmp_path, labels=labels)
        with pytest.raises(FileFormatError, match=r"labels-idx1-ubyte: .*; expected torch\.uint8 of shape \(n,\)"):
            mnist(tmp_path)
