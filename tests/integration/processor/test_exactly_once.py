"""The processor's agent on the real engine: insert, recover, insert again. No Kafka is needed."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from services.processor.agent import Agent
from services.processor.batch import Record
from services.processor.dedup_index import Hashes, Mask
from services.processor.id_filter import IdFilter
from services.processor.ownership import Ownership, StoppedError
from services.processor.writer import Writer, tag
from tests.integration.processor.agents import (
    LEASE_S,
    Failing,
    Group,
    KeptLetters,
    agent_of,
    counts,
    message,
    ownership_of,
)
from tests.polling import until_answered
from tests.servers import Servers
from tests.tables import new_database, tables
from tests.unit.services.processor.events import event, record

pytestmark = pytest.mark.integration

NOW_MS = round(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
async def agent(clickhouse: AsyncClient, processor: AsyncClient) -> Agent:
    agent = agent_of(processor)
    await agent.take_over({0, 1})
    return agent


def records(*ids: str, partition: int = 0, first: int = 0) -> list[Record]:
    return [
        record(message(name), partition=partition, offset=first + at, at_ms=NOW_MS)
        for at, name in enumerate(ids)
    ]


async def test_batch_is_counted_in_one_part(agent: Agent, clickhouse: AsyncClient) -> None:
    await agent.process(records("a", "b") + records("c", partition=1))
    found = await counts(clickhouse)
    assert found["_events", ""] == 3
    assert found["usage", "public"] == 3
    assert found["conversation", "total"] == 2  # one in each partition
    parts = await clickhouse.query(
        "SELECT count() FROM system.parts WHERE database = currentDatabase()"
        " AND table = 'events' AND active"
    )
    assert parts.result_rows == [(1,)]


async def test_repeats_are_not_counted_again_by_the_same_agent(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    await agent.process(records("b", "c", first=2))
    assert (await counts(clickhouse))["_events", ""] == 3


async def test_repeats_are_not_counted_again_by_the_next_owner(
    agent: Agent, clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    other = agent_of(processor)
    await other.take_over({0})
    assert other.partitions[0].next_offset == 2
    # What was read again after a kill, a repeat under a new offset, and something new.
    await other.process(records("a", "b", "b", "c"))
    found = await counts(clickhouse)
    assert found["_events", ""] == 3
    assert found["conversation", "total"] == 1


async def test_batch_is_counted_once_when_the_answer_of_its_insert_is_lost(
    clickhouse: AsyncClient,
    processor: AsyncClient,
) -> None:
    lost = OperationalError("the connection was reset")
    agent = agent_of(processor, Failing(processor, [lost], after=True))
    await agent.take_over({0})
    await agent.process(records("a", "b"))
    await agent.process(records("c", "a", first=2))
    assert (await counts(clickhouse))["_events", ""] == 3


async def test_rollup_is_mended_when_a_kill_lost_its_part(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    before = await counts(clickhouse)
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    await agent.take_over({0, 1})
    assert await counts(clickhouse) == before


class LateFirst(Ownership):
    """Its first lease has passed when it is given, as when a statement waits before it begins."""

    asked = 0

    async def lease(self, offsets: Mapping[int, int]) -> datetime:
        self.asked += 1
        lease = await super().lease(offsets)
        return lease - timedelta(hours=1) if self.asked == 1 else lease


async def test_rollup_is_mended_when_the_mending_began_too_late_at_first(
    agent: Agent, clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    before = await counts(clickhouse)
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    group = Group()
    late = LateFirst(LEASE_S, group.confirm, lambda: group.is_wanted, time.monotonic, asyncio.sleep)
    await agent_of(processor, ownership=late).take_over({0})
    assert late.asked == 2
    assert await counts(clickhouse) == before


async def test_oldest_day_is_mended_when_its_record_had_lain_in_kafka_for_its_whole_retention(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    moment = datetime.now(UTC) - timedelta(days=7 + 31)
    late = event("a", occurred_at=moment.isoformat(), accepted_at=moment.isoformat())
    await agent.process([record(late, at_ms=NOW_MS - 7 * 86_400_000)])
    before = await counts(clickhouse)
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    await agent.take_over({0, 1})
    assert await counts(clickhouse) == before


async def test_old_days_are_asked_of_the_table(
    agent: Agent, clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    old = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    await agent.process([record(message("a"), event("b", occurred_at=old), at_ms=NOW_MS)])
    other = agent_of(processor)
    await other.take_over({0})
    await other.process([record(event("c", occurred_at=old), offset=1, at_ms=NOW_MS)])
    assert (await counts(clickhouse))["conversation", "total"] == 2


async def test_false_alarm_of_a_filter_takes_no_event_away(
    agent: Agent, clickhouse: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.id_filter.IdFilter.may_contain", _everything)
    await agent.process(records("a"))
    for partition in agent.partitions.values():
        for bucket in partition.ids.buckets.values():
            bucket.compact()
    await agent.process(records("b", "a", first=1))
    assert (await counts(clickhouse))["_events", ""] == 2


def _everything(_filter: IdFilter, keys: Hashes, _checks: Hashes) -> Mask:
    return np.ones(len(keys), dtype=np.bool_)


async def test_any_string_reaches_the_table_as_it_was_sent(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    odd = "nul\0 'quote' \\ {x:String} 💡 \r\n"
    await agent.process(
        [record(message("a", session_id=odd, conversation_id=odd, device_id=odd), at_ms=NOW_MS)]
    )
    result = await clickhouse.query("SELECT session_id, conversation_id, device_id FROM events")
    assert result.result_rows == [(odd, odd, odd)]


async def test_bad_lines_are_dead_lettered_beside_good_ones(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    letters = KeptLetters()
    agent = agent_of(processor, letters=letters)
    await agent.take_over({0})
    await agent.process([record(b"{", message("a"), b"null", at_ms=NOW_MS)])
    assert [letter.value for letter in letters.letters] == [b"{", b"null"]
    assert (await counts(clickhouse))["_events", ""] == 1


class Frozen(Writer):
    """Stops before it sends, as a process does that is stopped: another owner comes meanwhile."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        self.reached.set()
        await self.go_on.wait()
        await super().insert(rows, partitions)


async def test_frozen_owner_writes_nothing_when_it_wakes_up_after_the_next_has_counted(
    clickhouse: AsyncClient,
    processor: AsyncClient,
) -> None:
    group = Group()
    frozen = Frozen(processor)
    old = agent_of(processor, frozen, ownership=ownership_of(group))
    await old.take_over({0})
    batch = asyncio.create_task(old.process(records("a", "b")))
    await frozen.reached.wait()

    new = agent_of(processor)
    await new.take_over({0})
    await new.process(records("a", "b"))
    frozen.go_on.set()
    await asyncio.sleep(0)
    group.is_wanted = False  # its insert was refused, and then it hears that it is out

    with pytest.raises(StoppedError):
        await batch
    assert (await counts(clickhouse))["_events", ""] == 2
    with pytest.raises(StoppedError):
        await old.process(records("c", first=2))


async def test_next_owner_waits_for_an_insert_that_is_still_running(
    clickhouse: AsyncClient, processor: AsyncClient, processor_settings: ClickHouseSettings
) -> None:
    # What the killed owner had sent goes on in the server: the next one ends it, or sees it whole.
    await clickhouse.command("ALTER TABLE events ADD CONSTRAINT slow CHECK sleepEachRow(0.5) = 0")
    other = await connect(processor_settings)
    old = agent_of(other)
    await old.take_over({0})
    insert = asyncio.create_task(old.process(records("a", "b", "c", "d")))
    running = (
        "SELECT count() FROM system.processes WHERE startsWith(query, 'INSERT INTO events')"
        " AND current_database = currentDatabase()"
    )
    await until_answered(lambda: _is_one(clickhouse, running))
    insert.cancel()
    await asyncio.gather(insert, return_exceptions=True)

    new = agent_of(processor)
    await new.take_over({0})
    assert await clickhouse.command(running) == 0
    await clickhouse.command("ALTER TABLE events DROP CONSTRAINT slow")
    await new.process(records("a", "b", "c", "d"))
    assert (await counts(clickhouse))["_events", ""] == 4
    await other.close()


async def _is_one(client: AsyncClient, sql: str) -> bool:
    return await client.command(sql) == 1


async def test_names_of_sources_are_mended_when_a_kill_lost_their_part(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    moment = datetime.now(UTC).isoformat()
    cited = event("r", "rag.retrieval", hit=True, occurred_at=moment, accepted_at=moment,
                  sources=[{"id": "s", "name": "Guide"}])  # fmt: skip
    await agent.process([record(cited, at_ms=NOW_MS)])
    await clickhouse.command("TRUNCATE TABLE source_names")
    await agent.take_over({0})
    result = await clickhouse.query("SELECT id, latest.name FROM source_names FINAL")
    assert result.result_rows == [("s", "Guide")]


async def test_repeat_within_24_hours_is_known_when_the_processor_was_away_for_a_day(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    # Counted 30 hours ago; its repeat, appended 10 hours later, is read only now.
    occurred_at = (datetime.now(UTC) - timedelta(hours=31)).isoformat()
    first, repeat, other = (
        record(event(name, occurred_at=occurred_at), offset=at, at_ms=NOW_MS - hours * 3_600_000)
        for at, (name, hours) in enumerate((("a", 30), ("a", 20), ("b", 20)))
    )
    await agent.process([first])
    await agent.take_over({0})
    await agent.process([repeat, other])
    assert (await counts(clickhouse))["_events", ""] == 2


async def test_inserts_of_another_installation_go_on_when_ours_are_ended_at_a_take_over(
    real_servers: Servers, clickhouse: AsyncClient
) -> None:
    async with tables(new_database(real_servers)) as other:
        running = [asyncio.create_task(_slow_insert(client)) for client in (clickhouse, other)]
        await until_answered(lambda: _are_running(clickhouse, 2))

        await agent_of(clickhouse).take_over({0})

        with pytest.raises(DatabaseError) as ended:
            await running[0]
        assert ended.value.code == 394
        assert not running[1].done()
        running[1].cancel()
        await asyncio.gather(running[1], return_exceptions=True)


async def _slow_insert(client: AsyncClient) -> None:
    """It is tagged as one into partition 0, and takes a minute."""
    await client.command("CREATE TABLE slow (a UInt8) ENGINE = Null")
    settings = tag([0]) | {"max_block_size": "1"}
    await client.command(
        "INSERT INTO slow SELECT sleepEachRow(1) FROM numbers(60)", settings=settings
    )


async def _are_running(client: AsyncClient, count: int) -> bool:
    found = await client.query(
        "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%slow%'"
    )
    return bool(found.result_rows[0][0] >= count)
