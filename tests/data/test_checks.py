from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from graphdl.data.checks import common_rows, finite_number, scikit_learn, whole_number
from graphdl.errors import MissingPackageError, SettingError, ShapeError


@pytest.mark.parametrize("value", [1, 5, np.int64(3), np.uint8(2)])
def test_whole_number_becomes_an_int(value):
    number = whole_number("n", value, least=1, most=5)
    assert number == value
    assert type(number) is int


@pytest.mark.parametrize("value", [0, 6, 2.0, True, np.True_, "3", None, torch.tensor(3)])
def test_no_whole_number_within_the_limits(value):
    with pytest.raises(SettingError, match=r"^n is .*: give a whole number from 1 to 5\.$"):
        whole_number("n", value, least=1, most=5)


@pytest.mark.parametrize("value", [0, 1.5, np.float32(2)])
def test_finite_number_becomes_a_float(value):
    number = finite_number("noise", value, least=0)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", None])
def test_no_finite_number_above_the_limit(value):
    with pytest.raises(SettingError, match=r"^noise is .*: give a finite number of at least 0\.$"):
        finite_number("noise", value, least=0)


def test_common_rows():
    assert common_rows({"x": torch.zeros(3, 2), "y": torch.zeros(3)}) == 3


def test_rows_differ():
    text = r"^The tensors differ in their number of rows: x has 3, y has 4 and z has 3\. Each row is one"
    with pytest.raises(ShapeError, match=text):
        common_rows({"x": torch.zeros(3), "y": torch.zeros(4, 1), "z": torch.zeros(3)})


def test_no_rows():
    with pytest.raises(ShapeError, match=r"^x and y: 0 rows, but at least one is needed\."):
        common_rows({"x": torch.zeros(0, 2), "y": torch.zeros(0)})


def test_no_axis():
    with pytest.raises(ShapeError, match=r"^y has shape \(\), so it has no rows: give it a first axis"):
        common_rows({"x": torch.zeros(1), "y": torch.tensor(1.0)})


def test_no_tensors():
    with pytest.raises(SettingError, match=r"^No tensors were given: give at least one"):
        common_rows({})


def test_no_tensor():
    with pytest.raises(SettingError, match=r"^x is a ndarray, not a tensor: convert it, .*as_tensor\.$"):
        common_rows({"x": np.zeros(3)})


def test_scikit_learn_is_missing(monkeypatch):
    assert scikit_learn("sklearn.datasets", "digits()").load_digits
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingPackageError, match=r"^digits\(\) needs scikit-learn, .*graphdl\[sklearn\]'\.$"):
        scikit_learn("sklearn.datasets", "digits()")
