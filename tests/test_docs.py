"""The code in the documents runs, and what they show is what happens."""

import re
from pathlib import Path

import pytest

from graphdl import GraphDLError, Linear, Network, ReLU, Sum, Tanh

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "docs/guide.md"]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def run(document: str) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "document"}
    for code in blocks(document, "python"):
        exec(compile(code, document, "exec"), namespace)
    return namespace


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_code_runs(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks(document, "python")) > 1
    run(document)


def test_the_readme_s_summary_is_the_real_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    net = run("README.md")["net"]
    assert blocks("README.md", "text")[0].strip("\n") == net.summary().strip("\n")


def test_the_readme_s_classifier_is_as_good_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("README.md")
    accuracy = float(re.search(r"accuracy ([\d.]+)%", capsys.readouterr().out)[1])
    assert accuracy > 94


def test_links_lead_somewhere():
    for document in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)|src=\"([^\"]+)\"", document.read_text()):
            target = document.parent / (link[0] or link[1])
            assert target.exists(), f"{document}: {target}"


def test_the_readme_names_make_targets_that_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"make (\w+)", (ROOT / "README.md").read_text())
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_the_readme_s_errors_are_the_real_ones():
    two = {"x": ["tanh", "relu"], "tanh": ["fc3"], "relu": ["fc3"]}
    with pytest.raises(GraphDLError) as arity:
        Network({"tanh": Tanh(), "relu": ReLU(), "fc3": Linear(2, 2)}, two)
    with pytest.raises(GraphDLError) as unknown:
        Network({"fc1": Linear(2, 2), "tanh": Tanh()}, {"x": ["fc1"], "fc1": ["tahn"], "tanh": []})
    with pytest.raises(GraphDLError) as shape:
        Network({"fc1": Linear(2, 25), "sum": Sum(), "fc3": Linear(24, 2)}, {"fc1": ["sum"], "sum": ["fc3"]})
    shown = blocks("README.md", "text")[1].splitlines()
    for line, caught in zip(shown, (arity, unknown, shape), strict=True):
        assert f"{type(caught.value).__name__}: {caught.value}".startswith(line.removesuffix(" ..."))
