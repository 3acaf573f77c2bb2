"""Events move to a topic with another number of partitions: what came before is still known."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.models import AnyEvent
from libs.events.partitions import partition_key, partition_of
from services.processor.agent import Agent
from services.processor.batch import Record
from tests.integration.processor.agents import agent_of, counts, message
from tests.unit.services.processor.events import event, record

pytestmark = pytest.mark.integration

OLD, OLD_PARTITIONS = "events", 2
NEW, NEW_PARTITIONS = "events-2", 5
CONVERSATIONS = [f"c-{number}" for number in range(12)]
NOW_MS = round(datetime.now(UTC).timestamp() * 1000)


def written(events: Iterable[AnyEvent], partitions: int) -> list[Record]:
    """A record an event, each where its key sends it in a topic with so many partitions."""
    offsets: Counter[int] = Counter()
    records = []
    for one in events:
        number = partition_of(partition_key(one), partitions)
        records.append(record(one, partition=number, offset=offsets[number], at_ms=NOW_MS))
        offsets[number] += 1
    return records


async def owner_of(client: AsyncClient, topic: str, partitions: int) -> Agent:
    agent = agent_of(client, topic=topic, number_of_partitions=partitions)
    await agent.take_over(set(range(partitions)))
    return agent


def messages(prefix: str, moment: datetime) -> list[AnyEvent]:
    return [
        message(f"{prefix}-{name}", conversation_id=name, occurred_at=moment.isoformat())
        for name in CONVERSATIONS
    ]


def sessions() -> list[AnyEvent]:
    moment = datetime.now(UTC).isoformat()
    return [
        event(f"s-{name}", "session.started", session_id=name, occurred_at=moment)
        for name in CONVERSATIONS
    ]


async def test_move_counts_repeats_once_when_the_new_topic_has_more_partitions(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    sent = messages("m", datetime.now(UTC)) + sessions()
    old = await owner_of(processor, OLD, OLD_PARTITIONS)
    await old.process(written(sent, OLD_PARTITIONS))
    before = await counts(clickhouse)

    new = await owner_of(processor, NEW, NEW_PARTITIONS)
    assert {own.next_offset for own in new.partitions.values()} == {0}
    await new.process(written(sent, NEW_PARTITIONS))

    assert before["_events", ""] == len(sent)
    assert await counts(clickhouse) == before


async def test_move_continues_conversations_when_the_new_topic_has_fewer_partitions(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    moment = datetime.now(UTC)
    old = await owner_of(processor, NEW, NEW_PARTITIONS)
    await old.process(written(messages("m", moment), NEW_PARTITIONS))

    new = await owner_of(processor, OLD, OLD_PARTITIONS)
    await new.process(written(messages("n", moment), OLD_PARTITIONS))

    found = await counts(clickhouse)
    assert found["_events", ""] == 2 * len(CONVERSATIONS)
    assert found["conversation", "total"] == len(CONVERSATIONS)


async def test_move_continues_conversations_when_their_day_is_long_past(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    moment = datetime.now(UTC) - timedelta(days=9)
    old = await owner_of(processor, OLD, OLD_PARTITIONS)
    await old.process(written(messages("m", moment), OLD_PARTITIONS))

    new = await owner_of(processor, NEW, NEW_PARTITIONS)
    await new.process(written(messages("n", moment), NEW_PARTITIONS))

    found = await counts(clickhouse)
    assert found["_events", ""] == 2 * len(CONVERSATIONS)
    assert found["conversation", "total"] == len(CONVERSATIONS)


async def test_move_is_known_to_the_next_owner_when_the_new_topic_has_rows_too(
    clickhouse: AsyncClient, processor: AsyncClient
) -> None:
    moment = datetime.now(UTC)
    first, second = messages("m", moment), messages("n", moment)
    old = await owner_of(processor, OLD, OLD_PARTITIONS)
    await old.process(written(first, OLD_PARTITIONS))
    new = await owner_of(processor, NEW, NEW_PARTITIONS)
    await new.process(written(second, NEW_PARTITIONS))

    last = await owner_of(processor, NEW, NEW_PARTITIONS)
    repeats = written(second + first + second, NEW_PARTITIONS)[len(second) :]
    await last.process(repeats)

    found = await counts(clickhouse)
    assert found["_events", ""] == 2 * len(CONVERSATIONS)
    assert found["conversation", "total"] == len(CONVERSATIONS)
