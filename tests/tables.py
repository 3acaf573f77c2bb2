"""Our tables for a test: those that the migrations leave, without the way to them.

It takes a third of the statements, and each costs the engine 15 ms. That they are the same is what
tests/integration/clickhouse/test_schema.py proves; a stack gets its tables by the migrations.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import read_migrations, split_statements
from libs.clickhouse.schema import SCHEMA
from libs.settings import ClickHouseSettings
from tests.servers import Servers

_VIEW = "CREATE MATERIALIZED VIEW"


def new_database(servers: Servers) -> ClickHouseSettings:
    """How to reach a database that nobody else uses; it is not made yet."""
    return ClickHouseSettings(
        url=servers.clickhouse_url,
        user=servers.admin.user,
        password=SecretStr(servers.admin.password),
        database=servers.new_database(),
    )


@asynccontextmanager
async def tables(settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """A client of a database that is made with all tables, and dropped afterwards."""
    system = await connect(settings, database="system")
    await system.command(f"CREATE DATABASE {settings.database} ENGINE = Atomic")
    client = await connect(settings)
    await _make_tables(client)
    yield client
    await client.close()
    await system.command(f"DROP DATABASE {settings.database} SYNC")
    await system.close()


async def _make_tables(client: AsyncClient) -> None:
    """Make all tables in the client's database, and note the migrations there."""
    statements = split_statements(SCHEMA.read_text("utf-8"))
    for statement in sorted(statements, key=lambda text: _VIEW in text):  # their sources first
        await client.command(statement)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    lines = (f"{one.number}\t{one.name}\t{one.checksum}\t{now}" for one in read_migrations())
    await client.raw_insert("migrations", insert_block="\n".join(lines), fmt="TabSeparated")
