"""What users give as data, as tensors: numbers of every kind, tables of pandas, data sets and loaders."""

from graphdl.intake.arrays import as_tensor, check_tensor
from graphdl.intake.sources import holds_rows, input_batches, inputs_alone, is_array, joined, loaded, unpacked

__all__ = [
    "as_tensor",
    "check_tensor",
    "holds_rows",
    "input_batches",
    "inputs_alone",
    "is_array",
    "joined",
    "loaded",
    "unpacked",
]
