"""The handwritten digits of scikit-learn."""

from __future__ import annotations

import torch

from graphdl.data.checks import scikit_learn

__all__ = ["digits"]

BRIGHTEST = 16


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Scikit-learn's handwritten digits, 8 x 8 pixels each; nothing is downloaded.

    -> x (1797, 64) float32 in [0, 1], row by row from the top left; labels (1797,) int64 in 0 ... 9

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998 (its test set). Raises MissingPackageError without scikit-learn.

    >>> x, labels = digits()
    >>> x.shape, labels[:5].tolist()
    (torch.Size([1797, 64]), [0, 1, 2, 3, 4])
    """
    bundle = scikit_learn("sklearn.datasets", "digits()").load_digits()
    x = torch.tensor(bundle.data, dtype=torch.float32, device="cpu") / BRIGHTEST
    return x, torch.tensor(bundle.target, dtype=torch.int64, device="cpu")
