"""Settings of an optimizer for some of the parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from graphdl.errors import SettingError, UnknownNodeError, did_you_mean, listing
from graphdl.graph import Key
from graphdl.parameters import Extent

if TYPE_CHECKING:
    from graphdl.optim.optimizer import Optimizer


class Selection(Mapping[Key, Mapping[str, Any]]):
    """An immutable, hashable {node or pattern: {setting: value}}. Its order matters."""

    def __init__(self, given: object) -> None:
        if not isinstance(given, Mapping) or not all(isinstance(each, Mapping) for each in given.values()):
            raise SettingError(
                f'nodes must be {{node or pattern: {{setting: value}}}}, as in {{"*.bias": {{...}}}}, not {given!r}'
            )
        for key in given:
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise SettingError(f"nodes: a key must be a node, or a pattern of names such as '*.bias', not {key!r}")
        self._items = tuple((key, tuple(settings.items())) for key, settings in given.items())

    def __getitem__(self, key: Key) -> Mapping[str, Any]:
        return {known: dict(settings) for known, settings in self._items}[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(key for key, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Selection) else dict(self) == other

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return repr(dict(self))

    def check(self, optimizer: Optimizer) -> None:
        """Raise SettingError for settings that the optimizer does not have, or values that it does not allow."""
        owner = type(optimizer).__name__
        known = [field.name for field in fields(optimizer) if field.init and field.name != "nodes"]
        for key, settings in self.items():
            for name in settings:
                if name not in known:
                    meant = did_you_mean(name, known) or f" It has {listing(known)}."
                    raise SettingError(
                        f"{owner}: nodes[{key!r}] sets {name!r}, but {owner} has no such setting.{meant}"
                    )
            try:
                replace(optimizer, nodes={}, **settings)
            except SettingError as error:
                raise SettingError(f"nodes[{key!r}]: {error}") from None

    def fitting(self, extent: Extent) -> tuple[Key, ...]:
        """The keys that match a parameter or its node, in order."""
        return tuple(key for key, _ in self._items if fits(key, extent))

    def variant(self, optimizer: Optimizer, keys: Sequence[Key]) -> Optimizer:
        """The optimizer with the settings of these keys; later keys override earlier ones."""
        merged: dict[str, Any] = {}
        for key in keys:
            merged.update(self[key])
        return replace(optimizer, nodes={}, **merged)


def check_names(keys: Iterable[Key], extents: Collection[Extent], others: Collection[Key], owner: str = "") -> None:
    """Raise UnknownNodeError for a key that matches no parameter. others: nodes that own no parameters."""
    for key in keys:
        if any(fits(key, extent) for extent in extents):
            continue
        if key in others:
            raise UnknownNodeError(
                f"{owner}nodes: {key!r} owns no parameters: give the node that owns them, or remove this key."
            )
        known = dict.fromkeys(name for extent in extents for name in (extent.node, *extent.blocks, extent.full_name))
        raise UnknownNodeError(
            f"{owner}nodes: {key!r} matches no node and no parameter.{did_you_mean(key, known)} "
            f"The parameters are {listing(extent.full_name for extent in extents)}."
        )


def fits(key: Key, extent: Extent) -> bool:
    """Whether a key is a parameter's node or a block around it, or a pattern that matches its name or its node's."""
    if key == extent.node or str(key) in extent.blocks:
        return True
    return isinstance(key, str) and (fnmatchcase(extent.full_name, key) or fnmatchcase(str(extent.node), key))
