"""Inserts that ClickHouse answers with an error: a batch counts once, whatever was written."""

from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from structlog.testing import capture_logs

from libs.telemetry import metrics
from tests.integration.processor.agents import Failing, KeptLetters, agent_of, counts, message
from tests.unit.services.processor.events import record

pytestmark = pytest.mark.integration

NOW_MS = round(datetime.now(UTC).timestamp() * 1000)
MEMORY_LIMIT_EXCEEDED, TOO_MANY_PARTS, TIMEOUT_EXCEEDED = 241, 252, 159
TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION = 202, 203
VIOLATED_CONSTRAINT, ACCESS_DENIED = 469, 497


def error(code: int) -> DatabaseError:
    return DatabaseError(f"Code: {code}.", code=code)


def metric(name: str, **labels: str) -> float:
    return metrics.PROCESSOR.registry.get_sample_value(f"ragtime_{name}_total", labels) or 0.0


@pytest.mark.parametrize(
    ("code", "after"),
    [
        (MEMORY_LIMIT_EXCEEDED, True),
        (MEMORY_LIMIT_EXCEEDED, False),
        (TOO_MANY_PARTS, True),
        (VIOLATED_CONSTRAINT, False),
        (TIMEOUT_EXCEEDED, True),
    ],
)
async def test_batch_counts_once_when_the_error_does_not_tell_what_was_written(
    clickhouse: AsyncClient, processor: AsyncClient, code: int, *, after: bool
) -> None:
    agent = agent_of(processor, Failing(processor, [error(code)], after=after))
    await agent.take_over({0})
    before = metric("recoveries")
    leases_before = metric("leases_lost", reason="passed")

    await agent.process([record(message("a"), message("b"), at_ms=NOW_MS)])
    await agent.process([record(message("a"), message("c"), offset=1, at_ms=NOW_MS)])

    found = await counts(clickhouse)
    assert (found["_events", ""], found["conversation", "total"]) == (3, 1)
    assert metric("recoveries") == before + 1
    is_lease = code == VIOLATED_CONSTRAINT
    assert metric("leases_lost", reason="passed") == leases_before + is_lease


@pytest.mark.parametrize("code", [TOO_MANY_SIMULTANEOUS_QUERIES, NO_FREE_CONNECTION])
async def test_batch_is_sent_again_without_recovery_when_it_was_refused_at_the_door(
    clickhouse: AsyncClient, processor: AsyncClient, code: int
) -> None:
    agent = agent_of(processor, Failing(processor, [error(code)] * 2, after=False))
    await agent.take_over({0})
    before = metric("recoveries"), metric("insert_retries", reaction="retry")

    await agent.process([record(message("a"), at_ms=NOW_MS)])

    assert (await counts(clickhouse))["_events", ""] == 1
    after = metric("recoveries"), metric("insert_retries", reaction="retry")
    assert after == (before[0], before[1] + 2)


async def test_batch_waits_loudly_until_the_grant_is_back_when_one_is_missing(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    agent = agent_of(processor, Failing(processor, [error(ACCESS_DENIED)] * 2, after=False))
    await agent.take_over({0})
    before = metric("recoveries")

    with capture_logs() as said:
        await agent.process([record(message("a"), at_ms=NOW_MS)])

    failures = [line for line in said if line["event"] == "insert.failed"]
    assert [(line["log_level"], line["reaction"]) for line in failures] == [
        ("error", "operator"),
        ("error", "operator"),
    ]
    assert (await counts(clickhouse))["_events", ""] == 1
    assert metric("recoveries") == before + 2


@pytest.mark.parametrize(
    ("code", "after"),
    [(ACCESS_DENIED, False), (TIMEOUT_EXCEEDED, False), (TIMEOUT_EXCEEDED, True)],
)
async def test_bad_line_is_dead_lettered_once_when_the_insert_of_its_batch_is_repeated(
    clickhouse: AsyncClient, processor: AsyncClient, code: int, *, after: bool
) -> None:
    letters = KeptLetters()
    agent = agent_of(processor, Failing(processor, [error(code)] * 2, after=after), letters=letters)
    await agent.take_over({0, 1})

    await agent.process(
        [
            record(message("a"), b"{", at_ms=NOW_MS),
            record(b"[]", at_ms=NOW_MS, partition=1),
        ]
    )

    assert [letter.value for letter in letters.letters] == [b"{", b"[]"]
    assert (await counts(clickhouse))["_events", ""] == 1


@pytest.mark.parametrize("after", [True, False])
async def test_batch_of_two_months_counts_once_when_the_insert_of_the_second_fails(
    clickhouse: AsyncClient, processor: AsyncClient, *, after: bool
) -> None:
    lost = OperationalError("the connection was reset")
    agent = agent_of(processor, Failing(processor, [None, lost], after=after))
    await agent.take_over({0, 1})
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    old, new = (month - timedelta(seconds=1), month + timedelta(seconds=1))
    old_ms, new_ms = (round(moment.timestamp() * 1000) for moment in (old, new))
    a = message("a", occurred_at=old.isoformat())
    b = message("b", occurred_at=new.isoformat())
    c = message("c", occurred_at=new.isoformat(), conversation_id="c-2")
    d = message("d", occurred_at=old.isoformat(), conversation_id="c-3")

    await agent.process(
        [
            record(c, d, partition=1, at_ms=new_ms),
            record(a, at_ms=old_ms),
            record(a, b, b, offset=1, at_ms=new_ms),
        ]
    )
    await agent.process([record(a, b, offset=2, at_ms=new_ms)])

    found = await counts(clickhouse)
    assert found["_events", ""] == 4
    assert found["conversation", "total"] == 4
    parts = await clickhouse.query(
        "SELECT partition, count() FROM system.parts WHERE database = currentDatabase()"
        " AND table = 'events' AND active GROUP BY partition ORDER BY partition"
    )
    assert parts.result_rows == [(f"{old:%Y%m}", 1), (f"{new:%Y%m}", 1)]


async def test_counting_goes_on_and_says_so_when_kafka_has_lost_records(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    agent = agent_of(processor, kafka_holds_from=7)
    await agent.take_over({0, 1})
    await agent.process([record(message("a"), at_ms=NOW_MS)])
    before = metric("offsets_missing")

    with capture_logs() as said:
        await agent.process(
            [
                record(message("b"), offset=7, at_ms=NOW_MS),
                record(message("c"), offset=8, at_ms=NOW_MS),
                record(message("d"), partition=1, offset=7, at_ms=NOW_MS),
            ]
        )

    loud = [line for line in said if line["log_level"] == "error"]
    assert [(line["event"], line["partition"], line["first"], line["last"]) for line in loud] == [
        ("offsets.missing", 0, 1, 6),
        ("offsets.missing", 1, 0, 6),
    ]
    assert metric("offsets_missing") == before + 13
    assert (await counts(clickhouse))["_events", ""] == 4
