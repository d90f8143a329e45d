from graphdl.operators.sizes import pair, times


def test_a_pair_is_one_number_or_two():
    assert (pair(3), pair((3, 1))) == ((3, 3), (3, 1))
    assert (times(3), times((3, 1))) == ("3×3", "3×1")
