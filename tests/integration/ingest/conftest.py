"""A topic and a key for each test of ingest as a process."""

from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from tests.integration.ingest.process import add_producer
from tests.integration.ingest.topics import new_topic
from tests.servers import Servers

PARTITIONS = 3
PROJECT = "museum"


@pytest.fixture
async def topic(real_servers: Servers) -> AsyncIterator[str]:
    async with new_topic(real_servers.kafka, PARTITIONS) as name:
        yield name


@pytest.fixture
async def key(clickhouse: AsyncClient) -> str:
    return await add_producer(clickhouse, PROJECT)
