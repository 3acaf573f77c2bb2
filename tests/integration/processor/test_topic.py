"""Whether the topic is the one that the table speaks of, on a real Kafka."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.errors import TopicAlreadyExistsError, for_code
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.kafka.last_record import LastRecord
from libs.settings import KafkaSettings
from services.admin.noted_topics import note_partitions, noted_topic
from services.processor.dedup_index import Partition
from services.processor.topic import End, EventsTopic
from tests.polling import until_answered
from tests.servers import Servers
from tests.unit.services.processor.events import partition

pytestmark = pytest.mark.integration

PARTITIONS = 2
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@dataclass
class Topic:
    """A topic that tests fill, cut, delete and make anew."""

    admin: AIOKafkaAdminClient
    producer: AIOKafkaProducer
    settings: KafkaSettings
    name: str

    async def write(self, records: int, number: int = 0) -> LastRecord:
        """Write records to a partition; returns the last one."""
        for _ in range(records):
            written = await self.producer.send_and_wait(self.name, b"x", partition=number)
        return LastRecord(written.offset, written.timestamp)

    async def make(self, partitions: int = PARTITIONS) -> None:
        """Make it, as soon as Kafka has forgotten one of the same name."""

        async def is_made() -> bool:
            topic = NewTopic(self.name, partitions, 1, topic_configs=APPEND_TIME)
            response = await self.admin.create_topics([topic])
            ((_, code, *_),) = response.topic_errors
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)
            return bool(code == 0)

        await until_answered(is_made)
        await until_answered(self._is_led)

    async def _is_led(self) -> bool:
        (found,) = await self.admin.describe_topics([self.name])
        return not found["error_code"] and all(
            one["leader"] >= 0 and not one["error_code"] for one in found["partitions"]
        )

    async def delete(self) -> None:
        await self.admin.delete_topics([self.name])

    async def cut(self, before: int, number: int = 0) -> None:
        """Delete the records before an offset, as retention does."""
        await self.admin.delete_records(
            {TopicPartition(self.name, number): RecordsToDelete(before)}
        )

    async def grow(self, partitions: int) -> None:
        await self.admin.create_partitions({self.name: NewPartitions(partitions)})

        async def is_grown() -> bool:
            (found,) = await self.admin.describe_topics([self.name])
            return len(found["partitions"]) == partitions

        await until_answered(is_grown)


@pytest.fixture
async def topic(real_servers: Servers) -> AsyncIterator[Topic]:
    admin = AIOKafkaAdminClient(bootstrap_servers=real_servers.kafka)
    producer = AIOKafkaProducer(bootstrap_servers=real_servers.kafka)
    name = f"test-topic-{secrets.token_hex(6)}"
    settings = KafkaSettings(bootstrap_servers=real_servers.kafka, events_topic=name)
    await admin.start()
    await producer.start()
    topic = Topic(admin, producer, settings, name)
    try:
        await topic.make()
        yield topic
        await topic.delete()
    finally:
        await producer.stop()
        await admin.close()


@pytest.fixture
async def events_topic(
    topic: Topic, clickhouse: AsyncClient, processor: AsyncClient
) -> EventsTopic:
    await note_partitions(clickhouse, topic.name, PARTITIONS)
    return EventsTopic(topic.settings, processor)


def owned(**last: LastRecord) -> dict[int, Partition]:
    """Two partitions, recovered from these records (`p0`, `p1`)."""
    found = {number: partition(number) for number in range(PARTITIONS)}
    for name, record in last.items():
        found[int(name[1:])].last_record = record
    return found


async def test_topic_is_the_same_when_its_last_counted_record_is_where_it_was(
    topic: Topic, events_topic: EventsTopic
) -> None:
    assert await events_topic.mismatches(owned()) == {}
    counted = await topic.write(3)
    assert await events_topic.mismatches(owned(p0=counted)) == {}
    other = await topic.write(5, number=1)
    await topic.write(5)
    assert await events_topic.mismatches(owned(p0=counted, p1=other)) == {}


async def test_topic_is_another_when_it_has_more_partitions_than_were_noted(
    topic: Topic, events_topic: EventsTopic
) -> None:
    counted = await topic.write(1)
    await topic.grow(PARTITIONS + 1)
    assert await events_topic.number_of_partitions() == PARTITIONS + 1
    found = await events_topic.mismatches(owned(p0=counted))
    what = f"topic {topic.name} was made with 2 partitions and has 3"
    assert found == {0: what, 1: what}


async def test_topic_is_another_when_it_was_made_anew_with_fewer_partitions(
    topic: Topic, events_topic: EventsTopic
) -> None:
    await topic.delete()
    await topic.make(partitions=1)
    found = await events_topic.mismatches(owned())
    what = f"topic {topic.name} was made with 2 partitions and has 1"
    assert found == {0: what, 1: what}


async def test_topic_is_another_when_it_was_made_anew_and_is_shorter(
    topic: Topic, events_topic: EventsTopic
) -> None:
    counted = await topic.write(5)
    await topic.delete()
    await topic.make()
    topic_is_empty = await events_topic.mismatches(owned(p0=counted))
    await topic.write(4)
    topic_is_shorter = await events_topic.mismatches(owned(p0=counted))
    place = f"{topic.name}/0"
    assert topic_is_empty == {0: f"{place} ends before offset 0, and offset 4 was counted"}
    assert topic_is_shorter == {0: f"{place} ends before offset 4, and offset 4 was counted"}


async def test_topic_is_another_when_it_was_made_anew_and_is_longer(
    topic: Topic, events_topic: EventsTopic
) -> None:
    counted = await topic.write(5, number=1)
    await topic.delete()
    await topic.make()
    await topic.write(20, number=1)
    found = await events_topic.mismatches(owned(p1=counted))
    assert found == {1: f"{topic.name}/1 holds another record at offset 4"}


async def test_topic_is_the_same_when_retention_took_what_was_counted(
    topic: Topic, events_topic: EventsTopic
) -> None:
    counted = await topic.write(5)
    await topic.write(5)
    await topic.cut(before=3)
    assert await events_topic.mismatches(owned(p0=counted)) == {}
    await topic.cut(before=5)
    assert await events_topic.mismatches(owned(p0=counted)) == {}
    await topic.cut(before=10)  # nothing is left, and its end is where it was
    assert await events_topic.mismatches(owned(p0=counted)) == {}


async def test_topic_is_taken_as_it_is_when_nobody_noted_its_partitions(
    topic: Topic, processor: AsyncClient
) -> None:
    counted = await topic.write(1)
    found = await EventsTopic(topic.settings, processor).mismatches(owned(p0=counted))
    assert found == {}


async def test_ends_are_the_offsets_behind_the_last_records(
    topic: Topic, events_topic: EventsTopic
) -> None:
    await topic.write(3)
    assert await events_topic.ends([0, 1]) == {0: End(3, 0), 1: End(0, 0)}
    assert await events_topic.ends([1]) == {1: End(0, 0)}


async def test_rows_have_the_latest_name_when_the_topic_was_made_anew(
    topic: Topic, events_topic: EventsTopic, clickhouse: AsyncClient
) -> None:
    await events_topic.read_noted()
    assert events_topic.counted_as == topic.name
    for number in (2, 10, 9):
        await note_partitions(clickhouse, f"{topic.name}#{number}", PARTITIONS)
    await note_partitions(clickhouse, f"{topic.name}-2#11", PARTITIONS)  # of another topic
    what = f"topic {topic.name} was made anew while this process ran: start it again"
    assert await events_topic.mismatches(owned()) == {0: what, 1: what}
    await events_topic.read_noted()
    assert events_topic.counted_as == f"{topic.name}#10"
    assert await events_topic.mismatches(owned()) == {}
    assert (await noted_topic(clickhouse, topic.name)).next_name == f"{topic.name}#11"
