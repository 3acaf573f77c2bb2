"""The statements of one key keep none of another waiting, at the real engine."""

import asyncio

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from services.query.database import Database
from services.query.settings import QuerySettings
from services.query.statements import Statement
from tests.polling import until_answered

pytestmark = pytest.mark.integration

_ENDLESS = Statement("SELECT count() FROM system.numbers WHERE number % 7 = 5", {})
_RUNNING = (
    "SELECT count() FROM system.processes"
    " WHERE query LIKE '%numbers WHERE number % 7 = 5%' AND query NOT LIKE '%processes%'"
)


async def test_b_is_answered_when_a_has_asked_more_than_can_run(
    clickhouse_settings: ClickHouseSettings, clickhouse: AsyncClient
) -> None:
    query = QuerySettings(timeout_s=60, max_rows_read=10**18, max_running=4)
    database = Database(
        lambda sent: connect(clickhouse_settings, sent=sent),
        clickhouse_settings.database,
        query,
        share=0.5,
    )
    running = asyncio.create_task(database.run())
    await database.own_client()

    async def ask(key: str, statement: Statement) -> int:
        async with database.session(key) as session:
            rows = await session.rows(statement)
        return int(rows[0][0])

    async def half_is_taken() -> bool:
        return bool((await clickhouse.query(_RUNNING)).result_rows == [(2,)])

    heavy = [asyncio.create_task(ask("a", _ENDLESS)) for _ in range(30)]
    await until_answered(half_is_taken)
    async with asyncio.timeout(30):
        answers = [await ask("b", Statement("SELECT 7", {})) for _ in range(10)]
    for task in (*heavy, running):
        task.cancel()
    await asyncio.gather(*heavy, running, return_exceptions=True)
    await database.close()

    assert answers == [7] * 10
