import math

import pytest

from graphdl.errors import SettingError
from graphdl.graph import Feed, Shared, reads


def test_feed_by_default_takes_the_next_slot_and_all_of_the_gradient():
    assert Feed("a") == Feed("a", slot=None, gradient=1.0)


@pytest.mark.parametrize("cls", [Feed, Shared])
def test_a_declaration_is_frozen_and_hashable(cls):
    declared = cls("a")
    with pytest.raises(AttributeError, match="cannot assign"):
        declared.key = "b"
    assert {declared: 1}[cls("a")] == 1


@pytest.mark.parametrize("key", ["a", "", 0, -3, 10**30])
@pytest.mark.parametrize("cls", [Feed, Shared])
def test_strings_and_integers_are_keys(cls, key):
    assert cls(key).key == key


@pytest.mark.parametrize("key", [None, 1.0, True, ("a",), b"a"])
def test_nothing_else_is_a_key(key):
    with pytest.raises(SettingError, match=r"^Feed's first argument is .*: the key of a node must be a str or an int$"):
        Feed(key)
    with pytest.raises(SettingError, match=r"^Shared's argument is .*: the key of a node must be a str or an int$"):
        Shared(key)


@pytest.mark.parametrize("slot", [True, 1.0, ("target",)])
def test_a_slot_is_a_position_or_a_name(slot):
    with pytest.raises(SettingError, match=r"slot must be a position \(int\) or a name \(str\), not"):
        Feed("a", slot=slot)


@pytest.mark.parametrize("gradient", [None, True, "0.5", 1j])
def test_a_gradient_factor_is_a_number(gradient):
    with pytest.raises(
        SettingError, match="gradient is the factor of the gradient that flows back and must be a number"
    ):
        Feed("a", gradient=gradient)


@pytest.mark.parametrize("gradient", [math.nan, math.inf, -math.inf])
def test_a_gradient_factor_is_finite(gradient):
    with pytest.raises(SettingError, match="gradient is the factor of the gradient that flows back and must be finite"):
        Feed("a", gradient=gradient)


def test_reads_turns_what_is_read_into_explicit_slots():
    assert reads({"concat": ["a", "b"], "out": ["concat"]}) == {
        "a": [Feed("concat", slot=0)],
        "b": [Feed("concat", slot=1)],
        "concat": [Feed("out", slot=0)],
    }


def test_reads_gathers_whom_a_node_feeds_in_the_order_of_the_readers():
    assert reads({2: ("x",), 1: ("x",)}) == {"x": [Feed(2, slot=0), Feed(1, slot=0)]}


def test_reads_takes_the_same_node_twice():
    assert reads({"sum": ["a", "a"]}) == {"a": [Feed("sum", slot=0), Feed("sum", slot=1)]}


def test_reads_keeps_a_feeds_gradient_and_its_own_slot():
    assert reads({"loss": [Feed("t", slot="target"), Feed("p", slot="prediction", gradient=0.5), Feed("q")]}) == {
        "t": [Feed("loss", slot="target")],
        "p": [Feed("loss", slot="prediction", gradient=0.5)],
        "q": [Feed("loss", slot=2)],
    }


def test_reads_drops_a_node_that_reads_nothing():
    assert reads({"a": []}) == {}


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        ({"sum": "ab"}, r"^reads\['sum'\] is 'ab': write a list of nodes, such as \['ab'\]$"),
        ({"sum": None}, r"^reads\['sum'\] is None, a NoneType: write a list of nodes, or \[\] for none$"),
        (
            {"sum": [None]},
            r"^An entry of reads\['sum'\] is None, a NoneType: the key of a node must be a str or an int$",
        ),
        ({1.5: ["a"]}, r"^A key of reads is 1\.5, a float"),
    ],
)
def test_reads_refuses_what_is_no_list_of_nodes(reading, text):
    with pytest.raises(SettingError, match=text):
        reads(reading)
