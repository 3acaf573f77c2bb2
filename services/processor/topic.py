"""Whether the topic is the one that the table speaks of, before anything is counted from it.

Offsets mean something within one topic only. One that was deleted and made anew under its old name
begins at 0 again, and what the table holds would make the processor skip its records; one that was
given more partitions sends conversations elsewhere, and they would count twice.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.first_row import first_row_of
from libs.kafka.connection import connection
from libs.kafka.counted_log import FirstRow, other_logs, overwritten
from libs.kafka.leader_epochs import latest_epochs
from libs.settings import KafkaSettings
from libs.telemetry.logs import get_logger
from services.processor.dedup_index import Partition
from services.processor.statements import statement

_NOTED_TOPIC = statement("noted_topic")
_FETCH_MS = 5_000
_ADVICE = 'see "A topic that is another" in docs/operating.md'

log = get_logger()


class End(NamedTuple):
    """The offset behind a partition's last record, and its leader's epoch; None: nobody tells."""

    offset: int
    epoch: int | None


class EventsTopic:
    """Compares the topic in Kafka with what ClickHouse says of it."""

    def __init__(self, settings: KafkaSettings, client: AsyncClient) -> None:
        self.name = settings.events_topic
        # The name that its rows have: another than Kafka's where it was made anew (`events#2`).
        self.counted_as = settings.events_topic
        self._settings = settings
        self._client = client

    async def read_noted(self) -> None:
        """Read by which name its rows go, before anything is taken over. Raises `Error`."""
        self.counted_as, _ = await self._noted()

    async def _noted(self) -> tuple[str, int | None]:
        """The name that its rows have, and with how many partitions it was made."""
        result = await self._client.query(_NOTED_TOPIC, parameters={"topic": self.name})
        name, partitions = (result.result_rows or [(self.name, None)])[0]
        return name, partitions

    async def mismatches(self, owned: Mapping[int, Partition]) -> dict[int, str]:
        """Of these partitions those from which nothing must be counted, each with what differs.

        Raises KafkaError and the driver's `Error`.
        """
        name, noted = await self._noted()
        if name != self.counted_as:
            what = f"topic {self.name} was made anew while this process ran: start it again"
            return dict.fromkeys(owned, what)
        async with self._consumer() as consumer:
            found = _number_of_partitions(consumer, self.name)
            if noted is not None and found != noted:
                what = f"topic {self.name} was made with {noted} partitions and has {found}"
                return dict.fromkeys(owned, what)
            counted = {
                number: partition.last_record
                for number, partition in owned.items()
                if partition.last_record is not None
            }
            return await other_logs(consumer, self.name, counted, self._first_row())

    async def overwritten(self, done: Mapping[int, int]) -> dict[int, str]:
        """Of these partitions those that had lost counted records, and hold others in their place.

        `done`: the next offset of each. Raises KafkaError and the driver's `Error`.
        """
        counted = {number: offset - 1 for number, offset in done.items() if offset}
        async with self._consumer() as consumer:
            return await overwritten(consumer, self.name, counted, self._first_row())

    def _first_row(self) -> FirstRow:
        return first_row_of(self._client, self.counted_as)

    async def number_of_partitions(self) -> int:
        """How many partitions the topic has now. Raises KafkaError."""
        async with self._consumer() as consumer:
            return _number_of_partitions(consumer, self.name)

    async def ends(self, numbers: Collection[int]) -> dict[int, End]:
        """Where some partitions end. Raises KafkaError."""
        consumer = AIOKafkaConsumer(**connection(self._settings))
        try:
            await consumer.start()
            partitions = [TopicPartition(self.name, one) for one in numbers]
            ends = await consumer.end_offsets(partitions)
            epochs = await latest_epochs(consumer, self.name, numbers)
            return {one.partition: End(end, epochs.get(one.partition)) for one, end in ends.items()}
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
            self.name,
            **connection(self._settings),
            enable_auto_commit=False,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


def tell_mismatches(found: Mapping[int, str]) -> None:
    """Say what differs, and of which partitions: somebody has to decide."""
    for reason in sorted(set(found.values())):
        numbers = sorted(number for number, what in found.items() if what == reason)
        log.error("topic.mismatch", reason=reason, partitions=numbers, advice=_ADVICE)


def _number_of_partitions(consumer: AIOKafkaConsumer, name: str) -> int:
    partitions: set[int] | None = consumer.partitions_for_topic(name)
    if not partitions:  # a broker that has just started
        raise UnknownTopicOrPartitionError(name)
    return len(partitions)
