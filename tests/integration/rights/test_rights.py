"""Each statement of each service runs with its user's rights, and what is not granted does not."""

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from libs.clickhouse.migrations import read_ledger, read_migrations, table_names
from libs.clickhouse.rights import INSERT, SELECT, SERVICES, rights_of, tables_of
from services.admin.doctor.statements import STATEMENTS
from tests.integration.rights.conftest import AsUser

pytestmark = pytest.mark.integration

_OF_EACH_SERVICE = pytest.mark.parametrize("service", SERVICES)
_DENIED = 497
_BEYOND = (
    "SELECT * FROM system.errors LIMIT 0",
    "SELECT * FROM system.parts LIMIT 0",
    "SELECT * FROM system.users LIMIT 0",
    "SELECT * FROM `system`.`mutations` LIMIT 0",
    "SELECT * FROM information_schema.tables LIMIT 0",
    "SELECT count() FROM migrations, system.merges",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM system.disks)",
    "DROP TABLE events",
    "ALTER TABLE events DELETE WHERE true",
    "TRUNCATE TABLE daily_counts",
    "OPTIMIZE TABLE daily_counts",
    "CREATE TABLE more (a UInt8) ENGINE = Memory",
    "CREATE DATABASE more",
    "CREATE USER somebody",
    "SYSTEM FLUSH LOGS",
)
_FOR_ALL = ("settings", "tables", "columns", "databases", "one", "functions")


async def _code(client: AsyncClient, sql: str) -> int | None:
    """The code of the error that a statement is answered with."""
    try:
        await client.raw_query(sql)
    except DatabaseError as error:
        return error.code
    return None


@_OF_EACH_SERVICE
async def test_statements_run_with_the_rights_of_their_service(
    as_user: AsUser, service: str
) -> None:
    client = await as_user(service)

    for one in STATEMENTS[service]:
        await one.run(client)
        if one.sql:
            settings = one.sent | one.settings
            await client.raw_query(one.sql, parameters=one.parameters, settings=settings)
    assert await read_ledger(client, str(client.database))


@_OF_EACH_SERVICE
async def test_service_reads_and_fills_no_table_that_is_not_granted(
    as_user: AsUser, service: str
) -> None:
    client, grants = await as_user(service), rights_of(service)
    reads, inserts = tables_of(grants, SELECT), tables_of(grants, INSERT)

    for table in sorted(table_names(read_migrations())):
        reading = await _code(client, f"SELECT * FROM {table} LIMIT 0")  # noqa: S608 - a constant
        assert reading == (None if table in reads else _DENIED), table
        copy = f"EXPLAIN PIPELINE INSERT INTO {table} SELECT * FROM {table}"  # noqa: S608
        may_copy = table in inserts & reads
        assert await _code(client, copy) == (None if may_copy else _DENIED), table


@_OF_EACH_SERVICE
async def test_service_does_nothing_beyond_its_work(as_user: AsUser, service: str) -> None:
    client = await as_user(service)

    assert {sql: await _code(client, sql) for sql in _BEYOND} == dict.fromkeys(_BEYOND, _DENIED)


@_OF_EACH_SERVICE
async def test_running_statements_are_seen_and_ended_by_the_processor_alone(
    as_user: AsUser, service: str
) -> None:
    client = await as_user(service)
    expected = None if service == "processor" else _DENIED

    for sql in ("SELECT count() FROM system.processes", "KILL QUERY WHERE query_id = 'none' TEST"):
        assert await _code(client, sql) == expected


@_OF_EACH_SERVICE
async def test_what_a_server_lets_all_read_is_read(as_user: AsUser, service: str) -> None:
    client, grants = await as_user(service), rights_of(service)

    for table in _FOR_ALL:
        assert await _code(client, f"SELECT * FROM system.{table} LIMIT 0") is None  # noqa: S608
    tables = await client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    granted = tables_of(grants, SELECT) | tables_of(grants, INSERT)
    assert {name for (name,) in tables.result_rows} == granted


async def test_batch_reaches_the_counts_through_the_views(as_user: AsUser) -> None:
    processor, query = await as_user("processor"), await as_user("query")
    row = (
        b'{"project_id":"p","id":"1","type":"chat.message","role":"user","kp":1,'
        b'"occurred_at":"2026-01-02 03:04:05","appended_at":"2026-01-02 03:04:05",'
        b'"lease":"2200-01-01 00:00:00"}'
    )

    await processor.raw_insert("events", insert_block=row, fmt="JSONEachRow")

    counted = await query.query("SELECT sum(value) FROM daily_counts WHERE category = 'usage'")
    assert counted.result_rows == [(1,)]
