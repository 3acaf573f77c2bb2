"""One gateway for all tests that only talk to it; those that stop or kill one start their own."""

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.gateway.process import DATABASES, Gateway, new_gateway

_names = iter(DATABASES)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running gateway, shared."""
    shared = new_gateway(tmp_path_factory.mktemp("gateway"), databases=DATABASES)
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture
def own_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running gateway that a test may stop or kill."""
    own = new_gateway(tmp_path_factory.mktemp("own-gateway"))
    own.start()
    yield own
    assert own.process is not None
    if own.process.poll() is None:
        own.kill()


@pytest.fixture
def database(gateway: Gateway) -> Iterator[str]:
    """A database of the test's own."""
    name = next(_names)
    with gateway.client() as admin:
        admin.command(f"CREATE DATABASE {name} ENGINE = Atomic")
        yield name
        admin.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def client(gateway: Gateway, database: str) -> Iterator[Client]:
    """A client of that database, as the administrator."""
    with gateway.client(database=database) as connected:
        yield connected
