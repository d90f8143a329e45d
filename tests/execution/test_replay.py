import pytest
import torch

from graphdl.execution.recorder import recording
from graphdl.execution.replay import Replay, place
from graphdl.execution.training_passes import make_call

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def replay(function, x):
    """The function's result on x, recorded, bound to x, and then repeated on other numbers."""
    x = x.clone()
    with torch.inference_mode():
        with recording() as recorder:
            results = function(x)
        slots, tape = [recorder.slot(result) for result in results], recorder.tape()
        replayed = Replay(tape, slots, torch.device("cpu"))
        bound = replayed.bind(0, len(tape.calls), make_call)
        again = [replayed.tensor(slot) for slot in slots]
        for found, expected in zip(again, results, strict=True):
            assert torch.equal(found, expected)
        x.copy_(torch.linspace(-2, 3, x.numel()).view_as(x))
        for call in bound:
            call()
        for found, expected in zip(again, function(x.clone()), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            assert found.stride() == expected.stride()
    return replayed, tape


FUNCTIONS = {
    "a function of torch": lambda x: [torch.tanh(x)],
    "an overload that writes": lambda x: [torch.ops.aten.threshold_backward(x, x.relu(), 0)],
    "several results": lambda x: list(torch.ops.aten.native_layer_norm(x, [3], None, None, 1e-5)),
    "results by their kernels alone": lambda x: [x.sort(1).values, x.max(1).indices],
    "views": lambda x: [(x.t() @ x).view(-1)[1:5].reshape(2, 2).t() + 1],
    "a split": lambda x: [piece * 2 for piece in x.split(2)],
    "writing in place": lambda x: [(x + 1).mul_(2).add_(x)],
    "writing into a view": lambda x: _write_into_a_view(x),
    "a buffer that torch resizes": lambda x: _log_sigmoid_beside_others(x),
    "a loss that is reduced": lambda x: _losses(x),
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


def _log_sigmoid_beside_others(x):
    """The buffer, empty at first, takes the place of `few`, and the memory behind it holds `kept`."""
    x = torch.cat([x] * 8)
    few = x[:1] * 2
    kept = x * 3
    total = few.sum()
    del few
    found = torch.empty_like(x)
    torch._C._nn.log_sigmoid(x, out=found)
    return [found, kept, total]


def _losses(x):
    """torch writes the losses of all elements to where the reduced one belongs: into the memory of `kept` as well."""
    x = torch.cat([x] * 8)
    few = x[:1] * 2
    kept = x * 3
    total = few.sum()
    del few
    return [torch.ops.aten.huber_loss(x, kept, 1, 1.0), kept, total]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_repeats_give_what_the_function_gives(name):
    replay(FUNCTIONS[name], X)


def test_a_buffer_serves_again():
    def chain(x):
        for _ in range(10):
            x = torch.tanh(x)
        return [x]

    _, tape = replay(chain, X)
    results = [call.results[0] for call in tape.calls]
    assert place(tape, results[-1:])[1] == 2 * 64
    assert place(tape, results)[1] == 10 * 64


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
        with recording() as recorder:
            slot = recorder.slot(torch.empty(5).bernoulli_(0.5, generator=generator))
        tape = recorder.tape()
        replayed = Replay(tape, [slot], torch.device("cpu"))
        bound = replayed.bind(0, len(tape.calls), make_call)
        drawn = [replayed.tensor(slot).clone()]
        for _ in range(3):
            for call in bound:
                call()
            drawn.append(replayed.tensor(slot).clone())
    again = torch.Generator().manual_seed(0)
    expected = [torch.empty(5).bernoulli_(0.5, generator=again) for _ in range(5)][1:]
    assert all(map(torch.equal, drawn, expected))


def test_calls_can_be_bound_in_two_parts():
    with torch.inference_mode():
        x = X.clone()
        with recording() as recorder:
            slot = recorder.slot(torch.tanh(x) * 2)
        replayed = Replay(recorder.tape(), [slot], torch.device("cpu"))
        first, second = replayed.bind(0, 1, make_call), replayed.bind(1, 2, make_call)
        x.zero_()
        for call in (*first, *second):
            call()
        assert not replayed.tensor(slot).any()


def test_opaque_calls_are_made_every_time_and_never_inside_a_recording():
    counts, total = [], torch.zeros(3)
    with torch.inference_mode():
        x = X.clone()

        def opaque(row):
            counts.append(len(counts))  # a number that Python keeps
            total.add_(row * len(counts))

        with recording() as recorder:
            y = x.sum(0)
            recorder.call(opaque, y)
        tape = recorder.tape()
        assert [call.name for call in tape.calls] == ["sum", ""]
        bound = Replay(tape, [], torch.device("cpu")).bind(0, 2, lambda *_: None)
        for call in bound:
            call()
    assert counts == [0, 1]
    torch.testing.assert_close(total, 3 * X.sum(0))
