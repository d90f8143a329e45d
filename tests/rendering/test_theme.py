import re
from dataclasses import fields

import pytest

from graphdl.errors import DrawingError
from graphdl.rendering.theme import DARK, LIGHT, Theme, Tone, theme_named

COLOURS = [field.name for field in fields(Theme) if field.name not in ("families", "other")]


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_both_themes_know_the_same_families():
    assert list(LIGHT.families) == list(DARK.families)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_colour_is_written_in_full(theme):
    tones = [*theme.families.values(), theme.other]
    written = [getattr(theme, name) for name in COLOURS] + [c for t in tones for c in (t.strong, t.tint)]
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in written)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_words_can_be_read_on_their_ground(theme):
    for family, tone in theme.families.items():
        assert contrast(tone.strong, tone.tint) > 3, family
    assert contrast(theme.ink, theme.card) > 7
    assert contrast(theme.muted, theme.cluster) > 4.5
    assert contrast(theme.sign, theme.tone("merge").strong) > 4


def test_an_unknown_family_is_grey():
    assert LIGHT.tone("quantum") == LIGHT.other == Tone("#6B7280", "#F3F4F6")
    assert LIGHT.tone("dense") == Tone("#4F46E5", "#EEF2FF")


def test_an_unknown_theme_is_refused():
    with pytest.raises(DrawingError, match=r"no theme 'drak': the themes are 'light' and 'dark'\. Did you mean 'dark'"):
        theme_named("drak")
