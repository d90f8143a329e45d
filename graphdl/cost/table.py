"""The table of what a training step costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphdl.errors import counted
from graphdl.shown import shown
from graphdl.tables import Columns, TextTable, text_table

if TYPE_CHECKING:
    from graphdl.cost.figures import Cost

FIGURES = ("forward", "backward", "parameters", "gradients", "states", "value", "saved")
COLUMNS: Columns = {"node": "left", **dict.fromkeys(FIGURES, "right")}


def cost_table(cost: Cost) -> TextTable:
    """Node by node, then the totals and the peak. A recomputed node is marked by ↻."""
    rows = []
    for key, node in cost.nodes.items():
        flops = [in_units(n, "FLOP", 1000) for n in (node.forward_flops, node.backward_flops)]
        sizes = (node.parameters, node.gradients, node.states, node.value, node.saved)
        rows.append([f"{shown(key)} ↻" if node.recomputed else shown(key), *flops, *(in_units(n) for n in sizes)])
    flops = [in_units(n, "FLOP", 1000) for n in (cost.forward_flops, cost.backward_flops)]
    total = [in_units(n) for n in (cost.parameters, cost.gradients, cost.states, 0, cost.saved)]
    return text_table(COLUMNS, rows, ["total", *flops, *total], _sentences(cost))


def _sentences(cost: Cost) -> list[str]:
    where = "values and gradients on their way" + (", in buffers that are replayed" if cost.replayed else "")
    gradients = cost.held - cost.parameters - cost.buffers - cost.states - cost.inputs
    parts = {"parameters": cost.parameters, "buffers": cost.buffers, "states": cost.states, "inputs": cost.inputs}
    held = ", ".join(f"{name} {in_units(size)}" for name, size in parts.items() if size)
    lines = [
        f"peak of a training step: {in_units(cost.peak)}",
        f"  {in_units(cost.held)} stay: {held}, room for gradients {in_units(gradients)}",
        f"  {in_units(cost.activations)} come and go: {where}",
    ]
    again = sum(node.recomputed for node in cost.nodes.values())
    if again:
        share = cost.recomputed_flops / max(cost.flops - cost.recomputed_flops, 1)
        change = f"{in_units(abs(cost.gained))} {'less' if cost.gained >= 0 else 'more'}"
        lines.append(
            f"  recomputing {counted(again, 'node')}: {change} than {in_units(cost.peak_without)}, "
            f"for {in_units(cost.recomputed_flops, 'FLOP', 1000)} ({share:.0%}) more"
        )
    return lines


def in_units(number: int, unit: str = "B", base: int = 1024) -> str:
    """A number of bytes or operations, in a unit that keeps it short: 300 B, 1.5 KiB, 2.1 GFLOP; "" if it is 0."""
    if not number:
        return ""
    prefixes = ("", "Ki", "Mi", "Gi", "Ti", "Pi") if base == 1024 else ("", "k", "M", "G", "T", "P")
    size, k = float(number), 0
    while size >= base and k < len(prefixes) - 1:
        size, k = size / base, k + 1
    digits = f"{size:.3g}" if size < 1000 else f"{size:.0f}"
    return f"{digits if k else number} {prefixes[k]}{unit}"
