import pytest


@pytest.fixture(autouse=True, scope="session")
def _compiled_libraries(tmp_path_factory):
    """All tests share compiled libraries, and leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHDL_CACHE", str(tmp_path_factory.getbasetemp().parent / "graphdl-libraries"))
        yield
