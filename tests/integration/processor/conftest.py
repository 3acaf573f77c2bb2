"""The processor's own user of ClickHouse: what it may not do must not be needed."""

from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from tests.servers import Servers


@pytest.fixture
def processor_settings(
    real_servers: Servers, clickhouse_settings: ClickHouseSettings
) -> ClickHouseSettings:
    """The database of the test, as the processor reaches it."""
    user = real_servers.users.get("processor", real_servers.admin)
    return clickhouse_settings.model_copy(
        update={"user": user.user, "password": SecretStr(user.password)}
    )


@pytest.fixture
async def processor(
    clickhouse: AsyncClient,
    processor_settings: ClickHouseSettings,
) -> AsyncIterator[AsyncClient]:
    """A client with the processor's rights."""
    client = await connect(processor_settings)
    yield client
    await client.close()
