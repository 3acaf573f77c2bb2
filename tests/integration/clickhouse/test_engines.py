"""Tables of several servers are refused: a replicated one, as far as one engine can have it.

Without a Keeper none can be made, but one that is attached is there, for reading alone.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import (
    MigrationError,
    apply,
    read_engines,
    read_ledger,
    read_migrations,
    replication_error,
    table_names,
    wait_until_applied,
    wait_until_countable,
)
from libs.settings import ClickHouseSettings
from services.admin.doctor.findings import Status
from services.admin.doctor.tables import judge

pytestmark = pytest.mark.integration

REASON = "retention has the engine ReplicatedMergeTree: tables on several servers"


@pytest.fixture
async def replicated(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> AsyncIterator[AsyncClient]:
    """One of our tables is a replica; the processor does not even read it."""
    name = f"{clickhouse_settings.database}.retention"
    await clickhouse.command(f"DROP TABLE {name} SYNC")
    await clickhouse.command(
        f"ATTACH TABLE {name} UUID '{uuid.uuid4()}' (noted_at DateTime64(3), events_days UInt32)"
        f" ENGINE = ReplicatedMergeTree('/{name}', 'a') ORDER BY noted_at"
    )
    yield clickhouse
    # Dropped, it would wait for a Keeper.
    await clickhouse.command(f"DETACH TABLE {name} SYNC")


async def test_engines_are_those_of_one_server_when_the_migrations_made_them(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    database = clickhouse_settings.database
    engines = await read_engines(clickhouse, database)
    tables = table_names(read_migrations())
    assert engines.keys() == {database, *(f"{database}.{table}" for table in tables)}
    assert engines[database] == "Atomic"
    assert replication_error(engines) == ""
    await wait_until_countable(clickhouse, database)


async def test_nothing_is_applied_when_a_table_is_a_replica(
    replicated: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    database = clickhouse_settings.database
    await replicated.command(f"ALTER TABLE {database}.migrations DELETE WHERE number = 1")
    before = await read_ledger(replicated, database)
    with pytest.raises(MigrationError, match=REASON):
        await apply(replicated, database, read_migrations())
    assert await read_ledger(replicated, database) == before


async def test_processor_waits_and_ingest_starts_when_a_table_is_a_replica(
    replicated: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    await wait_until_applied(replicated, clickhouse_settings.database)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_until_countable(replicated, clickhouse_settings.database)


async def test_doctor_fails_when_a_table_is_a_replica(
    replicated: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    database = clickhouse_settings.database
    engines = await read_engines(replicated, database)
    found = judge(engines, await read_ledger(replicated, database))
    assert found.status is Status.FAIL
    assert REASON in found.seen
