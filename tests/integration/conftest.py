"""A database of its own for each test that asks for one, on the real ClickHouse engine."""

from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from tests.servers import Servers
from tests.tables import make_tables


@pytest.fixture
def clickhouse_settings(real_servers: Servers) -> ClickHouseSettings:
    """How to reach a database that nobody else uses; it is not made yet."""
    return ClickHouseSettings(
        url=real_servers.clickhouse_url,
        user=real_servers.admin.user,
        password=SecretStr(real_servers.admin.password),
        database=real_servers.new_database(),
    )


@pytest.fixture
async def clickhouse(clickhouse_settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """A client of that database, with the tables as all migrations leave them; dropped after it."""
    system = await connect(clickhouse_settings, database="system")
    await system.command(f"CREATE DATABASE {clickhouse_settings.database} ENGINE = Atomic")
    client = await connect(clickhouse_settings)
    await make_tables(client)
    yield client
    await client.close()
    await system.command(f"DROP DATABASE {clickhouse_settings.database} SYNC")
    await system.close()
