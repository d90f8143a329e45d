"""Data of every form are taken alike; what is refused is explained in terms of what was given."""

from __future__ import annotations

import warnings
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_iris
from sklearn.utils import Bunch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from graphdl import CrossEntropyLoss, GraphDLError, Linear, MSELoss, Network, Sigmoid, evaluate, fit
from graphdl.arguments import to_tensor
from graphdl.data import class_weights, kfold, one_hot, split
from graphdl.intake import as_tensor
from graphdl.optim import SGD

G = torch.Generator().manual_seed(0)
X, LABELS = torch.randn(30, 3, generator=G), torch.randint(2, (30,), generator=G)
FRAME = pd.DataFrame(X.numpy(), columns=["a", "b", "c"])
COLUMN = pd.Series(LABELS.numpy(), name="y")


class Items(Dataset):
    """A data set whose items are read one by one."""

    def __init__(self, kind=tuple):
        self.kind, self.read = kind, []

    def __len__(self):
        return len(X)

    def __getitem__(self, k):
        self.read.append(k)
        return {"x": X[k], "target": LABELS[k]} if self.kind is dict else (X[k], LABELS[k])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, LABELS, strict=True))


def network(dtype=torch.float32):
    edges = {"x": ["fc"], "fc": ["loss"], "target": ["loss"]}
    return Network({"fc": Linear(3, 2), "loss": CrossEntropyLoss()}, edges, seed=0, dtype=dtype)


FORMS = {
    "tensors": (X, LABELS),
    "by name": ({"x": X.numpy(), "target": LABELS.tolist()}, None),
    "arrays": (X.numpy(), LABELS.numpy()),
    "double precision": (X.numpy().astype(float), LABELS.numpy().astype(np.int32)),
    "fortran order": (np.asfortranarray(X.numpy()), LABELS.numpy()),
    "every second": (np.repeat(X.numpy(), 2, 0)[::2], np.repeat(LABELS.numpy(), 2)[::2]),
    "other bytes": (X.numpy().astype(">f4"), LABELS.numpy().astype(">i8")),
    "unsigned": (X.numpy(), LABELS.numpy().astype(np.uint32)),
    "objects": (X.numpy().astype(object), LABELS.numpy().astype(object)),
    "lists": (X.tolist(), LABELS.tolist()),
    "lists of tensors": (list(X), list(LABELS)),
    "lists of arrays": (list(X.numpy()), LABELS.tolist()),
    "a pair": ((X.tolist(), LABELS.tolist()), None),
    "tables": (FRAME, COLUMN),
    "shuffled index": (FRAME.set_index(pd.Index(range(30, 0, -1))), COLUMN),
    "nullable": (FRAME.astype("Float64"), COLUMN.astype("Int64")),
    "arrow": (FRAME.astype("float32[pyarrow]"), COLUMN.astype("int64[pyarrow]")),
    "categories": (FRAME, pd.Series(pd.Categorical.from_codes(LABELS.numpy(), ["no", "yes"])).cat.codes),
    "a table of objects": (FRAME.astype(object), COLUMN.astype(object)),
    "pandas' arrays": (FRAME, COLUMN.array),
    "Bunch": (Bunch(data=X.numpy(), target=LABELS.numpy(), DESCR="data"), None),
    "Bunch of tables": (Bunch(data=FRAME, target=COLUMN), None),
    "TensorDataset": (TensorDataset(X, LABELS), None),
    "Dataset": (Items(), None),
    "Dataset of dicts": (Items(dict), None),
    "IterableDataset": (Stream(), None),
    "DataLoader": (DataLoader(Items(), 10), None),
    "DataLoader of dicts": (DataLoader(Items(dict), 10), None),
    "a list of batches": ([(X[:10], LABELS[:10]), (X[10:20], LABELS[10:20]), (X[20:], LABELS[20:])], None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_alike(form):
    """By fit, its validation, evaluate and predict."""
    inputs, targets = FORMS[form]
    net, same = network(), network()
    how = {"optimizer": SGD(lr=0.1), "epochs": 2, "shuffle": False, "progress": False, "batch_size": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation = (inputs, targets) if targets is not None else inputs
        history = fit(net, inputs, targets, validation=validation, **how)
        expected = fit(same, X, LABELS, validation=(X, LABELS), **how)
        assert history["loss"] == expected["loss"]
        assert history["validation_loss"] == pytest.approx(expected["validation_loss"], rel=1e-6)
        assert all(map(torch.equal, net.parameters.values(), same.parameters.values()))
        assert evaluate(net, inputs, targets) == pytest.approx(evaluate(same, X, LABELS), rel=1e-6)
        if form not in ("a pair", "a list of batches"):
            given = {"x": inputs["x"]} if form == "by name" else inputs
            torch.testing.assert_close(net.predict(given), net.predict(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", ["arrays", "lists", "tables", "a pair", "Bunch", "TensorDataset", "nullable"])
def test_split_takes_them_too(form):
    inputs, targets = FORMS[form]
    given = (inputs,) if targets is None else (inputs, targets)
    for found, expected in zip(split(*given, seed=1), split(X, LABELS, seed=1), strict=True):
        assert torch.equal(found[0].float(), expected[0])
        assert torch.equal(found[1].long(), expected[1])


def test_stratify_and_kfold_take_them_too():
    names = np.array(["no", "yes"])[LABELS.numpy()]
    for labels in (LABELS, LABELS.tolist(), COLUMN, names, names.tolist(), pd.Series(names)):
        for found, expected in zip(split(X, seed=1, stratify=labels), split(X, seed=1, stratify=LABELS), strict=True):
            assert torch.equal(found[0], expected[0])
        folds = kfold(FRAME, 3, seed=0, stratify=labels)
        assert all(map(torch.equal, folds[0], kfold(30, 3, seed=0, stratify=LABELS)[0]))


def test_one_hot_takes_every_form_of_labels():
    expected = one_hot(LABELS, 2)
    names = [["no", "yes"][label] for label in LABELS]
    for labels in (LABELS.numpy(), LABELS.tolist(), COLUMN, COLUMN.astype("Int64")):
        assert torch.equal(one_hot(labels, 2), expected)
    for labels in (names, np.array(names), pd.Series(names), pd.Series(names, dtype="category")):
        assert torch.equal(one_hot(labels, classes=["no", "yes"]), expected)
    assert class_weights(COLUMN) == class_weights(LABELS)


def test_scikit_learns_loaders():
    net, same = (
        Network({"fc": Linear(out_features=3), "loss": CrossEntropyLoss()}, network().connectivity, seed=0)
        for _ in range(2)
    )
    how = {"optimizer": SGD(lr=0.01), "epochs": 1, "batch_size": 50, "validation": 0.2, "progress": False}
    bunch = fit(net, load_iris(as_frame=True), **how)
    pair = fit(same, load_iris(return_X_y=True), **how)
    assert bunch["validation_loss"] == pair["validation_loss"]


def test_a_data_set_of_torch_is_shuffled_held_out_and_read_item_by_item():
    net, data = network(), Items()
    fit(net, data, optimizer=SGD(lr=0.1), epochs=1, batch_size=8, validation=0.2, drop_last=True, progress=False)
    trained, validated = data.read[:24], data.read[24:]
    assert len(set(trained)) == 24
    assert trained != sorted(trained)
    assert sorted(trained + validated) == list(range(30))
    again = network()
    fit(again, Items(), optimizer=SGD(lr=0.1), epochs=1, batch_size=8, validation=0.2, drop_last=True, progress=False)
    assert all(map(torch.equal, net.parameters.values(), again.parameters.values()))


def test_integers_become_floats_where_the_network_computes_with_them():
    points, targets = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]
    edges = {"x": ["fc"], "fc": ["sigmoid"], "sigmoid": ["loss"], "target": ["loss"]}
    for given in (points, np.array(points), pd.DataFrame(points), np.array(points, bool)):
        net = Network({"fc": Linear(2, 1), "sigmoid": Sigmoid(), "loss": MSELoss()}, edges, seed=0)
        fit(net, given, targets, optimizer=SGD(lr=0.1), epochs=1, batch_size=4, progress=False)
        assert net.predict(given).shape == (4, 1)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], torch.bool),
        ([1, 2], torch.int64),
        ([1, 2.5], torch.float32),
        ([True, 2.5], torch.float32),
        (pd.Series([True, False]), torch.bool),
        (pd.Series([True, False], dtype="boolean"), torch.bool),
        (pd.Series([1, 2], dtype="UInt8"), torch.int64),
        (pd.DataFrame({"a": [1, 2], "b": [True, False]}), torch.int64),
        (pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), torch.float32),
        (pd.Series(["b", "a"], dtype="category").cat.codes, torch.int64),
        ([Decimal("0.5"), Fraction(1, 2)], torch.float32),
        (np.array([1.5, 2], dtype=np.longdouble), torch.float32),
        (np.array([1e300]), torch.float32),
        (np.float16(2.5), torch.float32),
        (memoryview(b"ab"), None),
    ],
    ids=lambda value: "memory" if isinstance(value, memoryview) else str(value),
)
def test_types(values, dtype):
    if dtype is None:
        with pytest.raises(GraphDLError, match="is a memoryview; give a tensor or an array of numbers"):
            as_tensor(values, "x")
        return
    assert to_tensor(values, "x", torch.device("cpu"), torch.float32).dtype is dtype


def quietly(make, *given):
    """A tensor of a kind of which torch says that it may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*given)


REFUSED = {
    "masked": (np.ma.array([[1.0, 2.0]], mask=[[True, False]]), r"is a masked array with 1 masked value: fill them"),
    "complex": (np.ones((2, 2), complex), r"holds complex numbers: .*numpy\.stack\(\[x\.real, x\.imag\], -1\)"),
    "complex tensor": (torch.ones(2, dtype=torch.complex64), r"holds complex numbers: .*torch\.view_as_real\(x\)"),
    "complex list": ([1.0, 2j], r"holds complex numbers"),
    "sparse": (torch.eye(2).to_sparse(), r"is a sparse tensor \(torch\.sparse_coo\): give x\.to_dense\(\)"),
    "sparse rows": (quietly(torch.eye(2).to_sparse_csr), r"is a sparse tensor \(torch\.sparse_csr\)"),
    "sparse matrix": (scipy.sparse.eye_array(2), r"is a sparse matrix \(dia_array\): give x\.toarray\(\)"),
    "meta": (torch.empty(2, 2, device="meta"), r"is a tensor on the meta device, which has a shape and no data"),
    "nested": (
        quietly(torch.nested.nested_tensor, [torch.ones(2), torch.ones(3)]),
        r"is a nested tensor, whose rows have different lengths: .*to_padded_tensor",
    ),
    "ragged": ([[1.0], [1.0, 2.0]], r"not hold numbers in a regular shape: row 0 has 1 value, and row 1 2 values"),
    "ragged inside": ([[[1], [2]], [[1], [2, 3]]], r"row 0 has 1 value, and row 1 2 values"),
    "number among rows": ([[1.0], 2.0], r"row 0 has 1 value, and row 1 a number"),
    "ragged tensors": ([torch.ones(2), torch.ones(3)], r"different shapes: element 0 has \(2,\), and element 1 \(3,\)"),
    "ragged objects": (np.array([[1], [1, 2]], object), r"regular shape: row 0 has 1 value, and row 1 2 values"),
    "strings": (
        ["cat", "dog"],
        r"holds strings, such as 'cat': .*sklearn\.preprocessing\.LabelEncoder.*one_hot\(labels",
    ),
    "string objects": (np.array(["cat", 1], object), r"holds strings, such as 'cat' at \[0\]: .*LabelEncoder"),
    "bytes": (np.array([b"a"]), r"holds strings"),
    "None": ([[1.0, None]], r"holds None at \[0, 1\]: fill missing values"),
    "dates": (np.array(["2026-01-01"], "datetime64[D]"), r"holds dates or durations \(datetime64\[D\]\)"),
    "date objects": ([datetime(2026, 1, 1)], r"does not hold numbers: there is a datetime at \[0\]"),
    "fields": (np.zeros(2, [("a", float), ("b", int)]), r"has the fields a, b: give an array of one type"),
    "large": ([2**63], r"holds the integer 9223372036854775808, and the largest one is 9223372036854775807"),
    "larger": ([2**64], r"holds an integer of more than 64 bits: give floating-point numbers"),
    "a set": ({1.0}, r"is a set; give a tensor or an array of numbers"),
    "a file": ("data.csv", r"is a str; give a tensor or an array of numbers"),
    "missing": (
        pd.DataFrame({"a": [1.0, None], "b": [1, 2], "c": pd.array([None, None], "Int64")}, index=["u", "v"]),
        r"has missing values: column 'a' has 1 and column 'c' has 2 \(the first of column 'a' is at 'v'\)",
    ),
    "missing label": (pd.Series([1, None], dtype="Int64", name="y"), r"missing values: column 'y' has 1"),
    "missing category": (pd.Series(["a", None], dtype="category"), r"missing values: it has 1"),
    "text": (
        pd.DataFrame({"a": [1.0], "b": ["x"]}),
        r"column 'b' holds str, such as 'x', not numbers\. Use pandas\.get_d",
    ),
    "category": (
        pd.DataFrame({"a": [1.0], "b": pd.Categorical(["x"])}),
        r"column 'b' is categorical\. Give one column of 0 and 1 for each category, pandas\.get_dummies\(x\)",
    ),
    "categories of text": (pd.Series(["b", "a"], dtype="category"), r"it is categorical\..* give \.cat\.codes"),
    "categories of numbers": (
        pd.Series([10, 20], dtype="category", name="price"),
        r"column 'price' is categorical\..* give \.cat\.codes; for numbers, \.astype\(float\)",
    ),
    "a categorical": (pd.Categorical([1.5, 0.5]), r"it is categorical"),
    "times": (pd.DataFrame({"t": pd.to_datetime(["2026-01-01"])}), r"column 't' holds datetime64\[.*\]: give numbers"),
    "complex column": (pd.DataFrame({"z": [1j]}), r"column 'z' holds complex numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_what_was_given(name):
    value, text = REFUSED[name]
    with pytest.raises(GraphDLError, match=rf"^The input 'x'.*{text}"):
        Network({"fc": Linear(2, 2)}, {"x": ["fc"]}).predict({"x": value})
    net, target = network(), {"target": LABELS}
    with pytest.raises(GraphDLError, match=rf"^The input 'x'.*{text}"):
        fit(net, {"x": value, **target}, optimizer=SGD(lr=0.1), epochs=1, batch_size=2)


@pytest.mark.parametrize(
    ("labels", "classes", "text"),
    [
        (
            ["cat", "dog"],
            2,
            r"labels holds strings, such as 'cat': .*LabelEncoder.*one_hot\(labels, classes=\[names in",
        ),
        (["cat", "dgo"], ["cat", "dog"], r"labels hold 'dgo', which is not a class\. Did you mean 'dog'\?"),
        (["cat"], "cat", r"classes is 'cat': give the names of the classes"),
        (["cat"], ["cat", "cat"], r"give the names of the classes, each once"),
        ([0, 5], 2, r"labels are from 0 to 5, but with classes=2"),
    ],
)
def test_labels_that_are_refused(labels, classes, text):
    with pytest.raises(GraphDLError, match=text):
        one_hot(labels, classes)


def test_arrays_are_copied_once():
    """In float64 arrays, too, only the result is allocated: as many bytes as the tensor has."""
    import tracemalloc

    array = np.ones((1000, 500))
    tracemalloc.start()
    tensor = to_tensor(array, "x", torch.device("cpu"), torch.float32)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tensor.nbytes <= peak < 1.1 * tensor.nbytes
    array[:] = 2
    assert bool((tensor == 1).all())


def test_several_values_and_values_without_rows_over_batches():
    net = network()
    found = net.predict(DataLoader(Items(), 7), outputs=["fc", "x"])
    torch.testing.assert_close(found["fc"], net.predict(X))
    assert torch.equal(found["x"], X)
    with pytest.raises(GraphDLError, match="The value of 'loss' is one number for each batch"):
        net.predict(Items(dict), outputs=["loss"])


def test_targets_beside_batches_are_refused():
    with pytest.raises(GraphDLError, match="targets are only taken with rows"):
        fit(network(), DataLoader(Items(), 10), LABELS, optimizer=SGD(), epochs=1)
    with pytest.raises(GraphDLError, match=r"A TensorDataset of 3 tensors does not name them"):
        fit(network(), TensorDataset(X, X, LABELS), optimizer=SGD(), epochs=1, batch_size=3)


@pytest.mark.parametrize(
    "how",
    [
        {"shuffle": True},
        {"sampler": SubsetRandomSampler(range(30))},
        {"sampler": WeightedRandomSampler([1.0] * 30, 30)},
        {"batch_sampler": BatchSampler(RandomSampler(range(30)), 7, False)},
    ],
    ids=lambda how: next(iter(how)),
)
def test_predictions_of_a_loader_that_shuffles_are_refused(how):
    size = {} if "batch_sampler" in how else {"batch_size": 7}
    with pytest.raises(GraphDLError, match=r"draws its rows in random order .*give DataLoader\(\.\.\., shuffle=False"):
        network().predict(DataLoader(Items(), **size, **how))
    in_order = DataLoader(Items(), batch_sampler=BatchSampler(SequentialSampler(range(30)), 7, False))
    torch.testing.assert_close(network().predict(in_order), network().predict(X))


@pytest.mark.parametrize("form", [lambda x, y: (x, y), lambda x, y: [x, y], lambda x, y: {"x": x, "target": y}])
def test_predictions_of_a_list_of_batches(form):
    batches = [form(x, y) for x, y in zip(X.split(7), LABELS.split(7), strict=True)]
    torch.testing.assert_close(network().predict(batches), network().predict(X))


def test_nested_lists_of_arrays_are_rows_and_not_batches():
    net = Network({"fc": Linear(2, 1)}, {"x": ["fc"]}, seed=0)
    for rows in ([[np.ones(2), np.zeros(2)]] * 2, [[torch.zeros(2)] * 3] * 5, [[torch.zeros(2, 2)]] * 3):
        expected = net.predict(torch.tensor(np.array(rows), dtype=torch.float32))
        torch.testing.assert_close(net.predict(rows), expected)
    assert net.predict([[np.ones(2), np.zeros(2)]] * 2).shape == (2, 2, 1)
    for tuples in ([(torch.zeros(4, 2),) * 2], [(torch.zeros(4, 2),)] * 2):
        with pytest.raises(GraphDLError, match="which may be rows or pairs"):
            net.predict(tuples)
    with pytest.raises(GraphDLError, match="list of tensors of different shapes"):
        net.predict([torch.zeros(4, 2), torch.zeros(3, 2)])
    with pytest.raises(GraphDLError, match="in a regular shape"):
        net.predict([[np.ones(2), np.ones(3)]])
