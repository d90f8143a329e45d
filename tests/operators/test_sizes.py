from __future__ import annotations

import pytest

from graphdl.errors import SettingError
from graphdl.operators.sizes import check_pair, check_size, differing, is_size, pair, times


@pytest.mark.parametrize("value", [1, 7])
def test_sizes(value):
    check_size("Pool", "stride", value)
    check_pair("Pool", "stride", value)
    check_pair("Pool", "stride", (value, 1))
    assert (pair(value), pair((value, 2))) == ((value, value), (value, 2))


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True])
def test_what_is_no_size(value):
    assert not is_size(value, 1)
    with pytest.raises(SettingError, match=r"^Pool: stride is a whole number, 1 or more, not "):
        check_size("Pool", "stride", value)
    for given in (value, (1, value), (value, value)):
        with pytest.raises(SettingError, match=r"^Pool: stride is 'all', a whole number, 1 or more, or a tuple of two"):
            check_pair("Pool", "stride", given, others="'all', ")


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3), [1, 2], ((1, 2), 3)])
def test_what_is_no_pair(value):
    with pytest.raises(SettingError, match="or a tuple of two for h and w, not "):
        check_pair("Pool", "stride", value)


def test_the_least():
    assert is_size(0, 0)
    check_pair("Pool", "padding", (0, 3), 0)
    with pytest.raises(SettingError, match="0 or more"):
        check_pair("Pool", "padding", -1, 0)


def test_texts():
    assert (times(3), times((3, 1))) == ("3×3", "3×1")
    assert differing(stride=(2, 2), padding=("same", 0), dilation=((1, 2), 1)) == ["padding same", "dilation 1×2"]
