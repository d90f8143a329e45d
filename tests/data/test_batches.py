from __future__ import annotations

import itertools
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphdl.data import Batches, batches
from graphdl.errors import SettingError, ShapeError

repeatable = settings(max_examples=60)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def order(batches):
    return torch.cat([batch["x"] for batch in batches]).tolist()


@repeatable
@given(rows=st.integers(1, 50), size=st.integers(1, 60), shuffle=st.booleans(), block=st.integers(1, 2000))
def test_an_epoch_is_every_row_once(rows, size, shuffle, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BLOCK_BYTES", block)
        data = {"x": torch.arange(rows), 2: torch.arange(rows).float().unsqueeze(1) * 2}
        epoch = list(Batches(data, size, shuffle=shuffle, generator=generator()))
    sizes = [len(batch["x"]) for batch in epoch]
    assert len(Batches(data, size)) == len(epoch) == len(sizes)
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert 1 <= sizes[-1] <= size
    assert sorted(order(epoch)) == list(range(rows))
    for batch in epoch:
        assert list(batch) == ["x", 2]
        assert torch.equal(batch[2], batch["x"].unsqueeze(1) * 2.0)


def test_order_of_the_data_without_shuffle():
    unshuffled = Batches({"x": torch.arange(23)}, 5, shuffle=False)
    assert order(unshuffled) == order(unshuffled) == list(range(23))


def test_without_shuffle_no_random_numbers_are_drawn():
    before = torch.get_rng_state()
    list(Batches({"x": torch.arange(23)}, 5, shuffle=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_shuffles_unless_told_otherwise():
    assert order(Batches({"x": torch.arange(100)}, 10, generator=generator())) != list(range(100))


def test_each_epoch_has_its_own_order():
    shuffled = Batches({"x": torch.arange(100)}, 10, generator=generator())
    assert order(shuffled) != order(shuffled)


def test_generator_fixes_the_orders_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    first = Batches({"x": torch.arange(100)}, 10, generator=generator(1))
    second = Batches({"x": torch.arange(100)}, 10, generator=generator(1))
    assert [order(first), order(first)] == [order(second), order(second)]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_generator_draws_from_the_global_one():
    torch.manual_seed(3)
    first = order(Batches({"x": torch.arange(100)}, 10))
    torch.manual_seed(3)
    assert order(Batches({"x": torch.arange(100)}, 10)) == first


def test_order_is_one_permutation_whatever_the_data_and_the_block(monkeypatch):
    expected = torch.randperm(100, generator=generator(2)).tolist()
    assert order(Batches({"x": torch.arange(100)}, 7, generator=generator(2))) == expected
    assert order(Batches({"x": torch.arange(100).to(torch.uint8)}, 9, generator=generator(2))) == expected
    monkeypatch.setattr(batches, "BLOCK_BYTES", 1)
    assert order(Batches({"x": torch.arange(100)}, 7, generator=generator(2))) == expected


def test_every_position_is_as_likely():
    shuffled = Batches({"x": torch.arange(5)}, 2, generator=generator())
    positions = torch.tensor([order(shuffled) for _ in range(4000)])
    for value in range(5):
        shares = (positions == value).double().mean(dim=0)
        assert torch.allclose(shares, torch.full_like(shares, 0.2), atol=0.03)


def test_iterations_do_not_disturb_each_other():
    shuffled = Batches({"x": torch.arange(10)}, 3, generator=generator())
    pairs = list(itertools.zip_longest(shuffled, shuffled))
    assert sorted(order(a for a, _ in pairs)) == sorted(order(b for _, b in pairs)) == list(range(10))


def test_data_are_left_alone():
    x = torch.arange(10)
    for batch in Batches({"x": x}, 3, generator=generator()):
        batch["x"].zero_()
        batch["new"] = x
    assert x.tolist() == list(range(10))


def test_small_data_are_gathered_at_once_and_large_data_in_blocks(monkeypatch):
    x = torch.zeros(100, 4)
    gathered = Batches({"x": x, "y": torch.zeros(100)}, 7, generator=generator())
    assert {batch["x"].untyped_storage().nbytes() for batch in gathered} == {1600}
    monkeypatch.setattr(batches, "BLOCK_BYTES", 20 * 7 * 3 + 19)
    in_blocks = Batches({"x": x, "y": torch.zeros(100)}, 7, generator=generator())
    sizes = [batch["x"].untyped_storage().nbytes() for batch in in_blocks]
    assert sizes == [16 * 7 * 3] * 12 + [16 * (100 - 84)] * 3


def test_rows_and_settings():
    three = Batches({"x": torch.zeros(10, 2)}, np.int64(4))
    assert (three.rows, three.batch_size, len(three)) == (10, 4, 3)
    assert type(three.batch_size) is int


@pytest.mark.parametrize("size", [10, 11, sys.maxsize, 2**70])
def test_one_batch(size):
    for shuffle in (False, True):
        whole = Batches({"x": torch.arange(10)}, size, shuffle=shuffle)
        assert len(whole) == 1
        assert [len(batch["x"]) for batch in whole] == [10]


def test_rows_without_elements():
    assert [batch["x"].shape for batch in Batches({"x": torch.zeros(3, 0)}, 2)] == [(2, 0), (1, 0)]


@on_gpu
def test_data_stay_on_their_device_and_the_order_is_that_of_the_cpu():
    data = {"x": torch.arange(100, device="cuda"), "y": torch.arange(100)}
    for batch in Batches(data, 7, generator=generator()):
        assert (batch["x"].device.type, batch["y"].device.type) == ("cuda", "cpu")
        assert torch.equal(batch["x"].cpu(), batch["y"])


@on_gpu
def test_generator_on_a_gpu():
    with pytest.raises(SettingError, match=r"^The generator is on cuda.*: give one on the CPU"):
        Batches({"x": torch.arange(3)}, 1, generator=torch.Generator("cuda"))


def test_generator_that_is_not_on_the_cpu():
    with pytest.raises(SettingError, match=r"^The generator is on meta: give one on the CPU"):
        Batches({"x": torch.arange(3)}, 1, generator=Mock(device=torch.device("meta")))


def test_lengths_differ():
    with pytest.raises(ShapeError, match=r"number of rows: 'x' has 3 and 2 has 4\. Each row is"):
        Batches({"x": torch.zeros(3), 2: torch.zeros(4)}, 1)


def test_no_rows():
    with pytest.raises(ShapeError, match=r"^'x': 0 rows, but at least one is needed"):
        Batches({"x": torch.zeros(0, 2)}, 1)


@pytest.mark.parametrize("size", [0, -3, 2.0, True, None])
def test_bad_batch_size(size):
    with pytest.raises(SettingError, match=rf"^batch_size is {size!r}: give a whole number of at least 1\.$"):
        Batches({"x": torch.zeros(3)}, size)


def test_inputs_are_no_dict_of_tensors():
    with pytest.raises(SettingError, match=r"^inputs must be a dict \{name: tensor\}, not a Tensor"):
        Batches(torch.zeros(3), 1)
    with pytest.raises(SettingError, match=r"^'x' is a list, not a tensor"):
        Batches({"x": [1, 2]}, 1)
    with pytest.raises(SettingError, match=r"^No tensors were given"):
        Batches({}, 1)


def test_batches_of_rows_without_columns():
    bundles = Batches({"x": torch.zeros(5, 0)}, batch_size=2, shuffle=False).bundles()
    assert [bundle.stacked("x").shape for bundle in bundles] == [(2, 2, 0), (1, 1, 0)]
