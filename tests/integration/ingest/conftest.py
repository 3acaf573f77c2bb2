"""A topic and a key for each test of ingest as a process."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import NO_LIMIT, ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_store import add_key
from tests.integration.ingest.process import PEPPER
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
    text = generate_key(Mode.LIVE)
    stored = ApiKey(
        id="key-1",
        key_hash=hash_key(text, PEPPER.encode()),
        project_id=PROJECT,
        mode=Mode.LIVE,
        scopes=frozenset({Scope.EVENTS_WRITE}),
        rate_per_minute=None,
        label="",
        created_at=datetime.now(UTC),
        expires_at=None,
        revoked_at=None,
        events_per_minute=NO_LIMIT,  # attacks send more than any honest key
    )
    await add_key(clickhouse, stored)
    return text
