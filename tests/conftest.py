import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the workers of xdist share the cores

import hypothesis
import pytest

from graphdl.training.epochs import CompiledEpoch

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser):
    parser.addoption(
        "--every-check",
        action="store_true",
        help="run what is otherwise drawn from: every shared check of every case of an operator, C++ in both types",
    )


@pytest.fixture(autouse=True, scope="session")
def _compiled_libraries(tmp_path_factory):
    """All tests share compiled libraries, and leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHDL_CACHE", str(tmp_path_factory.getbasetemp().parent / "graphdl-libraries"))
        yield


@pytest.fixture
def made_ahead(monkeypatch):
    """The numbers of epochs that were made at once."""
    found, ahead = [], CompiledEpoch.ahead

    def note(self, batches, count):
        found.append(count)
        return ahead(self, batches, count)

    monkeypatch.setattr(CompiledEpoch, "ahead", note)
    return found
