"""The colours of a diagram: a light and a dark theme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from graphdl.errors import DrawingError, did_you_mean, listing

__all__ = ["FONT", "THEMES", "Direction", "Theme", "ThemeName", "Tone", "rank_direction", "theme_named"]

T = TypeVar("T")

ThemeName: TypeAlias = Literal["light", "dark"]
Direction: TypeAlias = Literal["down", "right"]

RANKDIR: Mapping[str, str] = {"down": "TB", "right": "LR"}

FONT = "Helvetica,Arial,sans-serif"


@dataclass(frozen=True)
class Tone:
    """The two colours of an operator family: `strong` for text, `tint` for the background."""

    strong: str
    tint: str


@dataclass(frozen=True)
class Theme:
    """The colours of a diagram."""

    background: str
    ink: str
    muted: str
    card: str
    border: str
    cluster: str
    edge: str
    skip: str
    gradient: str
    sign: str
    frozen: str
    negative: str
    positive: str
    families: Mapping[str, Tone]
    other: Tone

    def tone(self, family: str) -> Tone:
        """Return the colours of a family; grey for an unknown one."""
        return self.families.get(family, self.other)


LIGHT = Theme(
    background="#FFFFFF",
    ink="#0F172A",
    muted="#64748B",
    card="#FFFFFF",
    border="#CBD5E1",
    cluster="#F8FAFC",
    edge="#94A3B8",
    skip="#E11D48",
    gradient="#9333EA",
    sign="#FFFFFF",
    frozen="#0284C7",
    negative="#2563EB",
    positive="#EA580C",
    families={
        "input": Tone("#475569", "#F1F5F9"),
        "leaf": Tone("#4D7C0F", "#F7FEE7"),
        "embedding": Tone("#15803D", "#F0FDF4"),
        "convolution": Tone("#2563EB", "#EFF6FF"),
        "dense": Tone("#4F46E5", "#EEF2FF"),
        "attention": Tone("#C026D3", "#FDF4FF"),
        "recurrent": Tone("#C2410C", "#FFF7ED"),
        "normalization": Tone("#0D9488", "#F0FDFA"),
        "activation": Tone("#D97706", "#FFFBEB"),
        "pooling": Tone("#7C3AED", "#F5F3FF"),
        "resampling": Tone("#7C3AED", "#F5F3FF"),
        "dropout": Tone("#6B7280", "#F3F4F6"),
        "reshape": Tone("#6B7280", "#F3F4F6"),
        "structure": Tone("#6B7280", "#F3F4F6"),
        "arithmetic": Tone("#0891B2", "#ECFEFF"),
        "merge": Tone("#E11D48", "#FFF1F2"),
        "loss": Tone("#DC2626", "#FEF2F2"),
    },
    other=Tone("#6B7280", "#F3F4F6"),
)

DARK = Theme(
    background="#0B1220",
    ink="#F1F5F9",
    muted="#94A3B8",
    card="#0F172A",
    border="#2B3A55",
    cluster="#131C31",
    edge="#64748B",
    skip="#FB7185",
    gradient="#C084FC",
    sign="#0B1220",
    frozen="#38BDF8",
    negative="#60A5FA",
    positive="#FB923C",
    families={
        "input": Tone("#A9B7CB", "#1E293B"),
        "leaf": Tone("#A3E635", "#212E0C"),
        "embedding": Tone("#4ADE80", "#10301E"),
        "convolution": Tone("#60A5FA", "#14264D"),
        "dense": Tone("#A5B4FC", "#1F2150"),
        "attention": Tone("#E879F9", "#3A1545"),
        "recurrent": Tone("#FB923C", "#3B200B"),
        "normalization": Tone("#2DD4BF", "#0C2F32"),
        "activation": Tone("#FBBF24", "#35270B"),
        "pooling": Tone("#A78BFA", "#2A1B4A"),
        "resampling": Tone("#A78BFA", "#2A1B4A"),
        "dropout": Tone("#9CA3AF", "#232A36"),
        "reshape": Tone("#9CA3AF", "#232A36"),
        "structure": Tone("#9CA3AF", "#232A36"),
        "arithmetic": Tone("#22D3EE", "#0B2F3B"),
        "merge": Tone("#FB7185", "#43152A"),
        "loss": Tone("#F87171", "#3F1518"),
    },
    other=Tone("#9CA3AF", "#232A36"),
)

THEMES: Mapping[str, Theme] = {"light": LIGHT, "dark": DARK}


def theme_named(name: str) -> Theme:
    """Return a theme by its name. Raises DrawingError for an unknown name."""
    return _named(name, "theme", THEMES)


def rank_direction(direction: str) -> str:
    """Return Graphviz's name of a direction. Raises DrawingError for an unknown one."""
    return _named(direction, "direction", RANKDIR)


def _named(name: str, what: str, known: Mapping[str, T]) -> T:
    if not isinstance(name, str) or name not in known:
        raise DrawingError(
            f"There is no {what} {name!r}: the {what}s are {listing(map(repr, known))}.{did_you_mean(name, known)}"
        )
    return known[name]
