"""Settings are declared with their checks, and checked when an instance is made."""

import copy
import dataclasses
import math
import pickle
from dataclasses import dataclass, field
from typing import Literal

import numpy
import pytest

from graphdl import Feed, MaxPool2d, MSELoss, Operator, Shared, Weighted, registry
from graphdl.errors import SettingError
from graphdl.initializers import Normal
from graphdl.optim import Adam
from graphdl.optim.schedules import Cosine
from graphdl.registry import register
from graphdl.settings import (
    Settings,
    any_number,
    choice,
    chosen_settings,
    described,
    either,
    flag,
    initializer,
    integer,
    number,
    optional,
    probability,
    setting,
    size,
    sizes,
)


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@dataclass(frozen=True)
class Unchecked(Settings):
    size: int


def test_numbers_of_numpy_become_those_of_python():
    pooled = MaxPool2d((numpy.int64(2), 3), padding=numpy.int32(1), ceil_mode=numpy.bool_(True))
    assert pooled == MaxPool2d((2, 3), padding=1, ceil_mode=True)
    assert [type(each) for each in (*pooled.kernel_size, pooled.padding, pooled.ceil_mode)] == [int, int, int, bool]
    optimizer = Adam(lr=numpy.float32(0.5), betas=(numpy.float64(0.5), 0.9))
    assert [type(each) for each in (optimizer.lr, *optimizer.betas)] == [float] * 3
    nodes = {"a": {"lr": numpy.float64(1e-3), "betas": (numpy.float32(0.5), 0.9)}}
    chosen = Adam(nodes=nodes).nodes["a"]
    assert [type(each) for each in (chosen["lr"], *chosen["betas"])] == [float] * 3
    assert type(Unchecked(numpy.int64(2)).size) is int
    with pytest.raises(SettingError, match=r"a tuple of them, not -2$"):
        MaxPool2d(numpy.int64(-2))


COLOUR = Literal["red", "green"]


@pytest.mark.parametrize(
    ("check", "right", "wrong", "expected"),
    [
        (integer(), [0, -3, 7], [1.0, "1", None, True], "a whole number"),
        (size(), [1, 7], [0, -1, 1.0, "1", None, True], "a whole number of at least 1"),
        (size(0), [0], [-1], "a whole number of at least 0"),
        (sizes(), [1, (1,), (1, 2, 3)], [(), 0, (0,), [1], None], "a whole number of at least 1, or a tuple of them"),
        (number(), [0, 1.5, -2], [math.inf, math.nan, "1", None, True], "a finite number"),
        (number(0), [0, 1e9], [-1e-9, math.inf], "a finite number of at least 0"),
        (number(0, 2.5), [0, 2.5], [2.6, -1], "a finite number from 0 to 2.5"),
        (any_number(), [math.inf, 0, -1.5], ["1", None, True], "a number"),
        (probability(), [0, 1, 0.5], [-0.1, 1.1, True, None], "a number from 0 to 1"),
        (flag(), [True, False], [0, 1, None, "True"], "True or False"),
        (choice(COLOUR), ["red", "green"], ["blue", None, 1, ["red"]], "'red' or 'green'"),
        (initializer(), [Normal()], [3, None, Normal], r"an initializer such as Normal\(0, 1\)"),
        (optional(size()), [None, 3], [0], "a whole number of at least 1"),
        (either(flag(), initializer()), [True, Normal()], [1, Normal],
         r"True or False, or an initializer such as Normal\(0, 1\)"),
    ],
)  # fmt: skip
def test_what_a_check_asks_for(check, right, wrong, expected):
    for value in right:
        check("Owner", "name", value)
    for value in wrong:
        with pytest.raises(SettingError, match=rf"^Owner: name must be {expected}, not "):
            check("Owner", "name", value)


def test_hints():
    with pytest.raises(SettingError, match=r"not 'geen'\. Did you mean 'green'\?$"):
        choice(COLOUR)("Owner", "colour", "geen")
    for check in (initializer(), either(flag(), initializer()), optional(initializer()), number()):
        with pytest.raises(SettingError, match=r", not the class Normal: write Normal\(\.\.\.\)$"):
            check("Owner", "weight", Normal)


@dataclass(frozen=True)
class Box(Settings):
    width: int = setting(size())
    height: int = setting(size(), default=3)
    free: object = None
    depth: int = setting(size(0), default=0, kw_only=True)

    def check_settings(self):
        if self.height > self.width:
            raise SettingError("Box: height must be at most width")


def test_settings_are_checked_when_an_instance_is_made():
    assert Box(3) == Box(3, 3, None, depth=0)
    with pytest.raises(SettingError, match=r"^Box: width must be a whole number of at least 1, not 0"):
        Box(0)
    with pytest.raises(SettingError, match=r"^Box: depth must be a whole number of at least 0, not -1"):
        Box(3, depth=-1)
    with pytest.raises(SettingError, match="height must be at most width"):
        Box(2)
    with pytest.raises(SettingError, match="height must be"):
        dataclasses.replace(Box(3), height=None)


@pytest.mark.parametrize(("make", "text"), [
    (Box, "Box: width is missing. It must be a whole number of at least 1."),
    (Cosine, "Cosine: high is missing. It must be a finite number."),
    (Weighted, "Weighted: loss is missing."),
    (Feed, "Feed: key is missing."),
    (Shared, "Shared: key is missing."),
    (lambda: Feed("a", slott=1), "Feed has no setting 'slott'. Did you mean 'slot'?"),
])  # fmt: skip
def test_settings_that_are_missing_or_unknown_are_named(make, text):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("made", [Cosine(1.0, 5), Weighted(MSELoss()), Feed("a", 1, 0.5), Shared("a")], ids=repr)
def test_settings_are_copied_and_pickled(made):
    pickled = (pickle.loads(pickle.dumps(made, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    for again in (copy.copy(made), copy.deepcopy(made), *pickled):
        assert type(again) is type(made)
        assert again == made
        assert vars(again).keys() == vars(made).keys()


def test_a_subclass_inherits_checks_and_adds_its_own():
    @dataclass(frozen=True)
    class Crate(Box):
        lid: bool = setting(flag(), default=False, kw_only=True)

    with pytest.raises(SettingError, match=r"^Crate: lid must be True or False, not 1"):
        Crate(3, lid=1)
    with pytest.raises(SettingError, match=r"^Crate: width must be"):
        Crate("3")


def test_register_makes_a_frozen_dataclass_with_checked_settings():
    @register
    class CheckedFactor(Operator):
        factor: float = setting(number())

        def forward(self, p, x, *, training):
            return self.factor * x, None

        def backward(self, p, saved, dy):
            return (self.factor * dy,), {}

    assert CheckedFactor(2.0) == CheckedFactor(factor=2.0)
    assert CheckedFactor(2.0).describe() == "factor 2"
    with pytest.raises(dataclasses.FrozenInstanceError):
        CheckedFactor(2.0).factor = 3.0
    with pytest.raises(SettingError, match=r"^CheckedFactor: factor must be a finite number, not 'two'"):
        CheckedFactor("two")

    @register(kw_only=True)
    class NamedFactor(Operator):
        factor: float = setting(number(), default=1.0)

        forward, backward = CheckedFactor.forward, CheckedFactor.backward

    assert NamedFactor(factor=2).factor == 2
    with pytest.raises(SettingError, match=r"^NamedFactor was given 1 setting by position, and takes no settings by"):
        NamedFactor(2)
    with pytest.raises(SettingError, match=r"^NamedFactor has no setting 'facto'\. Did you mean 'factor'\?$"):
        NamedFactor(facto=2)


@dataclass(frozen=True)
class Mixed:
    needed: int
    number: float = 1.0
    flag: bool = True
    items: tuple = field(default_factory=tuple)
    derived: int = field(init=False, default=7)


@pytest.mark.parametrize(
    ("instance", "chosen"),
    [
        (Mixed(1), {"needed": 1}),
        (Mixed(1, 2.0, False), {"needed": 1, "number": 2.0, "flag": False}),
        (Mixed(1, number=1), {"needed": 1, "number": 1}),
        (Mixed(1, flag=1), {"needed": 1, "flag": 1}),
        (Mixed(1, items=(1,)), {"needed": 1, "items": (1,)}),
        (Mixed(1, items=[]), {"needed": 1, "items": []}),
        (3, {}),
    ],
)
def test_chosen_settings_are_those_that_differ_from_their_defaults(instance, chosen):
    found = chosen_settings(instance)
    assert found == chosen
    assert [type(value) for value in found.values()] == [type(value) for value in chosen.values()]


def test_a_description_lists_what_differs_from_the_defaults():
    mixed = Mixed(1, 0.125, False, (2, 3))
    assert described(mixed) == ["needed 1", "number 0.125", "no flag", "items 2×3"]
    assert described(mixed, "needed", "flag") == ["number 0.125", "items 2×3"]
