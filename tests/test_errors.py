import pytest

from graphdl import errors
from graphdl.errors import MissingPackageError, did_you_mean, import_optional, listing

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_a_graphdl_error_with_a_docstring(cls):
    assert issubclass(cls, UserWarning if cls.__name__.endswith("Warning") else errors.GraphDLError)
    assert cls.__doc__.endswith(".")


def test_all_errors_are_public():
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert found == set(errors.__all__)


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("tahn", ["tanh", "relu"], " Did you mean 'tanh'?"),
        ("fc1", ["fc2", "fc10", "conv"], " Did you mean 'fc10'?"),
        ("1", [1, 2], " Did you mean 1?"),
        (1, ["1"], " Did you mean '1'?"),
        ("zzz", ["tanh"], ""),
        ("tanh", [], ""),
        ("", ["tanh"], ""),
    ],
)
def test_did_you_mean_offers_the_closest_name_as_it_is_written(name, known, text):
    assert did_you_mean(name, known) == text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", 2], "a and 2"),
        (iter(["a", "b", "c"]), "a, b and c"),
        (range(12), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11"),
        (range(13), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"),
    ],
)
def test_listing_counts_what_it_does_not_print(items, text):
    assert listing(items) == text


def test_listing_prints_at_most_so_many():
    assert listing("abcd", most=3) == "a, b and 2 more"


def test_an_optional_package():
    assert import_optional("json", "reading", "json", "all").loads("3") == 3
    text = r"^drawing needs nothing, which cannot be imported \(No module .*\): pip install 'graphdl\[draw\]'\.$"
    with pytest.raises(MissingPackageError, match=text):
        import_optional("no_such_module_of_ours", "drawing", "nothing", "draw")
