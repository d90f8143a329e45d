import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from graphdl import Network, Operator
from graphdl.errors import FileFormatError
from graphdl.serialization import from_dict, read_json

LINEAR = {"type": "Linear", "in_features": 2, "out_features": 3}
MANY = 100_000


def network(operator=LINEAR, fed=("a",), **changed):
    data = {"format": "graphdl", "version": 1, "operators": {"a": operator}, "connectivity": {"x": list(fed)}}
    return {**data, **changed}


def nest(value, wrap):
    for _ in range(MANY):
        value = wrap(value)
    return value


def test_the_unbroken_data_is_read():
    assert Network.from_dict(network()).inputs == ("x",)


@pytest.mark.parametrize("data", [None, [1], "network", 3])
def test_data_that_is_no_dictionary(data):
    with pytest.raises(FileFormatError, match=r"^A stored network is a dictionary, not .*\.$"):
        from_dict(data)


@pytest.mark.parametrize("named", [None, "onnx", 1])
def test_another_format(named):
    with pytest.raises(FileFormatError, match=r'^"format" is .* and not "graphdl": this is not a stored network\.$'):
        from_dict(network(format=named))


@pytest.mark.parametrize("version", [None, 0, 2, "1", True])
def test_another_version(version):
    with pytest.raises(
        FileFormatError, match=rf'^"version" is {version!r}, and this release of graphdl reads version 1:'
    ):
        from_dict(network(version=version))


@pytest.mark.parametrize("name", ["operators", "connectivity"])
@pytest.mark.parametrize("held", [None, "a", 3, ["a"], [["a"]], [["a", {}, 1]]])
def test_neither_a_dictionary_nor_pairs(name, held):
    with pytest.raises(
        FileFormatError, match=rf'^"{name}" is .*: write a dictionary, or a list of \[key, value\] pairs\.$'
    ):
        from_dict(network(**{name: held}))


@pytest.mark.parametrize("key", [True, 1.5, None, ["a"], {"a": 1}])
def test_a_key_that_is_neither_string_nor_integer(key):
    with pytest.raises(
        FileFormatError, match=r"^operators: .* is not the key of a node, which is a string or an integer\.$"
    ):
        from_dict(network(operators=[[key, LINEAR]]))


def test_a_dictionarys_key_that_is_neither_string_nor_integer():
    with pytest.raises(FileFormatError, match=r"^connectivity: \(1, 2\) is not the key of a node"):
        from_dict(network(connectivity={(1, 2): ["a"]}))


def test_a_node_named_twice_is_named():
    with pytest.raises(FileFormatError, match=r"^\"operators\" has a node more than once: 'b'\. Keep one entry\.$"):
        from_dict(network(operators=[["a", LINEAR], ["b", LINEAR], ["b", LINEAR]]))


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (
            {**LINEAR, "type": "Linaer"},
            r"'Linaer' is not a registered operator or initializer\. Did you mean 'Linear'\? A custom",
        ),
        (
            {**LINEAR, "in_feature": 1},
            r"Linear has no setting 'in_feature'\. Did you mean 'in_features'\? Its settings a",
        ),
        ({"type": "Tanh", "x": 1}, r"Tanh has no setting 'x'\. Its settings are none\.$"),
        ({**LINEAR, "in_features": "2"}, "Linear: in_features must be a whole number of at least 1, not '2'"),
        ({"type": "Linear"}, "Linear: out_features is missing"),
        (
            {"type": "Item"},
            r"Item: index is missing\. It must be a whole number",
        ),
        ({"type": "Shared"}, "Shared: key is missing"),
        ({"type": "Shared", "key": 1.5}, "Shared's argument is 1.5, a float"),
        ({"type": "MSELoss", "reduction": "men"}, r"MSELoss: reduction must be .*not 'men'\. Did you mean 'mean'\?"),
        ({"type": ["Linear"]}, r"\['Linear'\] is not a registered operator"),
        ({"type": None}, "None is not a registered operator"),
    ],
)
def test_an_operator_that_cannot_be_made(operator, text):
    with pytest.raises(FileFormatError, match=rf"^operators\['a'\]: {text}"):
        from_dict(network(operator))


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        ("Linear", r' is \'Linear\': write {"type": name of an operator, and its settings}\.$'),
        ([LINEAR], r' is \[{.*: write {"type": name of an operator'),
        (None, ' is None: write {"type"'),
        ({"type": "Zeros"}, r" is {'type': 'Zeros'}: write {\"type\": name of an operator"),
        ({"in_features": 2}, r" is {'in_features': 2}, without a \"type\": write the name of its class\.$"),
    ],
)
def test_data_that_is_no_operator(operator, text):
    with pytest.raises(FileFormatError, match=rf"^operators\['a'\]{text}"):
        from_dict(network(operator))


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        ({"type": "Normale"}, r"'Normale' is not a registered .*\. Did you mean 'Normal'\?"),
        ({"type": "Normal", "std": -1}, "Normal: std must be a finite number of at least 0, not -1"),
        ({"type": "Normal", "std": "1"}, "Normal: std must be a finite number of at least 0, not '1'"),
        ({"type": "Normal", "std": 10**400}, "std: a number of 1,329 bits is not an integer of 64 bits"),
        ({"type": "KaimingNormal", "mode": [1]}, r"KaimingNormal: mode must be .*, not \(1,\)"),
    ],
)
def test_a_broken_setting_is_located(weight, text):
    with pytest.raises(FileFormatError, match=rf"^operators\['a'\], weight[:,] {text}"):
        from_dict(network({**LINEAR, "weight": weight}))


@pytest.mark.parametrize("fed", ["a", None, 3, {"key": "a"}])
def test_fed_nodes_that_are_no_list(fed):
    with pytest.raises(FileFormatError, match=r"^connectivity\['x'\] is .*: write a list of nodes\.$"):
        from_dict(network(connectivity={"x": fed}))


@pytest.mark.parametrize(
    ("edge", "text"),
    [
        (None, "None is not the key of a node, which is a string or an integer"),
        (True, "True is not the key of a node"),
        (
            {"key": "a", "slott": 1},
            r"Feed has no setting 'slott'\. Did you mean 'slot'\? Its settings are key, slot and",
        ),
        ({"slot": 1}, "Feed: key is missing"),
        (
            {"key": "a", "gradient": "x"},
            "Feed.*: gradient is the factor of the gradient that flows back and must be a number",
        ),
        ({"key": "a", "slot": [1]}, r"Feed.*: slot must be a position \(int\) or a name"),
    ],
)
def test_a_broken_edge(edge, text):
    with pytest.raises(FileFormatError, match=rf"^connectivity\['x'\]: {text}"):
        from_dict(network(fed=[edge]))


DEEP_LISTS = nest([], lambda inner: [inner])
DEEP_DICTIONARIES = nest({}, lambda inner: {"type": "Constant", "value": inner})


@pytest.mark.parametrize(
    "data",
    [
        DEEP_LISTS,
        network(format=DEEP_LISTS),
        network(version=DEEP_LISTS),
        network(operators=DEEP_LISTS),
        network(DEEP_LISTS),
        network(DEEP_DICTIONARIES),
        network({**LINEAR, "weight": DEEP_LISTS}),
        network({**LINEAR, "weight": DEEP_DICTIONARIES}),
        network(connectivity=DEEP_LISTS),
        network(connectivity={"x": DEEP_DICTIONARIES}),
        network(fed=DEEP_LISTS),
        network(fed=[{"key": "a", "slot": DEEP_DICTIONARIES}]),
    ],
    ids=range(12),
)
def test_deep_nesting(data):
    with pytest.raises(FileFormatError, match=r"^The stored network is nested too deeply"):
        from_dict(data)


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"type": "Constant", "value": ', "}")])
def test_a_deeply_nested_file(tmp_path, depth, opening, closing):
    text = json.dumps(network({**LINEAR, "weight": "HERE"}))
    path = tmp_path / "deep.json"
    path.write_text(text.replace('"HERE"', opening * depth + "1" + closing * depth))
    with pytest.raises(FileFormatError, match="is nested too deeply: this is not a stored network"):
        from_dict(read_json(path))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"is not a JSON file: Expecting value"),
        (b"{", r"is not a JSON file: Expecting property name"),
        (b"\xff\xfe\x00", r"is not a JSON file: 'utf-8' codec can't decode"),
        (b"1" * 10_000, r"is not a JSON file: Exceeds the limit"),
    ],
)
def test_a_file_that_is_no_json(tmp_path, content, text):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=rf"broken\.json {text}"):
        read_json(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.json cannot be read: No such file or directory\.$"):
        read_json(tmp_path / "none.json")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"cannot be read: Is a directory\.$"):
        read_json(tmp_path)


def test_a_file_that_holds_a_name_twice(tmp_path):
    path = tmp_path / "twice.json"
    path.write_text('{"operators": {"a": {"type": "Tanh"}, "b": 1, "a": {"type": "ReLU"}}}')
    with pytest.raises(FileFormatError, match=r"^An object in the file has 'a' more than once: keep one entry\.$"):
        read_json(path)


@dataclass(frozen=True)
class Trap(Operator):
    """Importable and not registered."""

    made: ClassVar = []

    def __post_init__(self):
        self.made.append(self)

    def forward(self, p, x, *, training):
        return x, None

    def backward(self, p, saved, dy):
        return (dy,), {}


@pytest.mark.parametrize(
    "name", ["os.system", "Trap", f"{__name__}.Trap", "builtins.eval", "Network", "Operator", "Feed"]
)
@pytest.mark.parametrize("settings", [{}, {"command": "exit 1"}, {"args": ["raise SystemExit"]}])
def test_a_name_that_nobody_registered_never_runs_code(name, settings):
    for data in ({"type": name, **settings}, {**LINEAR, "weight": {"type": name, **settings}}):
        with pytest.raises(FileFormatError, match="is not a registered operator or initializer"):
            from_dict(network(data))
    assert Trap.made == []
