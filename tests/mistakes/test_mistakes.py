"""Typical mistakes of a beginner: each is reported with where it is, what was received, what was expected, and a fix."""

import importlib
import re
import warnings
from pathlib import Path

import pytest

from graphdl.errors import GraphDLError, GraphDLWarning
from tests.mistakes import custom, declaring, inputs, losses, others, sizes, training

TABLE = [each for area in (declaring, sizes, inputs, losses, training, custom, others) for each in area.MISTAKES]
WORLD = importlib.import_module("tests.mistakes.world")
GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
LONGEST = 900


def said(code):
    """The error and the warnings of a piece of code, and whether there was an error."""
    texts = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            exec(code, vars(WORLD).copy())
        except GraphDLError as error:
            texts.append(str(error))
    for each in found:
        assert each.category is GraphDLWarning, each.message
        texts.append(str(each.message))
    return texts


@pytest.mark.parametrize("mistake", [each for each in TABLE if each.says], ids=lambda each: each.name)
def test_a_mistake_is_reported(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = mistake.says.split(" | ")
    assert len(parts) == 4
    texts = said(mistake.code)
    assert any(all(part in text for part in parts) for text in texts), texts
    assert all(len(text) <= LONGEST and "Traceback" not in text and "networkx" not in text for text in texts)


@pytest.mark.parametrize("mistake", [each for each in TABLE if not each.says], ids=lambda each: each.name)
def test_what_is_meant_is_silent_and_documented(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(mistake.code) == []
    assert mistake.meant in re.sub(r"\s+", " ", GUIDE.read_text())


def test_the_table_is_large_and_names_each_mistake_once():
    assert len(TABLE) >= 230
    assert len({each.name for each in TABLE}) == len({each.code for each in TABLE}) == len(TABLE)
