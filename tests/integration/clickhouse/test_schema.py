"""The migrations on the real engine."""

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import apply, pending, read_ledger, read_migrations, table_names
from libs.clickhouse.schema import SCHEMA, make_schema, read_schema
from libs.settings import ClickHouseSettings
from tests.servers import Servers

pytestmark = pytest.mark.integration


async def test_schema_file_is_what_the_migrations_make(clickhouse: AsyncClient) -> None:
    assert await make_schema(clickhouse) == SCHEMA.read_text("utf-8"), "run `make schema`"


async def test_tables_of_the_tests_are_those_of_the_migrations(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    database = clickhouse_settings.database
    assert await read_schema(clickhouse, database) == SCHEMA.read_text("utf-8")
    assert pending(read_migrations(), await read_ledger(clickhouse, database)) == []


async def test_migrations_can_be_applied_twice(
    real_servers: Servers, clickhouse: AsyncClient
) -> None:
    database = real_servers.new_database()
    migrations = read_migrations()
    for _ in range(2):
        await apply(clickhouse, database, migrations)
        assert pending(migrations, await read_ledger(clickhouse, database)) == []
    assert await read_schema(clickhouse, database) == SCHEMA.read_text("utf-8")
    await clickhouse.command(f"DROP DATABASE {database} SYNC")


async def test_table_names_are_those_of_the_tables_that_are_made(clickhouse: AsyncClient) -> None:
    made = await clickhouse.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND engine LIKE '%MergeTree'"
    )
    assert {name for (name,) in made.result_rows} == table_names(read_migrations())
