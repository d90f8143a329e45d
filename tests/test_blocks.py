"""Blocks of batches: side by side, or chosen from a data set."""

import pytest
import torch

from graphdl.blocks import Block

DATA = {"x": torch.arange(12.0).view(6, 2), "y": torch.arange(6)}
ROWS = torch.tensor([[4, 0], [1, 1], [5, 2]])
CHOSEN = Block(DATA, ROWS)
STACKED = Block({name: tensor[ROWS] for name, tensor in DATA.items()})


@pytest.mark.parametrize("block", [CHOSEN, STACKED], ids=["chosen", "stacked"])
def test_both_forms_hold_the_same_batches(block):
    assert (len(block), block.size) == (3, 2)
    assert block.layout() == {"x": ((2, 2), torch.float32), "y": ((2,), torch.int64)}
    for name, tensor in DATA.items():
        assert torch.equal(block.stacked(name), tensor[ROWS])
        assert torch.equal(block.batch(1)[name], tensor[ROWS[1]])
        assert torch.equal(block.part(1, 3).stacked(name), tensor[ROWS[1:]])
    assert block.part(0, 3) is block
