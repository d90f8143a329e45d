from dataclasses import dataclass, field, make_dataclass

import pytest

from graphdl import Linear, Shared, Tanh, registry
from graphdl.errors import FileFormatError, SettingError
from graphdl.initializers import Normal
from graphdl.registry import is_registered, register, registered_class, settings


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.mark.parametrize("cls", [Linear, Tanh, Normal, Shared])
def test_what_graphdl_brings_is_registered(cls):
    assert is_registered(cls)
    assert registered_class(cls.__name__) is cls


def test_register_returns_the_class_and_enters_its_name():
    cls = make_dataclass("Mine", [("size", int)], frozen=True)
    assert not is_registered(cls)
    assert register(cls) is cls
    assert registered_class("Mine") is cls


def test_a_class_may_be_registered_again_when_its_cell_is_run_again():
    def cell():
        @register
        @dataclass(frozen=True)
        class Again:
            pass

        return Again

    first, second = cell(), cell()
    assert registered_class("Again") is second
    assert not is_registered(first)


@pytest.mark.parametrize("name", ["Linear", "Shared", "Normal"])
def test_a_name_belongs_to_one_class(name):
    with pytest.raises(SettingError, match=rf"the name {name} belongs to graphdl\..*\.{name}\. Give the class another"):
        register(make_dataclass(name, [], frozen=True))


def test_a_class_that_is_no_dataclass_has_no_settings_to_store():
    with pytest.raises(SettingError, match=r"^register: Plain is no dataclass, .* above @dataclass\(frozen=True\)\."):
        register(type("Plain", (), {}))


def test_a_subclass_declares_itself_a_dataclass():
    with pytest.raises(SettingError, match="register: Heir is no dataclass"):
        register(type("Heir", (Tanh,), {}))


@pytest.mark.parametrize("thing", [3, "Tanh", Tanh()])
def test_only_classes_are_registered(thing):
    with pytest.raises(SettingError, match=r"^register: .* is no class\. Write @graphdl\.register above a class\.$"):
        register(thing)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "", None, 3, ["Linear"], {"a": 1}])
def test_only_registered_names_are_looked_up(name):
    with pytest.raises(FileFormatError, match="is no registered operator or initializer"):
        registered_class(name)


def test_a_misspelt_class_gets_a_did_you_mean():
    with pytest.raises(
        FileFormatError, match=r"^'Linaer' is .*\. Did you mean 'Linear'\? An operator of your own is reg"
    ):
        registered_class("Linaer")


@dataclass(frozen=True)
class Settings:
    needed: int
    number: float = 1.0
    flag: bool = True
    items: tuple = field(default_factory=tuple)
    derived: int = field(init=False, default=7)


@pytest.mark.parametrize(
    ("instance", "chosen"),
    [
        (Settings(1), {"needed": 1}),
        (Settings(1, 2.0, False), {"needed": 1, "number": 2.0, "flag": False}),
        (Settings(1, number=1), {"needed": 1, "number": 1}),
        (Settings(1, flag=1), {"needed": 1, "flag": 1}),
        (Settings(1, items=(1,)), {"needed": 1, "items": (1,)}),
        (Settings(1, items=[]), {"needed": 1, "items": []}),
    ],
)
def test_settings_are_those_that_differ_from_their_defaults(instance, chosen):
    found = settings(instance)
    assert found == chosen
    assert [type(value) for value in found.values()] == [type(value) for value in chosen.values()]
