import pytest
import torch

from graphdl.execution.recorded.placing import place
from graphdl.execution.recorded.replay import Replay
from graphdl.execution.recorded.tape import Recorder

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def replay(function, x):
    """The function's result on x, recorded, bound to x, and then repeated on other numbers."""
    x = x.clone()
    with torch.inference_mode():
        with Recorder() as recorder:
            results = function(x)
        slots = [recorder.stand_in(result) for result in results]
        replayed = Replay(recorder.calls, [slot.index for slot in slots])
        bound = replayed.bind(0, len(recorder.calls))
        again = [replayed.tensors[slot.index] for slot in slots]
        for found, expected in zip(again, results, strict=True):
            assert torch.equal(found, expected)
        x.copy_(torch.linspace(-2, 3, x.numel()).view_as(x))
        for call in bound:
            call()
        for found, expected in zip(again, function(x.clone()), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            assert found.stride() == expected.stride()
    return replayed, recorder


FUNCTIONS = {
    "a function of torch": lambda x: [torch.tanh(x)],
    "an overload that writes": lambda x: [torch.ops.aten.threshold_backward(x, x.relu(), 0)],
    "several results": lambda x: list(torch.ops.aten.native_layer_norm(x, [3], None, None, 1e-5)),
    "results by their kernels alone": lambda x: [x.sort(1).values, x.max(1).indices],
    "views": lambda x: [(x.t() @ x).view(-1)[1:5].reshape(2, 2).t() + 1],
    "a split": lambda x: [piece * 2 for piece in x.split(2)],
    "writing in place": lambda x: [(x + 1).mul_(2).add_(x)],
    "writing into a view": lambda x: _write_into_a_view(x),
    "lists": lambda x: [torch.cat([x, x + 1], 1), torch.stack([x, x])],
    "filled tensors": lambda x: [torch.zeros_like(x).add_(x), torch.full((2,), 3.0), torch.ones(4, 1) * x],
    "a mask": lambda x: [torch.where(x > 0, x, torch.zeros(()))],
    "a number": lambda x: [x.square().mean() * 3 + x.pow(3).sum()],
    "a change of type": lambda x: [x.double() + 1, (x > 0).float()],
    "strides": lambda x: [x.t().contiguous().t() + 1, x.expand(2, 4, 3).clone()],
    "indices": lambda x: [x[torch.tensor([2, 0])], x.gather(1, torch.tensor([[0], [1], [2], [0]]))],
}


def _write_into_a_view(x):
    y = torch.zeros(4, 3)
    y[1:3].copy_(x[:2])
    return [y + 0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_repeats_give_what_the_function_gives(name):
    replay(FUNCTIONS[name], X)


def test_a_buffer_serves_again():
    def chain(x):
        for _ in range(10):
            x = torch.tanh(x)
        return [x]

    replayed, recorder = replay(chain, X)
    assert replayed.bytes == 2 * 64 == place(recorder.calls, [9])[1]
    assert place(recorder.calls, range(10))[1] == 10 * 64


def test_what_is_kept_and_its_base_are_not_written_over():
    def run(x):
        kept = torch.tanh(x)
        view = kept.t()
        y = torch.sigmoid(x)
        for _ in range(3):
            y = torch.tanh(y)
        return [view, y]

    replay(run, X)


def test_a_view_keeps_its_base_until_it_is_read():
    def run(x):
        view = (x + 1).t()
        for k in range(3):
            other = x + k
        return [view @ other]

    replay(run, X)


def test_random_numbers_go_on():
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        with Recorder() as recorder:
            torch.empty(5).bernoulli_(0.5, generator=generator)
        replayed = Replay(recorder.calls, [0])
        drawn = []
        bound = replayed.bind(0, len(recorder.calls))
        drawn.append(replayed.tensors[0].clone())
        for _ in range(3):
            for call in bound:
                call()
            drawn.append(replayed.tensors[0].clone())
    again = torch.Generator().manual_seed(0)
    expected = [torch.empty(5).bernoulli_(0.5, generator=again) for _ in range(5)][1:]
    assert all(map(torch.equal, drawn, expected))


def test_calls_can_be_bound_in_two_parts():
    with torch.inference_mode():
        x = X.clone()
        with Recorder() as recorder:
            y = torch.tanh(x)
            z = y * 2
        replayed = Replay(recorder.calls, [recorder.stand_in(z).index])
        first, second = replayed.bind(0, 1), replayed.bind(1, 2)
        x.zero_()
        for call in (*first, *second):
            call()
        assert not replayed.tensors[1].any()
