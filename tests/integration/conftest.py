"""A database of its own for each test that asks for one, on the real ClickHouse engine."""

from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.settings import ClickHouseSettings
from tests.servers import Servers
from tests.tables import new_database, tables


@pytest.fixture
def clickhouse_settings(real_servers: Servers) -> ClickHouseSettings:
    """How to reach a database that nobody else uses; it is not made yet."""
    return new_database(real_servers)


@pytest.fixture
async def clickhouse(clickhouse_settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """A client of that database, with the tables as all migrations leave them; dropped after it."""
    async with tables(clickhouse_settings) as client:
        yield client
