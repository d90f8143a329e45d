import json
import math
from dataclasses import dataclass
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphdl import (
    Concat,
    CrossEntropyLoss,
    Feed,
    Identity,
    Item,
    L1Loss,
    LeakyReLU,
    Linear,
    MSELoss,
    Operator,
    Shared,
    Softmax,
    Sum,
    Tanh,
    initializers,
    register,
)
from graphdl.errors import FileFormatError, SettingError
from graphdl.serialization import from_dict, read_json, to_dict, write_json


class Passing(Operator):
    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (dy,), {}


@register
@dataclass(frozen=True)
class Deep(Passing):
    sizes: tuple = ()
    inner: object = None


@register
@dataclass(frozen=True)
class Typed(Passing):
    type: str


@dataclass(frozen=True)
class Unregistered(Passing):
    pass


def stored_operator(operator):
    return to_dict({"a": operator}, {})["operators"]["a"]


def restored(operators, connectivity):
    data = to_dict(operators, connectivity)
    return from_dict(json.loads(json.dumps(data)))


def test_the_two_dictionaries_as_plain_data():
    operators = {"fc": Linear(2, 3), "tanh": Tanh(), "copy": Shared("fc"), "loss": MSELoss()}
    connectivity = {"x": (Feed("fc"), Feed("copy")), "fc": (Feed("loss", slot="prediction", gradient=0.5),), "tanh": ()}
    assert to_dict(operators, connectivity) == {
        "format": "graphdl",
        "version": 1,
        "operators": {
            "fc": {"type": "Linear", "in_features": 2, "out_features": 3},
            "tanh": {"type": "Tanh"},
            "copy": {"type": "Shared", "key": "fc"},
            "loss": {"type": "MSELoss"},
        },
        "connectivity": {
            "x": ["fc", "copy"],
            "fc": [{"key": "loss", "slot": "prediction", "gradient": 0.5}],
            "tanh": [],
        },
    }


def test_one_integer_key_makes_pairs_of_both_dictionaries():
    data = to_dict({1: Tanh(), "1": Tanh()}, {"x": (Feed(1), Feed("1", gradient=0.0))})
    assert data["operators"] == [[1, {"type": "Tanh"}], ["1", {"type": "Tanh"}]]
    assert data["connectivity"] == [["x", [1, {"key": "1", "gradient": 0.0}]]]


@pytest.mark.parametrize(
    ("operator", "stored"),
    [
        (LeakyReLU(), {"type": "LeakyReLU"}),
        (LeakyReLU(0.2), {"type": "LeakyReLU", "negative_slope": 0.2}),
        (Item(1), {"type": "Item", "index": 1}),
        (Linear(out_features=3, bias=False), {"type": "Linear", "out_features": 3, "bias": False}),
        (
            Linear(2, 3, weight=initializers.Normal(std=0.1)),
            {"type": "Linear", "in_features": 2, "out_features": 3, "weight": {"type": "Normal", "std": 0.1}},
        ),
        (Deep((1, (2, 3)), Deep()), {"type": "Deep", "sizes": [1, [2, 3]], "inner": {"type": "Deep"}}),
    ],
)
def test_an_operator_is_stored_as_its_name_and_the_settings_that_are_not_default(operator, stored):
    assert stored_operator(operator) == stored
    assert restored({"a": operator}, {}) == ({"a": operator}, {})


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (
            Unregistered(),
            r"^operators\['a'\]: a Unregistered cannot be stored\. .* registered by @graphdl\.register\.$",
        ),
        (Deep(inner=Unregistered()), r"^operators\['a'\], inner: a Unregistered cannot be stored\."),
        (Deep((torch.ones(1),)), r"^operators\['a'\], sizes: a Tensor cannot be stored\."),
        (Deep(inner={"a": 1}), r"^operators\['a'\], inner: a dict cannot be stored\."),
        (Deep(inner=print), r"^operators\['a'\], inner: a builtin_function_or_method cannot be stored\."),
        (Deep(inner=Tanh), r"^operators\['a'\], inner: a ABCMeta cannot be stored\."),
        (Typed("x"), r"^operators\['a'\]: Typed has a setting called 'type', a name that files reserve: rename it\.$"),
    ],
)
def test_what_no_file_can_hold(operator, text):
    with pytest.raises(SettingError, match=text):
        stored_operator(operator)


def test_a_list_in_the_settings_comes_back_as_a_tuple():
    assert restored({"a": Deep([1, [2]])}, {}) == ({"a": Deep((1, (2,)))}, {})


@pytest.mark.parametrize("form", [dict, lambda pairs: [list(pair) for pair in pairs]])
def test_either_form_of_the_dictionaries_is_read(form):
    data = {"format": "graphdl", "version": 1, "operators": form([("a", {"type": "Tanh"})])}
    assert from_dict({**data, "connectivity": form([("x", ["a"])])}) == ({"a": Tanh()}, {"x": [Feed("a")]})


def test_a_json_file_has_a_line_for_every_operator_and_node(tmp_path):
    data = to_dict({"a": Linear(2, 3), "b": Tanh()}, {"x": (Feed("a"),), "a": (Feed("b"),)})
    assert write_json(data, tmp_path / "net.json").read_text() == (
        '{\n  "format": "graphdl",\n  "version": 1,\n'
        '  "operators": {\n'
        '    "a": {"type": "Linear", "in_features": 2, "out_features": 3},\n'
        '    "b": {"type": "Tanh"}\n'
        "  },\n"
        '  "connectivity": {\n'
        '    "x": ["a"],\n'
        '    "a": ["b"]\n'
        "  }\n}\n"
    )


def test_a_json_file_is_written_into_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "net.json"
    assert write_json(to_dict({1: Tanh()}, {}), path) == path
    assert read_json(path) == to_dict({1: Tanh()}, {})


keys = st.one_of(st.text(max_size=6), st.integers(-(2**70), 2**70))
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
finite = st.floats(allow_nan=False, allow_infinity=False)
initial = st.one_of(
    st.builds(initializers.Constant, numbers),
    st.builds(initializers.Normal, finite, st.floats(0, 10)),
    st.builds(initializers.KaimingUniform, finite, st.sampled_from(get_args(initializers.Mode))),
    st.just(initializers.TypeOne()),
)
sizes = st.integers(1, 9)
integers = st.integers(-(2**63) + 1, 2**63 - 1)
plain = st.one_of(st.none(), st.booleans(), integers, numbers, st.text(max_size=5))
nested = st.recursive(st.one_of(plain, initial), lambda s: st.lists(s, max_size=3).map(tuple), max_leaves=6)
operators = st.one_of(
    st.builds(Linear, st.one_of(st.none(), sizes), sizes, bias=st.one_of(st.booleans(), initial), weight=initial),
    st.sampled_from([Tanh(), Sum(), Identity(), Concat(0), Softmax(1)]),
    st.builds(CrossEntropyLoss, weight=finite, ignore_index=integers, label_smoothing=st.floats(0, 1)),
    st.builds(L1Loss, reduction=st.sampled_from(["mean", "sum", "none"])),
    st.builds(Deep, nested, nested),
    st.builds(Shared, keys),
)
feeds = st.builds(Feed, keys, st.one_of(st.none(), st.integers(0, 5), st.text(max_size=4)), finite)


@settings(max_examples=200)
@given(st.dictionaries(keys, operators, max_size=5), st.dictionaries(keys, st.lists(feeds, max_size=4), max_size=5))
def test_any_two_dictionaries_come_back_as_they_were(nodes, edges):
    found = restored(nodes, edges)
    assert found == (nodes, edges)
    assert [list(entries) for entries in found] == [list(nodes), list(edges)]
    assert to_dict(*found) == to_dict(nodes, edges)


@settings(max_examples=50)
@given(st.dictionaries(keys, operators, max_size=4), st.dictionaries(keys, st.lists(feeds, max_size=3), max_size=4))
def test_any_two_dictionaries_come_back_from_a_file(tmp_path_factory, nodes, edges):
    path = write_json(to_dict(nodes, edges), tmp_path_factory.mktemp("any") / "net.json")
    assert from_dict(read_json(path)) == (nodes, edges)


def test_a_number_that_json_has_not_is_refused_and_nothing_is_left(tmp_path):
    path = tmp_path / "net.json"
    with pytest.raises(SettingError, match="infinite or not a number"):
        write_json(to_dict({"a": Limit(math.inf)}, {}), path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [2**63, -(10**400)])
def test_an_integer_of_more_than_64_bits_has_no_place_in_a_file(size):
    with pytest.raises(
        SettingError, match=r"^operators\['a'\], sizes: .* cannot be stored: an integer in a file has 64 b"
    ):
        to_dict({"a": Deep((size,))}, {})


def test_a_folder_in_place_of_a_file_is_told(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be written"):
        write_json(to_dict({"a": Tanh()}, {}), tmp_path)


@register
@dataclass(frozen=True)
class Limit(Passing):
    at: float
