"""sweep: settings, seeds and folds."""

import csv
import json
import math
import statistics

import numpy
import pytest
import torch
from scipy import stats
from sklearn.model_selection import KFold, StratifiedKFold

from graphdl import CrossEntropyLoss, EarlyStopping, LeakyReLU, Linear, MSELoss, Network, Tanh, fit
from graphdl.data import disc
from graphdl.errors import SettingError
from graphdl.optim import SGD, Adam
from graphdl.search import Random, sweep
from graphdl.search.space import described

X, LABELS = disc(120, seed=0)


def build(setting):
    width = setting.get("width", 6)
    operators = {"fc1": Linear(2, width), "tanh": Tanh(), "fc2": Linear(width, 2), "loss": CrossEntropyLoss()}
    return operators, {"x": ["fc1"], "fc1": ["tanh"], "tanh": ["fc2"], "fc2": ["loss"], "target": ["loss"]}


def run(over, **changes):
    options = {
        "over": over, "optimizer": lambda s: Adam(lr=s.get("lr", 0.01)), "epochs": 2, "batch_size": 30,
        "metrics": ("accuracy",), "compile": False, "progress": False,
    }  # fmt: skip
    options |= changes
    return sweep(options.pop("build", build), X, LABELS, **options)


@pytest.fixture(scope="module")
def result():
    return run({"lr": [0.1, 0.001], "width": [4, 6], "seed": range(2)}, folds=3)


def test_the_table_has_a_row_for_each_setting_seed_and_fold(result):
    assert len(result.table) == len(result) == 2 * 2 * 2 * 3
    first, last = result.table[0], result.table[-1]
    assert (first["lr"], first["width"], first["seed"], first["fold"]) == (0.1, 4, 0, 0)
    assert (last["lr"], last["width"], last["seed"], last["fold"]) == (0.001, 6, 1, 2)
    assert all(row["state"] == "finished" and row["epochs"] == 2 and row["error"] is None for row in result.table)
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy", "seconds", "way"} <= first.keys()


def test_each_member_is_fit_alone_on_its_fold(result):
    splits = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, LABELS))
    for row, net, history in zip(result.table, result.networks, result.histories, strict=True):
        training, test = map(torch.as_tensor, splits[row["fold"]])
        alone = Network(*build(row), seed=row["seed"])
        own = fit(
            alone, X[training], LABELS[training], optimizer=Adam(lr=row["lr"]), epochs=2, batch_size=30,
            seed=row["seed"], validation=(X[test], LABELS[test]), metrics=("accuracy",), progress=False,
        )  # fmt: skip
        assert dict(own) == dict(history)
        assert {name: row[name] for name in own} == own.last
        assert all(torch.equal(net.parameters[name], tensor) for name, tensor in alone.parameters.items())


def test_the_summary_and_the_best(result):
    assert len(result.summary) == 4
    for row in result.summary:
        values = [
            each["validation_accuracy"]
            for each in result.table
            if (each["lr"], each["width"]) == (row["lr"], row["width"])
        ]
        assert row["members"] == len(values) == 6
        assert row["validation_accuracy"] == pytest.approx(statistics.fmean(values))
        assert row["validation_accuracy_std"] == pytest.approx(statistics.stdev(values))
        assert "seed" not in row
        assert "fold" not in row
    assert (result.figure.name, result.figure.maximise) == ("validation_accuracy", True)
    best = max(result.summary, key=lambda row: row["validation_accuracy"])
    assert result.best == {"lr": best["lr"], "width": best["width"]}
    losses = [row["loss"] for row in result.ranking(by="loss")]
    assert losses == sorted(losses)
    with pytest.raises(SettingError, match="Did you mean 'loss'"):
        result.ranking(by="los")


def test_which_figure_decides():
    grid = {"lr": [0.1, 0.001]}
    assert run(grid, metrics=()).figure.name == "loss"
    assert run(grid, metrics=(), validation=(X, LABELS)).figure.name == "validation_loss"
    assert run(grid, by="accuracy").figure.maximise
    assert run(grid, by="loss", maximise=True).best == {"lr": 0.001}


def test_files(result, tmp_path):
    with result.to_csv(tmp_path / "new" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result)
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in result.table]
    stored = json.loads(result.to_json(tmp_path / "sweep.json").read_text())
    assert stored["best"] == result.best
    assert stored["histories"] == [dict(history) for history in result.histories]
    assert result.plot(tmp_path / "sweep.svg").stat().st_size > 1000


def test_files_hold_what_json_cannot(tmp_path):
    found = run([{"middle": Tanh, "lr": 0.1}], build=lambda s: (s["middle"], build(s))[1])
    assert math.isnan(found.summary[0]["loss_std"])
    stored = json.loads(found.to_json(tmp_path / "sweep.json").read_text())
    assert stored["summary"][0]["loss_std"] is None
    assert stored["table"][0]["middle"] == "Tanh"


def test_a_network_may_be_built(result):
    found = run([{"seed": 1, "lr": 0.1, "width": 4}], build=lambda s: Network(*build(s), seed=s["seed"]), folds=3)
    assert [row["loss"] for row in found.table] == [row["loss"] for row in result.table[3:6]]


@pytest.mark.parametrize("folds", [KFold(4), 4])
def test_splitters_of_scikit_learn(folds):
    def regression(setting):
        operators, connectivity = build(setting)
        return operators | {"loss": MSELoss()}, connectivity

    y = torch.rand(120, 2)
    found = sweep(
        regression, X, y, over={"width": [6]}, optimizer=SGD(lr=0.1), epochs=1, batch_size=30, folds=folds,
        compile=False, progress=False,
    )  # fmt: skip
    assert [row["fold"] for row in found.table] == [0, 1, 2, 3]
    splitter = folds if isinstance(folds, KFold) else KFold(4, shuffle=True, random_state=0)
    _, test = list(splitter.split(X))[1]
    assert torch.equal(found._members[1].validation_rows, torch.as_tensor(test))


def test_random_settings():
    from scipy.stats import loguniform

    drawn = Random(50, {"lr": loguniform(1e-4, 1e-1), "width": [4, 8], "seed": range(3)}, seed=5)
    settings = list(drawn)
    assert settings == list(drawn)
    assert len(settings) == len(drawn) == 50
    assert {setting["width"] for setting in settings} == {4, 8}
    assert {setting["seed"] for setting in settings} == {0, 1, 2}
    logs = [math.log10(setting["lr"]) for setting in settings]
    assert all(-4 <= log <= -1 for log in logs)
    assert -2.9 < statistics.fmean(logs) < -2.1


def test_random_settings_are_drawn_without_repetition():
    settings = list(Random(16, {"lr": [0.1, 0.01, 0.001, 1], "width": [1, 2, 3, 4]}))
    assert len({repr(setting) for setting in settings}) == 16
    assert sorted(s["n"] for s in Random(5, {"n": stats.randint(0, 5)})) == [0, 1, 2, 3, 4]
    assert all(type(s["n"]) is int for s in Random(2, {"n": numpy.array([1, 2])}))


@pytest.mark.parametrize(("n", "choices", "message"), [
    (9, {"lr": [0.1, 0.2], "width": [1, 2, 2]}, "n is 9, but the choices have only 4 settings"),
    (2, {"n": [0, 0]}, "only 1 setting"),
    (3, {"n": stats.randint(0, 2)}, "only 2 different settings were drawn"),
    (3, {"lr": (1e-4, 0.1)}, r"write \[0.0001, 0.1\] to choose .*, or a range .*loguniform\(0.0001, 0.1"),
    (3, {"lr": stats.loguniform}, r"'lr' cannot be drawn: .*Write its parameters, such as loguniform\(1e-4, 1e-1\)"),
    (3, {"lr": 3}, "Random: 'lr' must be a list"),
])  # fmt: skip
def test_choices_that_cannot_be_drawn(n, choices, message):
    with pytest.raises(SettingError, match=message):
        list(Random(n, choices))


def test_numbers_of_numpy_in_a_list_of_settings():
    found = run([{"width": numpy.int64(3)}, {"width": numpy.int64(4)}])
    assert [type(row["width"]) for row in found.table] == [int, int]


@pytest.mark.parametrize(("change", "message"), [
    ({"over": 3}, "over must be a grid"),
    ({"over": []}, "over has no settings"),
    ({"over": {"lr": 0.1}}, "'lr' must be a list of values"),
    ({"over": {"lr": []}}, "'lr' has no values"),
    ({"over": [{"lr": 1}, 2]}, r"over\[1\] must be a dictionary"),
    ({"over": {"fold": [1]}}, "'fold' is a column of the results"),
    ({"over": {"loss": [1]}, "optimizer": lambda s: Adam(lr=s["loss"])}, "'loss' is a figure of the results"),
    ({"over": {"widht": [3, 4], "lr": [0.1]}}, "'widht', so it would change nothing. Did you mean 'width'"),
    ({"build": lambda s: 3}, r"for the setting \{lr 0.1\} it returned 3"),
    ({"build": lambda s: s["widht"]}, "build, the setting {lr 0.1}: the setting has no 'widht'. It has lr."),
    ({"build": lambda s: Linear(0, 1)}, r"build, the setting \{lr 0.1\}: Linear"),
    ({"build": lambda s: ({"a": Linear(2, 2)}, {"b": ["a"]})}, r"the setting \{lr 0.1\}: the network has no loss node"),
    ({"build": lambda s: ({"a": Linear(2, 2)}, 3)}, r"build, the setting \{lr 0.1\}"),
    ({"build": Network}, "build is the class Network: write a function"),
    ({"build": Network(*build({}))}, "build must be a function of a setting, not (.|\n)* use fit_all"),
    ({"build": lambda width, lr: 3}, r"build is called with one argument, the setting, a dictionary; it takes \(width"),
    ({"optimizer": lambda s: Adam(lr=s.lr)}, r"a setting is a dictionary: write setting\['lr'\]"),
    ({"optimizer": Adam}, r"optimizer is the class Adam: write .* lambda setting: Adam\("),
    ({"optimizer": "adam"}, r"optimizer must be an optimizer such as Adam\(lr=1e-3\), or a function"),
    ({"over": {}}, r"over is \{\}: give a grid"),
    ({"over": {"lr": [0.1], "widht": [3]}}, "reads 'widht', so it would change nothing"),
    ({"over": {"lr": [0.1], "batch_size": [3, 4]}}, "'batch_size' is the same for all networks"),
    ({"over": {"lr": [0.1], "epochs": [3, 4]}}, "'epochs' is the same for all .* cannot vary"),
    ({"over": {"lr": [0.1], "width": [8, 8]}}, "'width' has 8 more than once"),
    ({"over": [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1, "seed": 0}]}, r"over\[2\] is the setting over\[0\] again"),
    ({"by": "val_accuracy"}, r"by='val_accuracy' .* It needs validation data or folds\.$"),
    ({"by": "val_accuracy", "folds": 2}, "Did you mean 'validation_accuracy'"),
    ({"callbacks": EarlyStopping()}, r"callbacks must be a sequence such as \[EarlyStopping"),
    ({"callbacks": [EarlyStopping()]}, r"It needs validation data: validation=, or folds= in a sweep"),
    ({"backend": "loky"}, "backend must be 'compiled', 'operators', 'processes' or None, not 'loky'"),
    ({"build": 3}, "build must be a function"),
    ({"optimizer": lambda s: 1 / 0}, r"optimizer, the setting \{lr 0.1\} failed: ZeroDivisionError"),
    ({"optimizer": lambda s: Adam(lr=-1)}, r"optimizer, the setting \{lr 0.1\}: Adam"),
    ({"optimizer": lambda s: Adam}, "it is the class Adam"),
    ({"folds": 1}, "folds is 1"),
    ({"folds": "5"}, "folds must be a number"),
    ({"folds": 1000}, "folds is 1000"),
    ({"folds": KFold(1000)}, "cannot be split"),
    ({"folds": 2, "validation": (X, LABELS)}, "cannot be combined"),
])  # fmt: skip
def test_wrong_arguments(change, message):
    from graphdl.errors import GraphDLError

    with pytest.raises(GraphDLError, match=message):
        run(**({"over": {"lr": [0.1]}} | change))


@pytest.mark.parametrize("read", [dict, lambda s: s | {}, lambda s: {**s}, json.dumps, lambda s: s.copy()])
def test_settings_that_are_read_as_a_whole(read):
    found = run({"width": [3, 4]}, build=lambda s: build((read(s), {"width": 3})[1]))
    assert len(found) == 2


@pytest.mark.parametrize(("over", "folds"), [
    ({"seed": range(2)}, None),
    ({"lr": [0.1, 0.01, 0.001]}, None),
    ({"lr": [0.1, 0.01], "width": [3, 4, 5]}, 2),
    ({"lr": [0.1, 0.01], "width": [3, 4], "kind": [Tanh, None]}, None),
    ([{"lr": 0.1, "width": 3}, {"lr": 0.01, "width": 5}, {"lr": 0.1}], None),
])  # fmt: skip
def test_pictures(over, folds, tmp_path):
    found = run(over, folds=folds, epochs=1, build=lambda s: (s.get("kind"), build(s))[1])
    assert found.plot(tmp_path / "new" / "sweep.svg").stat().st_size > 5000


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_figures_that_are_not_finite(value, tmp_path):
    def odd(prediction, target):
        return value

    found = run({"lr": [0.1, 0.01], "seed": range(2)}, metrics=[odd], by="loss")
    assert repr(found.summary[0]["odd"]) == repr(value)
    assert math.isnan(found.summary[0]["odd_std"])
    assert found.report().startswith("4 members, by loss:")
    assert run({"lr": [0.1]}, metrics=[odd], by="odd").report()
    assert found.to_csv(tmp_path / "sweep.csv").exists()
    assert json.loads(found.to_json(tmp_path / "sweep.json").read_text())["best"] == found.best


@pytest.mark.parametrize("by", ["loss", "accuracy"])
def test_the_best_network(by):
    found = run({"lr": [0.1, 0.01], "seed": range(3)}, by=by)
    rows = [(row[by], k) for k, row in enumerate(found.table) if row["lr"] == found.best["lr"]]
    expected = (max if by == "accuracy" else min)(value for value, _ in rows)
    assert found.best_network in [found.networks[k] for value, k in rows if value == expected]


def test_a_sweep_in_which_all_failed(tmp_path):
    options = {"epochs": 2, "batch_size": 30, "metrics": ("accuracy",), "progress": False}
    found = sweep(build, X * math.nan, LABELS, over={"width": [2, 3]}, optimizer=SGD(lr=0.1), **options)
    assert {row["state"] for row in found.table} == {"failed"}
    assert found.report() == "2 members, none with a value of loss.\n2 failed."
    assert not found.trained
    assert repr(found) == "Sweep(2 of 2 members ended)"
    assert json.loads(found.to_json(tmp_path / "sweep.json").read_text())["best"] is None
    for wanted in (lambda: found.best, lambda: found.best_network):
        with pytest.raises(SettingError, match=r"no best setting: see the errors in \.table"):
            wanted()
    with pytest.raises(SettingError, match=r"there is nothing to draw: see the errors in \.table"):
        found.plot(tmp_path / "sweep.svg")


def test_operators_look_the_same_as_objects_and_in_files():
    assert described({"act": LeakyReLU(0.2)}) == described({"act": {"type": "LeakyReLU", "negative_slope": 0.2}})
    assert described({"act": Tanh()}) == described({"act": {"type": "Tanh"}}) == "act Tanh"
