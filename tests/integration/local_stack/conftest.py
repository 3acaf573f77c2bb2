"""One stack for all tests of a run; each leaves it up."""

from collections.abc import Iterator

import pytest

from tests.integration.local_stack.running import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack that is up; stopped at the end."""
    local = LocalStack(tmp_path_factory.mktemp("local stack"))
    try:
        local.up()
        yield local
    finally:
        assert local.run("clean").returncode == 0
        assert local.running() == {}
