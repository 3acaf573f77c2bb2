"""What all tests share: sockets are blocked but for the marks that need servers on this machine."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import Servers, servers

_WITH_SERVERS = ("integration", "contract", "e2e", "soak")

settings.register_profile(
    "ragtime",
    deadline=None,  # the machine is noisy; no test asserts a time
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ragtime")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Open the loopback address to the tests that are marked for it."""
    for item in items:
        if any(item.get_closest_marker(name) for name in _WITH_SERVERS):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))


@pytest.fixture(scope="session")
def real_servers() -> Iterator[Servers]:
    """A real Kafka and the real ClickHouse engine, one pair for the whole run."""
    with servers() as running:
        yield running
