"""What the tests of losses share: targets, references, and checks of torch's arguments."""

from __future__ import annotations

import inspect

import pytest
import torch

from graphdl import Feed, Network
from tests.operators.case import Case

REDUCTIONS = ("mean", "sum", "none")
TOP = {"weight", "class_weight", "pos_weight"}


def indices(*shape, classes=3, ignored=None, dtype=torch.int64):
    def draw(generator):
        drawn = torch.randint(classes, shape, generator=generator)
        if ignored is not None:
            drawn.view(-1)[::3] = ignored
        return drawn.to(dtype)

    return draw


def signs(*shape):
    """Targets of 1 and -1."""
    return lambda generator: torch.randint(2, shape, generator=generator) * 2 - 1


def probabilities(*shape):
    """Positive numbers that need not add up to 1: torch takes those too."""
    return lambda generator: torch.rand(shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1


def logs(*shape):
    """Log-probabilities along axis 1."""
    return lambda generator: torch.randn(shape, generator=generator, dtype=torch.float64).log_softmax(1)


def reduced(operator, function, inputs, name="", batched=True, **settings):
    """A case of each reduction, against a function of torch that takes the same settings."""

    def case(reduction):
        def reference(p, *xs):
            xs = [xs[0], *(x.to(xs[0].dtype) for x in xs[1:])]
            return function(*xs, reduction=reduction, **settings)

        made = operator(reduction=reduction, **settings)
        return Case("-".join(filter(None, (operator.__name__, name, reduction))), made, inputs, reference, batched)

    return [case(reduction) for reduction in REDUCTIONS]


def assert_arguments_of_torch(operator, module):
    """Names and defaults are those of torch, but for what is deprecated there and the weights of classes."""
    theirs = {k: p.default for k, p in inspect.signature(module).parameters.items() if k not in TOP}
    theirs = {k: default for k, default in theirs.items() if k not in ("size_average", "reduce")}
    ours = {k: p.default for k, p in inspect.signature(operator).parameters.items() if k not in TOP}
    assert ours == theirs
    assert inspect.signature(operator).parameters["weight"].default == 1.0
    table = {"class_weight": "weight", "pos_weight": "pos_weight"}
    weights = {table[k] for k in inspect.signature(operator).parameters if k in table}
    assert weights == {k for k in inspect.signature(module).parameters if k in table.values()}


def assert_state_carries_over(operator, module, *inputs):
    """The state_dict of torch's module makes an operator with other weights compute what the module does."""
    net = Network(
        {"loss": operator}, {f"x{k}": [Feed("loss", slot=k)] for k in range(len(inputs))}, dtype=torch.float64
    )
    given = {f"x{k}": x for k, x in enumerate(inputs)}
    expected = module.double()(*inputs)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(net.forward(given)["loss"], expected)
    net.load_state_dict({f"loss.{name}": tensor for name, tensor in module.state_dict().items()})
    torch.testing.assert_close(net.forward(given)["loss"], expected)
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        f"loss.{name}": tensor.shape for name, tensor in module.state_dict().items()
    }
