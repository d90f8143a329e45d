"""What a run depends on: data of every kind by their values, objects by their settings, and what differs."""

import enum

import numpy
import pandas
import pytest
import torch

from graphdl import EarlyStopping
from graphdl.training.runs.described import described, differences

Color = enum.Enum("Color", "RED BLUE")
LONG = pandas.DataFrame({"a": numpy.arange(1000.0), "b": numpy.arange(1000)})


def changed(frame, value):
    frame = frame.copy()
    frame.iloc[500, 0] = value
    return frame


NAMES = pandas.DataFrame({"a": [f"name {k}" for k in range(1000)]})


@pytest.mark.parametrize(("one", "other"), [
    (LONG, changed(LONG, -1.0)),
    (LONG["a"], changed(LONG, -1.0)["a"]),
    (NAMES, changed(NAMES, "another")),
    (numpy.array(["a"] * 999 + ["b"]), numpy.array(["a"] * 999 + ["c"])),
    (numpy.arange(2000, dtype=numpy.longdouble), numpy.r_[numpy.arange(1999, dtype=numpy.longdouble), 0]),
    (numpy.array([1, "a", None], object), numpy.array([1, "b", None], object)),
    (numpy.longdouble(0.5), numpy.longdouble(0.25)), (numpy.float32(0.5), numpy.float32(0.25)),
    (numpy.datetime64("2020-01-01"), numpy.datetime64("2020-01-02")),
    ({"a", "b"}, {"a", "c"}), (b"ab", b"ac"), (1j, 2j), (range(3), range(4)), (Color.RED, Color.BLUE),
    (torch.float32, torch.float64), ([LONG], [changed(LONG, 2.5)]), (numpy.array(3 + 1j), numpy.array(3 + 2j)),
])  # fmt: skip
def test_other_values_have_other_descriptions(one, other):
    assert described(one) == described(one)
    assert [*differences(described({"x": one}), described({"x": other}))]


def test_how_tables_are_shown_does_not_matter():
    before = described(LONG), described([LONG["a"]])
    with pandas.option_context("display.max_rows", 5, "display.precision", 2), numpy.printoptions(precision=1):
        assert (described(LONG), described([LONG["a"]])) == before
    assert described(LONG).startswith("float64 (1000, 2), sha256 ")


def test_sets_have_one_order():
    assert described({*"hgfedcba", 1, (2, 3)}) == [*"abcdefgh", 1, [2, 3]]  # the order of strings is drawn at the start


def test_the_text_of_an_object_does_not_matter():
    class Odd:
        def __repr__(self):
            raise AssertionError("it is not asked")

    assert described(Odd()) == {"class": f"{Odd.__module__}.{Odd.__qualname__}"}


def test_of_a_list_the_first_element_that_differs_is_named():
    old = [EarlyStopping("loss", k) for k in range(1, 6)]
    new = [*old[:3], EarlyStopping("loss", 9), EarlyStopping("loss", 8)]
    assert [*differences(described({"callbacks": old}), described({"callbacks": new}))] == [
        "callbacks[3]: patience was 4 and is 9"
    ]
    assert [*differences({"f": [1, [2, 3]]}, {"f": [1, [2]]})] == ["f[1][1] was 3 and is gone"]
    assert [*differences({"f": [1]}, {"f": [1, None]})] == ["f[1] is new: null"]
    assert not [*differences({"f": [1, {"a": None}]}, {"f": [1, {"a": None}]})]
