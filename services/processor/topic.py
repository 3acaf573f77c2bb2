"""Whether the topic is the one that the table speaks of, before anything is counted from it.

Offsets mean something within one topic only. One that was deleted and made anew under its old name
begins at 0 again, and what the table holds would make the processor skip its records; one that was
given more partitions sends conversations elsewhere, and they would count twice.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.kafka.connection import connection
from libs.settings import KafkaSettings
from services.processor.dedup_index import Partition
from services.processor.statements import statement

_TOPIC_PARTITIONS = statement("topic_partitions")
_FETCH_MS = 5_000


class EventsTopic:
    """Compares the topic in Kafka with what ClickHouse says of it."""

    def __init__(self, settings: KafkaSettings, client: AsyncClient) -> None:
        self.name = settings.events_topic
        self._settings = settings
        self._client = client

    async def mismatch(self, owned: Mapping[int, Partition]) -> str:
        """What differs, in words; empty where nothing does.

        Raises KafkaError and the driver's `Error`.
        """
        name = self._settings.events_topic
        result = await self._client.query(_TOPIC_PARTITIONS, parameters={"topic": name})
        noted = result.result_rows[0][0] if result.result_rows else None
        async with self._consumer() as consumer:
            found = _number_of_partitions(consumer, name)
            if noted is not None and found != noted:
                return f"topic {name} was made with {noted} partitions and has {found}"
            return await _other_records(consumer, name, owned)

    async def number_of_partitions(self) -> int:
        """How many partitions the topic has now. Raises KafkaError."""
        async with self._consumer() as consumer:
            return _number_of_partitions(consumer, self._settings.events_topic)

    async def ends(self, numbers: Iterable[int]) -> dict[int, int]:
        """The offsets behind the last records of some partitions. Raises KafkaError."""
        consumer = AIOKafkaConsumer(**connection(self._settings))
        try:
            await consumer.start()
            partitions = [TopicPartition(self._settings.events_topic, one) for one in numbers]
            ends = await consumer.end_offsets(partitions)
            return {partition.partition: end for partition, end in ends.items()}
        finally:
            await consumer.stop()

    async def first_record(self, number: int, offset: int) -> int:
        """The offset of a partition's first record at or behind this one. Raises KafkaError."""
        partition = TopicPartition(self.name, number)
        async with self._consumer() as consumer:
            start = (await consumer.beginning_offsets([partition]))[partition]
            end = (await consumer.end_offsets([partition]))[partition]
            if end <= max(start, offset):
                return int(end)
            consumer.seek(partition, max(start, offset))
            found = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=1)
            for record in found.get(partition, ()):
                return int(record.offset)
        raise KafkaTimeoutError

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            self._settings.events_topic,
            **connection(self._settings),
            enable_auto_commit=False,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


def _number_of_partitions(consumer: AIOKafkaConsumer, name: str) -> int:
    partitions: set[int] | None = consumer.partitions_for_topic(name)
    if not partitions:  # a broker that has just started
        raise UnknownTopicOrPartitionError(name)
    return len(partitions)


async def _other_records(
    consumer: AIOKafkaConsumer, name: str, owned: Mapping[int, Partition]
) -> str:
    counted_from = {
        number: partition.last_record
        for number, partition in owned.items()
        if partition.last_record is not None
    }
    partitions = {number: TopicPartition(name, number) for number in counted_from}
    if not partitions:
        return ""
    starts = await consumer.beginning_offsets(list(partitions.values()))
    ends = await consumer.end_offsets(list(partitions.values()))
    for number, partition in partitions.items():
        counted = counted_from[number]
        if ends[partition] <= counted.offset:
            return (
                f"{name}/{number} ends before offset {ends[partition]}, and offset"
                f" {counted.offset} was counted"
            )
        if starts[partition] <= counted.offset:
            consumer.seek(partition, counted.offset)
            found = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=1)
            for record in found.get(partition, ()):
                # The latest append time of a partition is of its last record, or, when the
                # broker's clock was set back, later than that. A topic made anew is younger.
                if record.offset == counted.offset and record.timestamp > counted.appended_at_ms:
                    return f"{name}/{number} holds another record at offset {counted.offset}"
    return ""
