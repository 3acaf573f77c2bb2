"""Our tables for a test: those that the migrations leave, without the way to them.

It takes a third of the statements, and each costs the engine 15 ms. That they are the same is what
tests/integration/clickhouse/test_schema.py proves; a stack gets its tables by the migrations.
"""

from datetime import UTC, datetime

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.migrations import read_migrations, split_statements
from libs.clickhouse.schema import SCHEMA

_VIEW = "CREATE MATERIALIZED VIEW"


async def make_tables(client: AsyncClient) -> None:
    """Make all tables in the client's database, which is empty, and note the migrations there."""
    statements = split_statements(SCHEMA.read_text("utf-8"))
    for statement in sorted(statements, key=lambda text: _VIEW in text):  # their sources first
        await client.command(statement)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    lines = (f"{one.number}\t{one.name}\t{one.checksum}\t{now}" for one in read_migrations())
    await client.raw_insert("migrations", insert_block="\n".join(lines), fmt="TabSeparated")
