"""The commands that README and guide show for a table run, and print what README says."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shown(document):
    """The commands for the table of the examples."""
    text = (ROOT / document).read_text()
    return [line.partition("#")[0].split()[1:] for line in re.findall(r"^graphdl .*\bout/iris.*$", text, re.MULTILINE)]


def numbers(text):
    return [float(each) for each in re.findall(r"\d+\.?\d*", text)]


@pytest.mark.parametrize("document", ["README.md", "docs/guide.md"])
def test_the_commands_run_and_print_what_the_readme_says(document, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    printed = [run(*command).splitlines() for command in shown(document)]
    assert len(printed) >= 3
    said = re.search(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1].splitlines()
    found = [line for lines in printed for line in lines if "epochs" not in line][: len(said) - 1]
    for line, expected in zip(found, said[1:], strict=True):
        assert re.sub(r"[\d.]+", "", line) == re.sub(r"[\d.]+", "", expected)
        assert numbers(line) == pytest.approx(numbers(expected), rel=0.02)
