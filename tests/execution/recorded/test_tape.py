import sys

import pytest
import torch

from graphdl.execution.recorded.tape import Call, Layout, Recorder, Slot, exchange


def record(function):
    with torch.inference_mode(), Recorder() as recorder:
        function()
    return recorder


def names(recorder):
    return [call.name for call in recorder.calls]


X, W, B = torch.ones(4, 3), torch.ones(2, 3), torch.zeros(2)


def test_a_call_is_taken_apart_into_kernels_and_views():
    recorder = record(lambda: torch.nn.functional.linear(X, W, B))
    assert names(recorder) == ["t", "addmm"]
    view, product = recorder.calls
    assert view.is_view
    assert view.args[0] is W
    assert not product.is_view
    assert product.args == (B, X, Slot(0))
    assert product.made == ((1, Layout(torch.Size([4, 2]), (2, 1), torch.float32, torch.device("cpu"))),)


def test_slots_are_what_a_call_reads_and_makes():
    recorder = record(lambda: torch.cat([X + 1, X * 2]))
    assert recorder.calls[-1].slots() == [2, 0, 1]


def test_several_results_have_a_slot_each():
    recorder = record(lambda: torch.split(X, 2))
    (call,) = recorder.calls
    assert call.is_view
    assert [slot for slot, _ in call.made] == [0, 1]


def test_what_a_call_wrote_into_keeps_its_slot():
    def run():
        y = X + 1
        z = y.mul_(2)
        return z.sum()

    recorder = record(run)
    assert names(recorder) == ["add", "mul_", "sum"]
    assert recorder.calls[2].args[0] == Slot(0)
    assert recorder.calls[1].made == ()


def test_what_was_written_into_from_outside_stays_itself():
    total = torch.zeros(())
    recorder = record(lambda: (total.add_(1)).mul(3))
    assert recorder.calls[1].args[0] is total


def test_a_call_with_out_makes_nothing():
    out = torch.empty(4, 4)
    recorder = record(lambda: torch.mm(X, X.t(), out=out))
    assert recorder.calls[-1].made == ()
    assert recorder.calls[-1].kwargs["out"] is out


def test_a_tensor_that_died_is_not_taken_for_another():
    def run():
        for _ in range(50):
            torch.relu(X + 1)

    recorder = record(run)
    assert [call.args[0] for call in recorder.calls[1::2]] == [Slot(k) for k in range(0, 100, 2)]


@pytest.mark.parametrize("read", [lambda x: float(x.sum()), lambda x: x.nonzero(), lambda x: bool((x > 0).all())])
def test_a_number_that_python_reads_is_noticed(read):
    assert record(lambda: X + 1).fixed
    assert not record(lambda: read(X)).fixed


def test_recording_does_not_import_the_compiler():
    code = (
        "import sys, torch\nfrom graphdl.execution.recorded.tape import Recorder\n"
        "with torch.inference_mode(), Recorder(): torch.ones(2).relu()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_layouts_bytes_are_what_it_spans():
    assert Layout.of(torch.empty(4, 3)).bytes == 48
    assert Layout.of(torch.empty(3, 4).t()).bytes == 48
    assert Layout.of(torch.empty(4, 6)[:, ::2]).bytes == 4 * (3 * 6 + 2 * 2 + 1)
    assert Layout.of(torch.empty(0, 3)).bytes == 0
    assert Layout.of(torch.empty(1, 3).expand(5, 3)).bytes == 12


def test_an_empty_tensor_of_a_layout_has_it():
    tensor = torch.empty(5, 4, dtype=torch.float64).t()
    assert Layout.of(Layout.of(tensor).empty()) == Layout.of(tensor)


def test_exchange_reaches_into_lists_tuples_and_dictionaries():
    found = exchange(([1, (2, "a")], {"k": 3.0, "n": 4}), int, lambda number: -number)
    assert found == ([-1, (-2, "a")], {"k": 3.0, "n": -4})


def test_a_name_has_no_overload():
    assert Call(torch.ops.aten.add_.Tensor, (), {}, (), 1, is_view=False).name == "add_"
