"""The tables in a database of each test's own, and clients of each service's user in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from tests.servers import Servers

AsUser = Callable[[str], Awaitable[AsyncClient]]


@pytest.fixture
async def as_user(
    real_servers: Servers, clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> AsyncIterator[AsUser]:
    """Connects as a service's user to the database of the test, whose tables are made."""
    assert clickhouse.database == clickhouse_settings.database
    async with AsyncExitStack() as closing:

        async def connected(name: str) -> AsyncClient:
            own = real_servers.users[name]
            client = await connect(
                clickhouse_settings.model_copy(
                    update={"user": own.user, "password": SecretStr(own.password)}
                )
            )
            closing.push_async_callback(client.close)
            return client

        yield connected
