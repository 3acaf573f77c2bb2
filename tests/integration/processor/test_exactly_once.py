"""The processor's agent on the real engine: insert, recover, insert again. No Kafka is needed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import OperationalError

from libs.events.models import AnyEvent
from services.processor.agent import Agent
from services.processor.dead_letters import DeadLetters
from services.processor.pipeline import DeadLetter, Record
from services.processor.recovery import Recovery
from services.processor.writer import Writer
from tests.unit.services.processor.events import event, record

pytestmark = pytest.mark.integration

NOW_MS = round(datetime.now(UTC).timestamp() * 1000)


class KeptLetters(DeadLetters):
    """Keeps dead letters in a list instead of a topic."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def send(self, letters: list[DeadLetter]) -> None:
        self.letters += letters


class LostAnswers(Writer):
    """Inserts, then says that it does not know: a reset connection after the write."""

    lost = 0

    async def insert(self, rows: bytes) -> None:
        await super().insert(rows)
        self.lost += 1
        if self.lost == 1:
            raise OperationalError("the connection was reset")


def agent_of(client: AsyncClient, writer: Writer | None = None) -> Agent:
    def now() -> datetime:
        return datetime.now(UTC)

    return Agent(
        writer or Writer(client),
        Recovery(client, now),
        KeptLetters(),
        timedelta(seconds=1.5),
        now,
    )


@pytest.fixture
async def agent(clickhouse: AsyncClient) -> Agent:
    agent = agent_of(clickhouse)
    await agent.take_over({0, 1}, lambda: True)
    return agent


def message(event_id: str, **fields: Any) -> AnyEvent:
    moment = datetime.now(UTC).isoformat()
    return event(event_id, occurred_at=moment, accepted_at=moment, **fields)


def records(*ids: str, partition: int = 0, first: int = 0) -> list[Record]:
    return [
        record(message(name), partition=partition, offset=first + at, at_ms=NOW_MS)
        for at, name in enumerate(ids)
    ]


async def counts(client: AsyncClient) -> dict[tuple[str, str], int]:
    result = await client.query(
        "SELECT category, key, sum(value) FROM daily_counts GROUP BY category, key"
    )
    return {(category, key): value for category, key, value in result.result_rows}


async def test_batch_is_counted_in_one_part(agent: Agent, clickhouse: AsyncClient) -> None:
    await agent.process(records("a", "b") + records("c", partition=1), lambda: True)
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
    await agent.process(records("a", "b"), lambda: True)
    await agent.process(records("b", "c", first=2), lambda: True)
    assert (await counts(clickhouse))["_events", ""] == 3


async def test_repeats_are_not_counted_again_by_the_next_owner(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    await agent.process(records("a", "b"), lambda: True)
    other = agent_of(clickhouse)
    await other.take_over({0}, lambda: True)
    assert other.partitions[0].next_offset == 2
    # What was read again after a kill, a repeat under a new offset, and something new.
    await other.process(records("a", "b", "b", "c"), lambda: True)
    found = await counts(clickhouse)
    assert found["_events", ""] == 3
    assert found["conversation", "total"] == 1


async def test_batch_is_counted_once_when_the_answer_of_its_insert_is_lost(
    clickhouse: AsyncClient,
) -> None:
    agent = agent_of(clickhouse, LostAnswers(clickhouse))
    await agent.take_over({0}, lambda: True)
    await agent.process(records("a", "b"), lambda: True)
    await agent.process(records("c", "a", first=2), lambda: True)
    assert (await counts(clickhouse))["_events", ""] == 3


async def test_rollup_is_mended_when_a_kill_lost_its_part(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    await agent.process(records("a", "b"), lambda: True)
    before = await counts(clickhouse)
    await clickhouse.command("TRUNCATE TABLE daily_counts")
    await agent.take_over({0, 1}, lambda: True)
    assert await counts(clickhouse) == before


async def test_old_days_are_asked_of_the_table(agent: Agent, clickhouse: AsyncClient) -> None:
    old = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    await agent.process(
        [record(message("a"), event("b", occurred_at=old), at_ms=NOW_MS)], lambda: True
    )
    other = agent_of(clickhouse)
    await other.take_over({0}, lambda: True)
    await other.process([record(event("c", occurred_at=old), offset=1, at_ms=NOW_MS)], lambda: True)
    assert (await counts(clickhouse))["conversation", "total"] == 2


async def test_colliding_hashes_of_different_ids_count_as_two(
    agent: Agent, clickhouse: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.pipeline.id_hash", lambda _project, _id: 7)
    await agent.process(records("a"), lambda: True)
    await agent.process(records("b", "a", first=1), lambda: True)
    assert (await counts(clickhouse))["_events", ""] == 2


async def test_any_string_reaches_the_table_as_it_was_sent(
    agent: Agent, clickhouse: AsyncClient
) -> None:
    odd = "nul\0 'quote' \\ {x:String} 💡 \r\n"
    await agent.process(
        [record(message("a", session_id=odd, conversation_id=odd, device_id=odd), at_ms=NOW_MS)],
        lambda: True,
    )
    result = await clickhouse.query("SELECT session_id, conversation_id, device_id FROM events")
    assert result.result_rows == [(odd, odd, odd)]


async def test_bad_lines_are_dead_lettered_beside_good_ones(clickhouse: AsyncClient) -> None:
    letters = KeptLetters()
    agent = Agent(
        Writer(clickhouse),
        Recovery(clickhouse, lambda: datetime.now(UTC)),
        letters,
        timedelta(seconds=5),
        lambda: datetime.now(UTC),
    )
    await agent.take_over({0}, lambda: True)
    await agent.process([record(b"{", message("a"), b"null", at_ms=NOW_MS)], lambda: True)
    assert [letter.value for letter in letters.letters] == [b"{", b"null"]
    assert (await counts(clickhouse))["_events", ""] == 1
