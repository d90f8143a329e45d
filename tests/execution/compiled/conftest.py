import pytest

from graphdl.execution.compiled import build


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory):
    """All tests share compiled libraries, and leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHDL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def quick(monkeypatch):
    """Let the compiler spend less time: for tests of many networks."""
    monkeypatch.setattr(build, "FLAGS", ("-O1", *build.FLAGS[1:]))
