"""When keys were used: written seldom, kept when it could not be written."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.exceptions import DatabaseError
from structlog.testing import capture_logs

from libs.access.key_uses import KeyUses, last_uses, write_uses
from tests.fakes import FakeClickHouse
from tests.polling import until

NOW = datetime(2026, 3, 25, 12, 0, 0, 123_456, tzinfo=UTC)


async def test_uses_are_written_once_an_interval_when_a_key_is_used_often() -> None:
    table = FakeClickHouse()
    uses = KeyUses(interval_s=0.01)
    for number in range(100):
        uses.note("key_1", NOW + timedelta(seconds=number))
    uses.note("key_2", NOW)
    running = asyncio.create_task(uses.run(await table.connect(), "query"))
    await until(lambda: bool(table.inserted))
    uses.note("key_3", NOW)
    await until(lambda: len(table.inserted) > 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert table.inserted == [
        (
            "key_uses",
            b'{"key_id":"key_1","used_at":"2026-03-25 12:01:39.123"}\n'
            b'{"key_id":"key_2","used_at":"2026-03-25 12:00:00.123"}\n',
        ),
        ("key_uses", b'{"key_id":"key_3","used_at":"2026-03-25 12:00:00.123"}\n'),
    ]


async def test_uses_are_kept_when_they_could_not_be_written() -> None:
    table = FakeClickHouse()
    table.failure = DatabaseError("Code: 497. DB::Exception: Not enough privileges")
    uses = KeyUses(interval_s=0.01)
    uses.note("key_1", NOW)
    with capture_logs() as lines:
        running = asyncio.create_task(uses.run(table, "query"))  # type: ignore[arg-type]
        await until(lambda: bool(lines))
        uses.note("key_2", NOW)
        table.failure = None
        await until(lambda: bool(table.inserted))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {line["event"] for line in lines} == {"keys.uses_not_written"}
    [(_, written)] = table.inserted
    assert b"key_1" in written
    assert b"key_2" in written


async def test_what_became_of_requests_is_added_up_by_key() -> None:
    table = FakeClickHouse()
    uses = KeyUses(interval_s=0.01)
    for status, rejected_events in ((202, 3), (202, 0), (400, 2), (403, 0), (429, 0), (503, 0)):
        uses.answered("key_1", status, rejected_events)
    uses.answered("key_2", 304, 0)
    running = asyncio.create_task(uses.run(await table.connect(), "ingest"))
    await until(lambda: bool(table.inserted))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    [(name, written)] = table.inserted
    rows = [json.loads(line) for line in written.splitlines()]
    assert name == "key_activity"
    assert [one.pop("hour")[13:] for one in rows] == [":00:00"] * 2
    quiet = {"refused": 0, "limited": 0, "failed": 0, "rejected_events": 0}
    assert rows == [
        {
            "key_id": "key_1",
            "service": "ingest",
            "requests": 6,
            "refused": 2,
            "limited": 1,
            "failed": 1,
            "rejected_events": 5,
        },
        {"key_id": "key_2", "service": "ingest", "requests": 1, **quiet},
    ]


async def test_others_are_served_while_uses_of_many_keys_are_written() -> None:
    table, turns = FakeClickHouse(), 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await write_uses(await table.connect(), {f"key_{number}": NOW for number in range(20_000)})
    other.cancel()
    [(_, written)] = table.inserted
    assert written.count(b"\n") == 20_000
    assert turns >= 20_000 / 500


async def test_last_uses_are_instants_when_read() -> None:
    table = FakeClickHouse()
    table.rows["FROM key_uses"] = [("key_1", 1_774_440_000_000)]
    assert await last_uses(await table.connect()) == {
        "key_1": datetime(2026, 3, 25, 12, tzinfo=UTC)
    }
