"""What a statement of query may take of the real engine, and that it ends with its caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from libs.clickhouse.connection import connect
from libs.http.problems import Problem
from libs.settings import ClickHouseSettings
from services.query.database import Database, NotSmallError, caps
from services.query.settings import QuerySettings
from services.query.statements import Statement
from tests.polling import until_answered

pytestmark = pytest.mark.integration

_ENDLESS = Statement("SELECT count() FROM system.numbers WHERE number % 7 = 3", {})
_RUNNING = (
    "SELECT count() FROM system.processes"
    " WHERE query LIKE '%numbers WHERE number%' AND query NOT LIKE '%processes%'"
    " AND current_database = currentDatabase()"
)


@asynccontextmanager
async def _database(settings: ClickHouseSettings, query: QuerySettings) -> AsyncIterator[Database]:
    database = Database(
        lambda sent: connect(settings, sent=sent), settings.database, query, share=0.5
    )
    running = asyncio.create_task(database.run())
    await database.own_client()
    yield database
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await database.close()


async def _problem(database: Database, sql: str) -> Problem:
    with pytest.raises(Problem) as caught:
        async with database.session("key") as session:
            await session.rows(Statement(sql, {}))
    return caught.value


@pytest.mark.parametrize(
    "sql",
    ["SELECT number FROM numbers(1001)", "SELECT count() FROM numbers(100000) GROUP BY number % 2"],
    ids=["rows", "rows read"],
)
async def test_question_is_refused_when_it_has_too_many_rows(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient, sql: str
) -> None:
    query = QuerySettings(max_rows=1_000, max_rows_read=10_000)
    async with _database(clickhouse_settings, query) as database:
        problem = await _problem(database, sql)
        async with database.session("key") as session:
            assert len(await session.rows(Statement("SELECT number FROM numbers(999)", {}))) == 999
    assert (problem.status, problem.code) == (400, "answer_too_large")
    assert "numbers" not in problem.detail


async def test_question_is_refused_when_its_answer_has_too_many_bytes(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    sql = "SELECT repeat(toString(number), 100) FROM numbers({rows})"
    query = QuerySettings(max_result_bytes=1024 * 1024)
    async with _database(clickhouse_settings, query) as database:
        problem = await _problem(database, sql.format(rows=10_000))
        async with database.session("key") as session:
            few = await session.rows(Statement(sql.format(rows=1_000), {}))
    assert (problem.status, problem.code) == (400, "answer_too_large")
    assert len(few) == 1_000


async def test_answer_is_not_small_when_it_has_many_rows_or_bytes(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    many = (
        "SELECT number FROM numbers(10001)",
        "SELECT repeat(toString(number), 100) FROM numbers(8000)",
    )
    async with _database(clickhouse_settings, QuerySettings()) as database:
        for sql in many:
            with pytest.raises(NotSmallError):
                async with database.session("key") as session:
                    await session.rows(Statement(sql, {}), if_small=True)
            async with database.session("key") as session:
                assert len(await session.rows(Statement(sql, {}))) > 3_999


async def test_question_is_refused_when_it_takes_too_much_memory(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    sql = "SELECT length(groupArray(number)) FROM numbers(100000000)"
    query = QuerySettings(max_memory_bytes=32 * 1024 * 1024)
    async with _database(clickhouse_settings, query) as database:
        problem = await _problem(database, sql)
    assert (problem.status, problem.code) == (400, "answer_too_large")


async def test_nothing_can_be_changed_when_a_statement_goes_with_the_caps(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    client = await connect(clickhouse_settings, sent=caps(QuerySettings()))
    for sql in ("DROP TABLE api_keys", "INSERT INTO topics SELECT * FROM topics"):
        with pytest.raises(DatabaseError, match="readonly"):
            await client.command(sql)
    await client.close()


async def test_statement_ends_when_its_caller_goes_away(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    async def is_running() -> bool:
        return bool((await clickhouse.query(_RUNNING)).result_rows != [(0,)])

    async def is_over() -> bool:
        return not await is_running()

    async def ask(database: Database) -> None:
        async with database.session("key") as session:
            await session.rows(_ENDLESS)

    async with _database(
        clickhouse_settings, QuerySettings(timeout_s=60, max_rows_read=10**18)
    ) as database:
        asked = asyncio.create_task(ask(database))
        await until_answered(is_running)
        asked.cancel()
        await until_answered(is_over)


async def test_statement_ends_when_the_time_is_over(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    async def is_over() -> bool:
        return bool((await clickhouse.query(_RUNNING)).result_rows == [(0,)])

    async with _database(
        clickhouse_settings, QuerySettings(timeout_s=1, max_rows_read=10**18)
    ) as database:
        problem = await _problem(database, _ENDLESS.sql)
        await until_answered(is_over)
    assert (problem.status, problem.code) == (503, "unavailable")
