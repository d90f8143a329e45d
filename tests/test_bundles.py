"""Bundles of batches: side by side, or chosen from a data set."""

import pytest
import torch

from graphdl.bundles import Bundle

DATA = {"x": torch.arange(12.0).view(6, 2), "y": torch.arange(6)}
ROWS = torch.tensor([[4, 0], [1, 1], [5, 2]])
CHOSEN = Bundle(DATA, ROWS)
STACKED = Bundle({name: tensor[ROWS] for name, tensor in DATA.items()})


@pytest.mark.parametrize("bundle", [CHOSEN, STACKED], ids=["chosen", "stacked"])
def test_both_forms_hold_the_same_batches(bundle):
    assert (len(bundle), bundle.size) == (3, 2)
    assert bundle.layout() == {"x": ((2, 2), torch.float32), "y": ((2,), torch.int64)}
    for name, tensor in DATA.items():
        assert torch.equal(bundle.stacked(name), tensor[ROWS])
        assert torch.equal(bundle.batch(1)[name], tensor[ROWS[1]])
        assert torch.equal(bundle.part(1, 3).stacked(name), tensor[ROWS[1:]])
    assert bundle.part(0, 3) is bundle
