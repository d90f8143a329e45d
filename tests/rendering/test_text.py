import pytest

from graphdl.rendering.text import (
    compact,
    compact_count,
    identifier,
    markup,
    readable,
    shape_text,
    shorten,
    tooltip,
    width,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (1728, "1.73k"),
        (73_728, "73.7k"),
        (294_912, "295k"),
        (999_400, "999k"),
        (999_600, "1M"),
        (6_573_130, "6.57M"),
        (5_900_000, "5.9M"),
        (124_000_000, "124M"),
        (7 * 10**9, "7B"),
        (2 * 10**12, "2T"),
    ],
)
def test_compact_shows_three_digits(number, text):
    assert compact(number) == text


def test_counted_minds_its_plural():
    assert compact_count(1, "operator") == "1 operator"
    assert compact_count(0, "parameter") == "0 parameters"


def test_shape_text():
    assert shape_text((64, 32, 32), "f32") == "64×32×32 f32"
    assert shape_text((), "i64") == "scalar i64"
    assert shape_text(None, "i64") == "i64"
    assert shape_text(None) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a⏎b⇥c"),
        ("\x00\x1b", "␀␛"),
        ("\x7f\x85", "␡\ufffd"),
        ("\ud800", "\ufffd"),
        ("\ufffe", "\ufffd"),
        ("", '""'),
        ("  ", '"  "'),
        ("多层 🙂", "多层 🙂"),
        (7, "7"),
    ],
)
def test_what_cannot_be_printed_is_a_visible_sign(text, shown):
    assert readable(text) == shown


def test_shorten_ends_in_an_ellipsis_within_the_limit():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"


def test_markup_escapes_after_it_shortens():
    assert markup("<&>", 2) == "&lt;…"
    assert markup("\"'") == "&quot;&#x27;"
    assert markup("\\N") == "\\\\N"


def test_attributes_mean_nothing_to_graphviz():
    assert identifier("<b>\\N&amp;") == "<b>\\\\N&amp;amp;"
    assert tooltip("<b>\\N&amp;") == "<b>\\\\\\\\N&amp;amp;"
    assert tooltip("") == " "


def test_width_grows_with_the_text_its_size_and_its_weight():
    assert width("mm", 10) > width("ii", 10)
    assert width("层", 10) == 10
    assert width("ab", 20) == 2 * width("ab", 10)
    assert width("ab", 10, bold=True) > width("ab", 10)
