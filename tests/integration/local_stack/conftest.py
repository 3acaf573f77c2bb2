"""One stack for all tests of a run. Each may take it down, and fail; the next finds it up."""

from collections.abc import Iterator

import pytest

from deploy.local.supervision import PROGRAMS
from tests.integration.local_stack.running import LocalStack


@pytest.fixture
def stack(shared_stack: LocalStack) -> LocalStack:
    """A stack that is up, whatever the test before did to it."""
    if shared_stack.running().keys() != set(PROGRAMS):
        shared_stack.up()
    return shared_stack


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack that was up once; stopped at the end."""
    local = LocalStack(tmp_path_factory.mktemp("local stack"))
    try:
        local.up()
        yield local
    finally:
        assert local.run("clean").returncode == 0
        assert local.running() == {}
