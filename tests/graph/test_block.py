"""Block: what it finds out about its two dictionaries, and what it refuses."""

import copy
import dataclasses
import pickle

import pytest

from graphdl.errors import (
    ArityError,
    SettingError,
    UnknownNodeError,
    UnreachableError,
)
from graphdl.graph import Block, Feed, Shared
from graphdl.operators import Identity, Linear, MSELoss, ReLU, Subtract, Tanh

PLAIN = {"fc": Linear(2, 2), "act": Tanh()}, {"x": ["fc"], "fc": ["act"]}


@pytest.mark.parametrize(
    ("block", "slots", "results"),
    [
        (Block(*PLAIN), ("x",), ("act",)),
        (Block({"fc": [Linear(2, 2)]}, {}), ("fc",), ("fc",)),
        (Block({0: Linear(2, 2), 1: Tanh()}, {0: [1]}), ("0",), (1,)),
        (Block({"sub": Subtract()}, {}), ("sub.minuend", "sub.subtrahend"), ("sub",)),
        (Block({"sub": Subtract()}, {"y": ["sub"], "x": ["sub"]}), ("y", "x"), ("sub",)),
        (Block({"sub": Subtract()}, {"y": ["sub"], "x": ["sub"]}, inputs=["x"]), ("x",), ("sub",)),
        (Block({"a": Tanh(), "b": Tanh()}, {"x": ["a", "b"]}), ("x",), ("a", "b")),
        (Block({"a": Tanh(), "b": Tanh()}, {"x": ["a", "b"]}, outputs=("b", "x")), ("x",), ("b", "x")),
        (Block({"a": Block(*PLAIN), "b": Shared("a")}, {"a": ["b"]}), ("a/x",), ("b",)),
        (Block({"a": Block(*PLAIN), "b": Tanh()}, {"x": ["a"], "a/fc": ["b"], "a": []}), ("x",), ("b",)),
    ],
)
def test_inputs_and_outputs_are_found(block, slots, results):
    assert (block.slots, block.results) == (slots, results)


def test_a_block_is_an_immutable_value():
    block, again = Block(*PLAIN), Block(*PLAIN, inputs=None)
    assert block == again
    assert hash(block) == hash(again)
    assert block != Block(*PLAIN, outputs=["act"])
    assert block != "block"
    assert block != Block(dict(reversed(PLAIN[0].items())), PLAIN[1])  # the order counts
    for copied in (pickle.loads(pickle.dumps(block)), copy.deepcopy(block), eval(repr(block))):
        assert copied == block
    with pytest.raises(TypeError):
        block.operators["fc"] = Tanh()
    with pytest.raises(dataclasses.FrozenInstanceError):
        block.operators = {}
    edited = dataclasses.replace(block, operators={**block.operators, "act": ReLU()})
    assert edited.operators == {"fc": Linear(2, 2), "act": ReLU()}
    assert edited.connectivity == block.connectivity


def test_it_keeps_nothing_of_the_dictionaries_given():
    operators, connectivity = {"fc": Linear(2, 2)}, {"x": ["fc"]}
    block = Block(operators, connectivity)
    operators["more"], connectivity["x"] = Tanh(), []
    assert block == Block({"fc": Linear(2, 2)}, {"x": ["fc"]})


def test_the_text_shows_what_was_written():
    block = Block({"sub": Subtract()}, {"a": [Feed("sub", slot=1)], "b": ["sub"]}, outputs=["sub"])
    assert repr(block) == (
        "Block({'sub': Subtract()}, {'a': [Feed(key='sub', slot=1, gradient=1.0)], 'b': ['sub']}, outputs=('sub',))"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (({}, {}), SettingError, "with at least one entry"),
        (([Tanh()], {}), SettingError, "operators must be a dictionary"),
        (({"a": Tanh}, {}), SettingError, r"operators\['a'\] is the class Tanh: write Tanh\(\.\.\.\)"),
        (({"a": 3}, {}), SettingError, r"operators\['a'\] is a int: a node computes a graphdl\.Operator"),
        (({"a": Tanh()}, {"x": ["b"]}), UnknownNodeError, "x feeds 'b', but no operator has that name"),
        (({"a": Tanh()}, {"x": ["a"], "y": ["a"]}), ArityError, r"a \(Tanh\) takes 1 input and is fed by x and y"),
        (({"a": Tanh(), "b": Tanh()}, {"x": ["a"]}), UnreachableError, "b is in operators but not in connectivity"),
        (({"a": Tanh()}, {"x": ["a"], "y": []}), UnreachableError, "'y' is a key of connectivity"),
        (({"a": Shared("b")}, {}), UnknownNodeError, r"a is Shared\('b'\)"),
        (
            ({"fc": Linear(2, 1), "loss": MSELoss()}, {"x": ["fc"], "fc": ["loss"]}),
            SettingError,
            r"the order of its inputs 'x' and 'loss' is not clear: say it, inputs=\['x', 'loss'\]",
        ),
        ((*PLAIN, ["y"]), UnknownNodeError, "inputs names 'y', but 'y' is not an input. Nothing feeds 'x'"),
        ((*PLAIN, ["act"]), UnknownNodeError, "inputs names 'act', but 'act' is a node that is fed"),
        ((*PLAIN, "x"), SettingError, r"inputs must be a list of names, such as inputs=\['x'\], not 'x'"),
        ((*PLAIN, ["x", "x"]), SettingError, "inputs names a node twice"),
        ((*PLAIN, None, ["acd"]), UnknownNodeError, "outputs names 'acd', which is not a node. Did you mean 'act'"),
        (({0: Tanh(), "0": Tanh()}, {0: ["0"]}), SettingError, "the nodes 0 and '0' would have the same name"),
        (({"0": Tanh()}, {0: ["0"]}), SettingError, "the nodes 0 and '0' would have the same name"),
        (({"a": Block(*PLAIN)}, {"y": ["a"]}, None, ["a/x"]), UnknownNodeError, "'a/x', which is an input of a block"),
        ((*PLAIN, None, []), SettingError, "outputs must name at least one node"),
    ],
)
def test_errors(arguments, error, text):
    operators, connectivity, inputs, outputs = (*arguments, None, None)[:4]
    with pytest.raises(error, match=f"^In a Block: .*{text}"):
        Block(operators, connectivity, inputs=inputs, outputs=outputs)


def test_blocks_are_not_nested_endlessly():
    block = Block({"a": Identity()}, {})
    for _ in range(63):
        block = Block({"a": block}, {})
    assert block.slots == ("/".join("a" * 64),)
    with pytest.raises(SettingError, match=r"^In a Block: blocks are nested more than 64 deep"):
        Block({"a": block}, {})
