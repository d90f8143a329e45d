from dataclasses import dataclass, make_dataclass

import pytest

from graphdl import Linear, Shared, Tanh, registry
from graphdl.errors import FileFormatError, SettingError
from graphdl.initializers import Normal
from graphdl.registry import is_registered, register, registered_class


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


def test_a_name_may_mean_another_class_within_a_place():
    cls = register(within="operators")(make_dataclass("Normal", [("size", int)], frozen=True))
    assert is_registered(cls)
    assert registered_class("Normal", "operators") is cls
    assert registered_class("Normal") is registered_class("Normal", "elsewhere") is Normal
    assert registered_class("Linear", "operators") is Linear
    with pytest.raises(SettingError, match=r"the name Normal belongs to types\.Normal"):
        register(within="operators")(type("Normal", (Tanh,), {}))


def test_a_class_with_an_init_of_its_own_has_no_settings_to_store():
    with pytest.raises(SettingError, match=r"^register: Plain is not a dataclass, .* Declare them as fields"):
        register(type("Plain", (), {"__init__": lambda self, size: None}))


def test_a_subclass_becomes_a_dataclass_of_its_own():
    heir = register(type("Heir", (Tanh,), {"__annotations__": {"size": int}, "size": 3}))
    assert heir() == heir(size=3) != heir(4)


@pytest.mark.parametrize("thing", [3, "Tanh", Tanh()])
def test_only_classes_are_registered(thing):
    with pytest.raises(SettingError, match=r"^register: .* is not a class\. Write @graphdl\.register above a class\.$"):
        register(thing)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "", None, 3, ["Linear"], {"a": 1}])
def test_only_registered_names_are_looked_up(name):
    with pytest.raises(FileFormatError, match="is not a registered operator or initializer"):
        registered_class(name)


def test_a_misspelt_class_gets_a_did_you_mean():
    with pytest.raises(FileFormatError, match=r"^'Linaer' is .*\. Did you mean 'Linear'\? A custom operator is reg"):
        registered_class("Linaer")
