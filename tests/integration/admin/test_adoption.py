"""What an older topic has left is carried over, and counts once, whatever was counted of it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.codec import encode_event, join_lines
from libs.events.models import AnyEvent
from libs.events.partitions import partition_of
from libs.events.window import FIRST_APPENDED
from libs.settings import KafkaSettings
from services.admin.adoption import Adoption, adopt
from services.admin.audit import audit
from services.admin.doctor.older_topics import Rest, rests
from services.admin.noted_topics import note_partitions
from services.admin.topics import admin_client, reading, records
from services.processor.batch import DeadLetter, Record
from tests.integration.ingest.topics import new_topic
from tests.integration.processor.agents import KeptLetters, agent_of, message
from tests.servers import Servers

pytestmark = pytest.mark.integration

OLD, NEW = 2, 3  # partitions
HERE, THERE = partition_of("p:c", OLD), partition_of("p:c", NEW)
# Half an hour before midnight, three days ago: a repeat an hour later is of another day.
LONG_AGO = (datetime.now(UTC) - timedelta(days=3)).replace(hour=23, minute=30)
NEXT_DAY = LONG_AGO + timedelta(hours=1)


@dataclass
class Topics:
    """An older topic, whose stamps tests choose, and the one of the settings."""

    client: AsyncClient
    old: str
    kafka: KafkaSettings

    async def count_old(self, *counted: Record) -> None:
        """Count records as the processor of the older topic does."""
        agent = agent_of(self.client, topic=self.old, number_of_partitions=OLD)
        await agent.take_over(set(range(OLD)))
        await agent.process(list(counted))

    async def adopt(self, *, apply: bool = True) -> Adoption:
        return await adopt(self.client, self.kafka, self.old, apply=apply)

    async def carried(self) -> list[Record]:
        """The records of the topic of the settings."""
        topic = self.kafka.events_topic
        found = []
        async with reading(self.kafka, topic) as consumer:
            for number in range(NEW):
                partition = TopicPartition(topic, number)
                end = (await consumer.end_offsets([partition]))[partition]
                async for one in records(consumer, partition, range(end)):
                    first = dict(one.headers)[FIRST_APPENDED]
                    found.append(Record(number, one.offset, one.timestamp, one.value, None, first))
        return found

    async def count_new(self) -> list[DeadLetter]:
        """Count what was carried over; returns what was no event."""
        letters = KeptLetters()
        agent = agent_of(
            self.client,
            topic=self.kafka.events_topic,
            number_of_partitions=NEW,
            letters=letters,
        )
        await agent.take_over(set(range(NEW)))
        await agent.process(await self.carried())
        return letters.letters

    async def counted(self) -> list[str]:
        rows = (await self.client.query("SELECT id FROM events ORDER BY id")).result_rows
        return [name for (name,) in rows]

    async def rests(self) -> list[Rest]:
        """What the doctor says that older topics have left."""
        await note_partitions(self.client, self.old, OLD)
        await note_partitions(self.client, f"{self.kafka.events_topic}#2", NEW)
        await note_partitions(self.client, "deleted-long-ago", NEW)
        async with admin_client(self.kafka) as admin:
            return await rests(self.client, admin, self.kafka)

    async def differences(self) -> Sequence[object]:
        since = LONG_AGO.date() - timedelta(days=40)
        return (await audit(self.client, self.kafka, since, every_record=True)).differences


@pytest.fixture
async def topics(
    real_servers: Servers, clickhouse: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Topics]:
    monkeypatch.setattr("services.admin.audit._PAUSE_S", 0.0)  # nobody inserts meanwhile
    async with new_topic(real_servers.kafka, NEW) as name:
        kafka = KafkaSettings(bootstrap_servers=real_servers.kafka, events_topic=name)
        old = f"{name}-old"
        async with admin_client(kafka) as admin:
            await admin.create_topics([NewTopic(old, OLD, 1)])  # stamped by the producer
            yield Topics(clickhouse, old, kafka)
            await admin.delete_topics([old])


def at(moment: datetime, event_id: str, occurred_at: datetime | None = None) -> AnyEvent:
    """A message that ingest took then."""
    occurred = (occurred_at or moment).isoformat()
    return message(event_id, occurred_at=occurred, accepted_at=moment.isoformat())


async def write(topics: Topics, moment: datetime, *lines: AnyEvent | bytes) -> Record:
    """A record of the older topic that Kafka took at a moment."""
    value = join_lines(one if isinstance(one, bytes) else encode_event(one) for one in lines)
    producer = AIOKafkaProducer(bootstrap_servers=topics.kafka.bootstrap_servers)
    await producer.start()
    stamp = round(moment.timestamp() * 1000)
    written = await producer.send_and_wait(topics.old, value, partition=HERE, timestamp_ms=stamp)
    await producer.stop()
    return Record(HERE, written.offset, written.timestamp, value)


async def test_each_event_counts_once_when_the_end_of_the_older_topic_was_not_counted(
    topics: Topics,
) -> None:
    first = await write(topics, LONG_AGO, at(LONG_AGO, "a"), at(LONG_AGO, "b"))
    repeat = await write(topics, NEXT_DAY, at(NEXT_DAY, "a"))  # left no row
    await topics.count_old(first, repeat)
    # It was taken 31 days after it had occurred; now that is more than 32 days ago.
    oldest = at(NEXT_DAY, "oldest", NEXT_DAY - timedelta(days=31))
    await write(topics, NEXT_DAY, at(NEXT_DAY, "c"), b"{", oldest)

    assert await topics.adopt(apply=False) == Adoption(2, 2, 1, 1)
    assert await topics.carried() == []
    assert await topics.adopt() == Adoption(2, 2, 1, 1)
    assert await topics.adopt() == Adoption(2, 2, 1, 1), "as if it had been killed at its end"
    assert {one.first_appended_ms for one in await topics.carried()} == {
        round(NEXT_DAY.timestamp() * 1000)
    }

    letters = await topics.count_new()

    assert await topics.counted() == ["a", "b", "c", "oldest"]
    assert {letter.value for letter in letters} == {b"{"}
    assert not await topics.differences()
    assert await topics.adopt() == Adoption(2, 0, 3, 1)


async def test_each_event_counts_once_when_the_older_topic_was_made_anew(topics: Topics) -> None:
    stamp = round(LONG_AGO.timestamp() * 1000)
    both = join_lines(encode_event(at(LONG_AGO, name)) for name in "ab")
    values = both, encode_event(at(LONG_AGO, "b")), encode_event(at(LONG_AGO, "c"))
    counted = [Record(HERE, offset, stamp, value) for offset, value in enumerate(values)]
    await topics.count_old(*counted)
    now = datetime.now(UTC)
    await write(topics, now, at(now, "d"))
    await write(topics, now, at(LONG_AGO, "a"), at(now, "e"))

    assert await topics.adopt() == Adoption(2, 2, 1)
    await topics.count_new()

    assert await topics.counted() == ["a", "b", "c", "d", "e"]
    assert not await topics.differences()


async def test_each_event_counts_once_when_the_older_topic_was_cut_and_written_on(
    topics: Topics,
) -> None:
    kept = await write(topics, LONG_AGO, at(LONG_AGO, "kept"))
    lost, last = (
        Record(HERE, offset, kept.appended_at_ms, encode_event(at(LONG_AGO, name)))
        for offset, name in ((1, "lost"), (2, "last"))
    )
    await topics.count_old(kept, lost, last)
    for name in ("f", "g", "h"):
        await write(topics, NEXT_DAY, at(NEXT_DAY, name))

    assert await topics.adopt() == Adoption(3, 3)
    await topics.count_new()

    assert await topics.counted() == ["f", "g", "h", "kept", "last", "lost"]
    assert not await topics.differences()


async def test_conversation_lies_in_its_partition_of_the_new_topic(topics: Topics) -> None:
    await write(topics, NEXT_DAY, at(NEXT_DAY, "a"), b"{")
    await topics.adopt()
    assert {(one.partition, one.value) for one in await topics.carried()} == {
        (THERE, encode_event(at(NEXT_DAY, "a"))),
        (HERE, b"{"),
    }


async def test_doctor_tells_of_an_older_topic_until_all_of_it_is_counted(topics: Topics) -> None:
    assert await topics.rests() == [Rest(topics.old)]
    first = await write(topics, LONG_AGO, at(LONG_AGO, "a"), at(LONG_AGO, "b"))
    await topics.count_old(first)
    await write(topics, NEXT_DAY, at(NEXT_DAY, "a"), b"{")  # leaves no row, and is none
    assert await topics.rests() == [Rest(topics.old)]
    await write(topics, NEXT_DAY, at(NEXT_DAY, "c"), at(NEXT_DAY, "d"))
    assert await topics.rests() == [Rest(topics.old, uncounted=2)]

    await topics.adopt()
    assert await topics.rests() == [Rest(topics.old, uncounted=2)], "it is carried, not counted"
    await topics.count_new()
    assert await topics.rests() == [Rest(topics.old)]


async def test_doctor_tells_of_an_older_topic_that_nothing_was_counted_from(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        await write(topics, NEXT_DAY, at(NEXT_DAY, name))
    assert await topics.rests() == [Rest(topics.old, uncounted=3)]
    monkeypatch.setattr("services.admin.doctor.older_topics._MOST_EVENTS", 1)
    assert await topics.rests() == [Rest(topics.old, uncounted=1, unread=2)]


async def test_doctor_tells_of_an_older_topic_that_is_not_what_was_counted_from(
    topics: Topics,
) -> None:
    stamp = round(LONG_AGO.timestamp() * 1000)
    await topics.count_old(Record(HERE, 0, stamp, encode_event(at(LONG_AGO, "a"))))
    assert await topics.rests() == [Rest(topics.old)], "it holds nothing that could be carried"
    now = datetime.now(UTC)
    await write(topics, now, at(LONG_AGO, "a"))  # its producer sends it again
    assert await topics.rests() == [Rest(topics.old)]
    await write(topics, now, at(now, "b"))
    assert await topics.rests() == [Rest(topics.old, uncounted=1)]

    await topics.adopt()
    await topics.count_new()
    assert await topics.rests() == [Rest(topics.old)]
