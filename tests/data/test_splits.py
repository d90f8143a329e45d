from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphdl.data import kfold, split
from graphdl.errors import MissingPackageError, SettingError, ShapeError

repeatable = settings(max_examples=60)


def test_parts_hold_the_same_rows_of_each_tensor():
    x = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    y = x.sum(dim=1)
    (x_train, y_train), (x_test, y_test) = split(x, y, fractions=(0.8, 0.2), seed=0)
    assert (x_train.shape, y_train.shape) == ((80, 3), (80,))
    assert (x_test.shape, y_test.shape) == ((20, 3), (20,))
    assert torch.equal(x_train.sum(dim=1), y_train)
    assert torch.equal(x_test.sum(dim=1), y_test)


def test_four_fifths_and_one_unless_told_otherwise():
    assert [len(rows) for (rows,) in split(torch.arange(1000), seed=0)] == [800, 200]


@pytest.mark.parametrize(
    ("rows", "fractions", "sizes"),
    [
        (1000, (0.7, 0.2, 0.1), [700, 200, 100]),
        (10, (1 / 3, 1 / 3, 1 / 3), [3, 4, 3]),
        (1200, [5 / 6, 1 / 6], [1000, 200]),
        (5_000_000, (0.3333333, 0.3333333, 0.3333333), [1666667, 1666666, 1666667]),
    ],
)
def test_sizes(rows, fractions, sizes):
    parts = split(torch.arange(rows), fractions=fractions, seed=0)
    assert [len(part) for (part,) in parts] == sizes


@repeatable
@given(
    rows=st.integers(2, 60),
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_row_is_in_exactly_one_part(rows, weights, seed):
    fractions = [weight / sum(weights) for weight in weights]
    try:
        parts = split(torch.arange(rows), fractions=fractions, seed=seed)
    except SettingError as error:
        assert "without rows" in str(error)  # noqa: PT017
        assert min(fractions) * rows < 1
        return
    assert torch.cat([part for (part,) in parts]).sort().values.tolist() == list(range(rows))
    for (part,), fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - fraction * rows) <= 1


@repeatable
@given(counts=st.lists(st.integers(10, 40), min_size=2, max_size=4), seed=st.integers(0, 1000))
def test_stratified_parts_keep_the_shares_of_the_classes(counts, seed):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    parts = split(labels, torch.arange(len(labels)), fractions=(0.5, 0.25, 0.25), seed=seed, stratify=labels)
    assert torch.cat([rows for _, rows in parts]).sort().values.tolist() == list(range(len(labels)))
    for part, _ in parts:
        shares = part.bincount(minlength=len(counts)) / torch.tensor(counts)
        assert ((shares - len(part) / len(labels)).abs() * torch.tensor(counts) <= 2).all()


def test_stratify_takes_any_labels():
    labels = torch.tensor([0.5, -1.0] * 20, dtype=torch.bfloat16)
    for (part,) in split(labels, fractions=(0.5, 0.5), seed=0, stratify=labels):
        assert (part > 0).sum() == 10


def test_rows_are_shuffled():
    (train,), (test,) = split(torch.arange(10_000), seed=0)
    assert train.double().mean().item() == pytest.approx(5000, abs=100)
    assert test.double().mean().item() == pytest.approx(5000, abs=300)
    assert (train.diff() > 0).double().mean().item() == pytest.approx(0.5, abs=0.02)


def test_seed_fixes_the_parts_and_leaves_global_generators_alone():
    before = torch.get_rng_state()
    first, second = split(torch.arange(50), seed=4), split(torch.arange(50), seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for (a,), (b,) in zip(first, second, strict=True))
    assert not torch.equal(first[0][0], split(torch.arange(50), seed=5)[0][0])


def test_without_seed_draws_from_the_global_generator():
    torch.manual_seed(6)
    first, following = split(torch.arange(50)), split(torch.arange(50))
    torch.manual_seed(6)
    again = split(torch.arange(50))
    assert torch.equal(first[0][0], again[0][0])
    assert not torch.equal(first[0][0], following[0][0])


@pytest.mark.parametrize("fractions", [(0.8, 0.3), (0.5, 0.4), (1.2, -0.2), (1.0, 0.0), (1.0,), ()])
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    text = r"^fractions are \(.*\), which sum to [\d.]+: give at least two positive numbers that sum to 1"
    with pytest.raises(SettingError, match=text):
        split(torch.arange(10), fractions=fractions)


@pytest.mark.parametrize("fractions", [0.8, None, {0.8, 0.2}])
def test_fractions_must_be_a_sequence(fractions):
    with pytest.raises(
        SettingError, match=r"^fractions are .*: give one number for each part, as in \(0\.8, 0\.2\)\.$"
    ):
        split(torch.arange(10), fractions=fractions)


@pytest.mark.parametrize("fraction", [math.nan, "0.2"])
def test_fractions_must_be_numbers(fraction):
    with pytest.raises(SettingError, match=r"^A fraction is .*: give a finite number\.$"):
        split(torch.arange(10), fractions=(0.8, fraction))


def test_no_part_is_empty():
    text = r"^fractions \(0\.9, 0\.05, 0\.05\) of 4 rows leave part 2 without rows: give more rows"
    with pytest.raises(SettingError, match=text):
        split(torch.arange(4), fractions=(0.9, 0.05, 0.05))


def test_tensors_differ_in_length():
    with pytest.raises(ShapeError, match=r"rows: tensor 1 has 3 and tensor 2 has 4\."):
        split(torch.zeros(3), torch.zeros(4))


def test_no_tensors():
    with pytest.raises(SettingError, match=r"^No tensors were given"):
        split()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0])
def test_bad_seed(seed):
    with pytest.raises(SettingError, match=r"^seed is .*: give a whole number from 0 to 4294967295\.$"):
        split(torch.arange(10), seed=seed)


@pytest.mark.parametrize("shape", [(9,), (10, 2)])
def test_stratify_has_another_shape(shape):
    with pytest.raises(ShapeError, match=r"^stratify has shape .*: give one label for each row, shape \(10,\)\.$"):
        split(torch.arange(10), stratify=torch.zeros(shape))


def test_stratify_has_a_label_for_each_row():
    with pytest.raises(ShapeError, match=r"^stratify has shape \(2,\): give one label for each row, shape \(10,\)"):
        split(torch.arange(10), stratify=[0, 1])


@pytest.mark.parametrize("labels", [[0] * 9 + [1], list(range(5)) * 2])
def test_classes_too_small_to_stratify(labels):
    text = r"^stratify cannot keep the proportions of classes in parts of 8 and 2 rows\. .* Give more rows"
    with pytest.raises(SettingError, match=text):
        split(torch.arange(10), stratify=torch.tensor(labels), seed=0)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    text = r"^split\(\) needs scikit-learn, which cannot be imported .*: pip install 'graphdl\[sklearn\]'\.$"
    with pytest.raises(MissingPackageError, match=text):
        split(torch.arange(10))


class TestKFold:
    @repeatable
    @given(rows=st.integers(2, 60), folds=st.integers(2, 60), seed=st.integers(0, 2**32 - 1))
    def test_every_row_validates_exactly_once(self, rows, folds, seed):
        if folds > rows:
            with pytest.raises(SettingError, match=rf"^folds is {folds}: give a whole number from 2 to {rows}\.$"):
                kfold(rows, folds, seed=seed)
            return
        splits = kfold(rows, folds, seed=seed)
        assert len(splits) == folds
        assert torch.cat([validation for _, validation in splits]).sort().values.tolist() == list(range(rows))
        for training, validation in splits:
            assert training.dtype == validation.dtype == torch.int64
            assert torch.cat([training, validation]).sort().values.tolist() == list(range(rows))
            assert len(validation) in (rows // folds, -(-rows // folds))

    @repeatable
    @given(counts=st.lists(st.integers(5, 40), min_size=2, max_size=4), seed=st.integers(0, 1000))
    def test_stratified_folds_keep_the_shares_of_the_classes(self, counts, seed):
        labels = torch.repeat_interleave(torch.arange(len(counts)) * 7, torch.tensor(counts))
        splits = kfold(labels, 5, seed=seed, stratify=labels)
        assert torch.cat([validation for _, validation in splits]).sort().values.tolist() == list(range(len(labels)))
        for _, validation in splits:
            held = [int((labels[validation] == 7 * number).sum()) for number in range(len(counts))]
            assert all(abs(a - count / 5) < 1 for a, count in zip(held, counts, strict=True))

    def test_rows_are_shuffled_and_sorted_within_a_fold(self):
        (_, first), *_ = kfold(torch.zeros(1000, 2), 4, seed=0)
        assert (first.diff() > 0).all()
        assert first.double().mean().item() == pytest.approx(500, abs=50)
        assert first.max() > 900

    def test_seed_fixes_the_folds_and_leaves_the_global_generator_alone(self):
        before = torch.get_rng_state()
        first, second, third = (kfold(50, seed=seed) for seed in (4, 4, 5))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))
        assert not torch.equal(first[0][1], third[0][1])

    def test_without_seed_draws_from_the_global_generator(self):
        torch.manual_seed(6)
        first, following = kfold(50), kfold(50)
        torch.manual_seed(6)
        again = kfold(50)
        assert torch.equal(first[0][1], again[0][1])
        assert not torch.equal(first[0][1], following[0][1])

    def test_a_class_smaller_than_the_folds(self):
        text = r"^folds is 4, but the smallest class of stratify has 3 rows, and each fold needs one: give fewer"
        with pytest.raises(SettingError, match=text):
            kfold(10, 4, stratify=torch.tensor([0] * 7 + [1] * 3))

    def test_wrong_arguments(self):
        with pytest.raises(SettingError, match=r"^rows is 1: give a whole number of at least 2\.$"):
            kfold(torch.zeros(1, 2))
        with pytest.raises(
            ShapeError, match=r"^stratify has shape \(9, 2\): give one label for each row, shape \(9,\)"
        ):
            kfold(9, 3, stratify=torch.zeros(9, 2))

    def test_without_scikit_learn(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
        with pytest.raises(MissingPackageError, match=r"^kfold\(\) needs scikit-learn, which cannot be imported"):
            kfold(10)
