"""The stand-in for a cluster, one for all tests here, and a database of its own for each."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings
from tests.integration.cluster.stand_in import CLUSTER, HALF_SILENT
from tests.integration.gateway.process import ADMIN, Gateway, new_gateway, password_of


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It runs, shared."""
    server = new_gateway(tmp_path_factory.mktemp("cluster"))
    server.module = "tests.integration.cluster.stand_in"
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cluster_settings(stand_in: Gateway) -> ClickHouseSettings:
    """How to reach it; the database is not made yet."""
    return ClickHouseSettings(
        url=stand_in.url,
        user=ADMIN,
        password=SecretStr(password_of(ADMIN)),
        database=f"cluster_{secrets.token_hex(6)}",
        cluster=CLUSTER,
    )


@pytest.fixture
async def cluster(cluster_settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """A client of that database, with all migrations applied; dropped afterwards."""
    async with _migrated(cluster_settings, CLUSTER) as client:
        yield client


@pytest.fixture
async def half_silent(cluster_settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """The same, where there is a second shard, which does not answer."""
    async with _migrated(cluster_settings, HALF_SILENT) as client:
        yield client


@asynccontextmanager
async def _migrated(settings: ClickHouseSettings, cluster: str) -> AsyncIterator[AsyncClient]:
    system = await connect(settings, database="system")
    await apply(system, settings.database, read_migrations(), cluster)
    client = await connect(settings)
    yield client
    await client.close()
    await system.command(f"DROP DATABASE {settings.database} SYNC")
    await system.close()
