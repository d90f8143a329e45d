"""A file fits in the head, and a function on a screen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "graphdl"
FILES = sorted(PACKAGE.rglob("*.py"))
LINES, FUNCTION = 300, 40


@pytest.mark.parametrize("package", sorted({file.parent for file in FILES}), ids=lambda path: path.name)
def test_files_and_functions_are_short(package):
    for file in package.glob("*.py"):
        text = file.read_text()
        assert len(text.splitlines()) <= LINES, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert length <= FUNCTION, f"{file}: {node.name} has {length} lines"
