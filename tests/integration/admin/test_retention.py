"""The retention of raw events on the real engine: what is too old goes, and nothing else does."""

from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.kept_days import complete_since, noted
from services.admin.audit import TABLE_CHECKS, first_row
from services.admin.retention import carry_out, keep, kept, months
from tests.polling import until_answered

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
INSERT = """
INSERT INTO events (project_id, is_live, id, type, role, occurred_at, appended_at, conversation_id,
    first_of_day, topic, kp, ko, lease)
SELECT 'p', true, toString(number), 'chat.message', 'user', at, at, toString(number),
    true, 't', 0, 1000 - number, now64(3) + INTERVAL 1 MINUTE
FROM (SELECT number, now64(3) - toIntervalDay(number) AS at FROM numbers(500))
"""


@pytest.fixture
async def tables(clickhouse: AsyncClient) -> AsyncClient:
    """500 days with an event each."""
    await clickhouse.command(INSERT)
    return clickhouse


async def rows(client: AsyncClient, table: str) -> int:
    result = await client.query(
        "SELECT count() FROM {table:Identifier}", parameters={"table": table}
    )
    return int(result.result_rows[0][0])


async def difference(client: AsyncClient, days: int) -> str:
    parameters = {
        "partition": 0,
        "since": (NOW - timedelta(days=days)).date(),
        "topic": "t",
        "number_of_partitions": 1,
    }
    found = [await first_row(client, sql, parameters) for sql in TABLE_CHECKS.values()]
    return "".join(found)


async def test_months_go_and_counts_stay_when_raw_events_are_too_old(tables: AsyncClient) -> None:
    counts = await rows(tables, "daily_counts")

    await keep(tables, 100)

    # The month that 100 days ago lies in stays until its last day is too old.
    async def is_gone() -> bool:
        return len(await months(tables)) <= 5

    await until_answered(is_gone, 60)
    left = await rows(tables, "events")
    assert 100 <= left <= 132
    assert await rows(tables, "daily_counts") == counts
    since = complete_since(await noted(tables), NOW)
    assert since is not None
    assert await difference(tables, (NOW.date() - since).days) == ""
    assert await difference(tables, 400) != "", "a day whose raw events are gone"


async def test_nothing_is_deleted_when_an_update_brings_a_retention(tables: AsyncClient) -> None:
    said = await carry_out(tables, 400, NOW)
    assert "nothing was changed" in said
    assert (await kept(tables)).days == 0
    assert await noted(tables) == []


async def test_retention_is_carried_out_when_nothing_is_too_old(tables: AsyncClient) -> None:
    assert await carry_out(tables, 1000, NOW) == "raw events: kept for 1000 days"
    assert await carry_out(tables, 1000, NOW) == ""
    assert (await kept(tables)).days == 1000
    assert await carry_out(tables, 0, NOW) == "raw events: kept for ever"
    assert (await kept(tables)).days == 0
    assert [days for _, days in await noted(tables)] == [1000, 0]
    assert await rows(tables, "events") == 500


async def test_a_ttl_of_somebody_else_is_told_and_left(clickhouse: AsyncClient) -> None:
    await clickhouse.command(
        "ALTER TABLE events MODIFY TTL toDateTime(occurred_at) + INTERVAL 2 YEAR"
    )
    assert (await kept(clickhouse)).days is None
    assert "by another TTL" in await carry_out(clickhouse, 400, NOW)
    assert (await kept(clickhouse)).days is None
