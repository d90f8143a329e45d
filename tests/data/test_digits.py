from __future__ import annotations

import sys

import pytest
import torch

from graphdl.data import digits
from graphdl.errors import MissingPackageError


def test_shapes_dtypes_and_range():
    x, labels = digits()
    assert x.shape == (1797, 64)
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (0, 1)
    assert labels.shape == (1797,)
    assert labels.dtype == torch.int64
    assert labels.unique().tolist() == list(range(10))


def test_pixels_keep_their_label():
    x, labels = digits()
    centres = torch.stack([x[labels == digit].mean(dim=0) for digit in range(10)])
    assert (torch.cdist(x, centres).argmin(dim=1) == labels).double().mean() > 0.85


def test_each_call_gives_its_own_tensors():
    digits()[0].zero_()
    assert digits()[0].max() == 1


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    text = r"^digits\(\) needs scikit-learn, which cannot be imported .*: pip install 'graphdl\[sklearn\]'\.$"
    with pytest.raises(MissingPackageError, match=text):
        digits()
