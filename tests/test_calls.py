"""Calls that do not fit are reported with an example; errors inside of a function are left as they are."""

import inspect

import pytest

from graphdl import Network, fit
from graphdl.calls import explained
from graphdl.errors import CallError


@explained("halve(2)")
def halve(number, *, times=1):
    """Halve it."""
    return number / 2**times


@pytest.mark.parametrize(("given", "named", "text"), [
    ((), {}, "halve: missing a required argument: 'number'. Write halve(2)."),
    ((1, 2), {}, "halve: too many positional arguments. Write halve(2)."),
    ((1,), {"time": 2}, "halve: got an unexpected keyword argument 'time'. Did you mean 'times'? Write halve(2)."),
    ((), {"numbr": 2}, "halve: got an unexpected keyword argument 'numbr'. Did you mean 'number'? Write halve(2)."),
    ((1,), {"number": 2}, "halve: multiple values for argument 'number'. Write halve(2)."),
])  # fmt: skip
def test_a_call_that_does_not_fit_shows_the_example(given, named, text):
    with pytest.raises(CallError) as caught:
        halve(*given, **named)
    assert str(caught.value) == text
    assert isinstance(caught.value, TypeError)


def test_self_is_no_argument():
    with pytest.raises(CallError, match=r"^Network: got an unexpected keyword argument 'slf'\. Write Network\("):
        Network({}, {}, slf=1)


def test_an_error_of_the_function_is_left_as_it_is():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        halve("2")
    assert not isinstance(caught.value, CallError)
    assert halve(4, times=2) == 1


def test_functions_keep_their_signatures_and_names():
    assert list(inspect.signature(halve).parameters) == ["number", "times"]
    assert halve.__doc__ == "Halve it."
    assert list(inspect.signature(fit).parameters)[:3] == ["net", "inputs", "targets"]
    assert list(inspect.signature(Network).parameters)[:3] == ["operators", "connectivity", "seed"]
