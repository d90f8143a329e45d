from hypothesis import given, settings
from hypothesis import strategies as st

from graphdl.execution.arena import ALIGNMENT, Plot, lay_out


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(0, 1000)), max_size=40))
def test_plots_that_overlap_in_time_do_not_in_memory(drawn):
    plots = [Plot(first, first + length, size) for first, length, size in drawn]
    offsets, total = lay_out(plots)
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    for k, (plot, offset) in enumerate(zip(plots, offsets, strict=True)):
        assert offset + plot.bytes <= total
        for other, start in list(zip(plots, offsets, strict=True))[:k]:
            if plot.first <= other.last and other.first <= plot.last:
                assert offset + plot.bytes <= start or start + other.bytes <= offset


def test_memory_serves_again():
    chain = [Plot(k, k + 1, 640) for k in range(100)]
    assert lay_out(chain)[1] == 2 * 640


def test_gaps_side_by_side_are_one():
    plots = [Plot(0, 1, 64), Plot(0, 1, 64), Plot(0, 9, 64), Plot(2, 3, 128)]
    offsets, total = lay_out(plots)
    assert (offsets[3], total) == (0, 192)


def test_a_gap_at_the_end_grows():
    assert lay_out([Plot(0, 9, 64), Plot(0, 1, 64), Plot(2, 3, 256)]) == ([0, 64, 64], 320)


def test_nothing_needs_nothing():
    assert lay_out([]) == ([], 0)
