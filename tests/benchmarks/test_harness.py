"""The harness of the benchmarks: tables, turns, stored results, the report, and twins that train alike."""

import json

import pytest
import torch

from benchmarks import catalogue, charts, tables
from benchmarks.__main__ import main
from benchmarks.memory import held_bytes, peak
from benchmarks.report import write
from benchmarks.results import Result, Table, join_skipped, load
from benchmarks.timing import Absent, assemble, interleave
from benchmarks.training import graphdl_step
from benchmarks.zoo import NETS, TWINS, copy_parameters, name_in_torch
from tests.twins import needs_compiler


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other make small steps slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def table():
    table = Table("Steps", "µs", "ours")
    table.add("", {"ours": [1e-6, 2e-6, 3e-6], "theirs": [4e-6, 4e-6, 7e-6]}, 1e-6)
    return table


def test_turns_are_taken_in_every_round():
    calls = []
    contestants = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleave(contestants, rounds=4, seconds=0.0)
    assert {name: len(figures) for name, figures in seconds.items()} == {"a": 4, "b": 4}
    assert calls[-8:] == list("abbaabba")


def test_who_cannot_run_is_skipped_with_the_reason():
    def absent():
        raise Absent("no compiler")

    def failing():
        raise ValueError("too large\nfar too large")

    def missing():
        import a_package_that_is_not_there  # noqa: F401

    skipped = {}
    makers = {"one": lambda: int, "two": absent, "three": lambda: failing, "four": missing}
    assert list(assemble(makers, skipped)) == ["one"]
    assert skipped == {
        "two": "no compiler",
        "three": "it failed: ValueError: too large",
        "four": "a_package_that_is_not_there is not installed",
    }


def test_skipped_contestants_are_joined_over_groups():
    assert join_skipped({"net": {"jax": "absent", "c": "broken"}, "other": {"jax": "absent"}}) == {
        "jax": "absent",
        "c (net)": "broken",
    }


def test_a_table_of_one_group(table):
    assert tables.text(table).splitlines() == [
        "Steps",
        "         median, µs    min    max   ratio",
        "ours           2.00   1.00   3.00   1.00×",
        "theirs         4.00   4.00   7.00   2.00×",
    ]


def test_a_table_of_many_groups(table):
    table.add("other", {"ours": [5e-4]}, 1e-6)
    assert tables.markdown(table).splitlines() == [
        "| µs | ours | theirs |",
        "| --- | ---: | ---: |",
        "|  | 2.00 (1.00–3.00) | 4.00 (4.00–7.00), 2.00× |",
        "| other | 500 | – |",
    ]


def test_results_are_read_as_they_were_stored(table, tmp_path):
    result = Result("step", [table], {"jax": "jax is not installed"}, ["All train alike."], "a machine")
    result.save(tmp_path)
    assert load("step", tmp_path) == result
    assert load("sizes", tmp_path) is None


def test_the_report_says_everything_and_is_the_same_twice(table, tmp_path):
    Result("step", [table], {"jax": "jax is not installed"}, ["All train alike."], "a machine").save(tmp_path)
    pytest.importorskip("matplotlib")
    docs = tmp_path / "docs"
    docs.mkdir()
    assert write(tmp_path, docs) == ["benchmarks.md", "benchmark_step.svg"]
    page, chart = (docs / "benchmarks.md").read_text(), (docs / "img/benchmark_step.svg").read_text()
    for part in ("a machine", "| theirs | 4.00 |", "All train alike.", "jax is not installed", "benchmark_step.svg"):
        assert part in page
    write(tmp_path, docs)
    assert (docs / "benchmarks.md").read_text() == page
    assert (docs / "img/benchmark_step.svg").read_text() == chart


def test_a_section_without_stored_results_stays_in_the_report(table, tmp_path):
    pytest.importorskip("matplotlib")
    Result("limits", [table], {}, ["Limits before."], "a machine").save(tmp_path)
    write(tmp_path, tmp_path)
    old = (tmp_path / "benchmarks.md").read_text()
    (tmp_path / "limits.json").unlink()
    Result("step", [table], {}, ["Steps now."], "a machine").save(tmp_path)
    write(tmp_path, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.index("Steps now.") < page.index("Limits before.")
    assert page.endswith(old[old.index("## limits") :])


def test_a_report_without_results_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m benchmarks NAME"):
        write(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "chart", [charts.bars, charts.grouped_bars, charts.grouped_ratios, charts.ratios, charts.growth]
)
def test_every_chart_draws(chart, table, tmp_path):
    pytest.importorskip("matplotlib")
    table.add("large", {"ours": [2.0], "theirs": [3.0]}, at=1e6)
    chart(table, tmp_path / "chart.svg")
    assert "<svg" in (tmp_path / "chart.svg").read_text()


def test_an_unknown_benchmark_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.take_one_thread", lambda: None)
    with pytest.raises(SystemExit):
        main(["stpe"])
    assert "there is no stpe" in capsys.readouterr().err


def test_nets_and_twins_are_the_same_ten():
    assert list(NETS) == list(TWINS)
    assert len(NETS) == 10


@pytest.mark.parametrize("name", NETS)
def test_a_twin_has_the_same_loss_and_gradients(name):
    net, batch = NETS[name](rows=2)
    net.to(dtype=torch.float64)
    twin = TWINS[name]().double()
    copy_parameters(net, twin)
    batch = {key: value.double() if value.is_floating_point() else value for key, value in batch.items()}
    loss = twin(**batch)
    loss.backward()
    torch.testing.assert_close(net.forward(batch)["loss"], loss.detach())
    net.backward()
    theirs = {key: parameter.grad for key, parameter in twin.named_parameters()}
    gradients = {name_in_torch(key): gradient for key, gradient in net.gradients.items()}
    assert set(gradients) == set(theirs)
    for key, gradient in theirs.items():
        torch.testing.assert_close(gradients[key], gradient, msg=lambda text, key=key: f"{key}: {text}")


def test_the_peak_is_above_what_training_holds():
    net, batch = NETS["perceptron"]()
    most = peak(lambda: graphdl_step(NETS["perceptron"]()[0], batch), batch)
    held = held_bytes(net, batch)
    values = 50 * (3 * 25 + 2) * 4
    assert held + values < most < 20 * held


@needs_compiler
def test_a_whole_net_is_measured_in_every_way(monkeypatch):
    monkeypatch.setattr(catalogue, "SMALL", {"GPT": catalogue.SMALL["GPT"]})
    monkeypatch.setattr(catalogue, "in_a_process", catalogue.measured_peak)
    result = catalogue.run(quick=True)
    steps, compiled, memory = result.tables
    for table, contestants in ((steps, 2), (compiled, 1), (memory, 2)):
        assert table.groups == ["GPT"]
        assert len(table.measurements) == contestants
    assert result.skipped == {catalogue.THEIRS_COMPILED: "it is not in quick runs"}
    assert len(catalogue.CHARTS) == len(result.tables)


def test_stored_results_name_no_place(table, tmp_path):
    path = Result("step", [table]).save(tmp_path)
    machine = json.loads(path.read_text())["machine"]
    assert "/" not in machine
