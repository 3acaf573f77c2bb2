"""What tests do with Kafka themselves: wait until all is read, write records, read dead letters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

_INTERVAL_S = 0.05


@dataclass(frozen=True)
class DeadLetter:
    """A record of the dead-letter topic."""

    value: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Topics:
    """The topics of one stack, and the group that reads the events."""

    bootstrap_servers: str
    events: str
    partitions: int
    dead_letters: str
    group: str

    def wait_until_read(self, timeout_s: float) -> None:
        """Return when the group has committed all that the topic holds now."""
        asyncio.run(self._wait_until_read(timeout_s))

    async def _wait_until_read(self, timeout_s: float) -> None:
        async with self._consumer(self.events, self.partitions, self.group) as (
            consumer,
            partitions,
        ):
            ends = await consumer.end_offsets(partitions)
            async with asyncio.timeout(timeout_s):
                for partition in partitions:
                    while (await consumer.committed(partition) or 0) < ends[partition]:  # noqa: ASYNC110
                        await asyncio.sleep(_INTERVAL_S)

    def write(self, values: Sequence[bytes | None], partition: int = 0) -> int:
        """Write records to a partition of the events, in order; returns the first one's offset."""
        return asyncio.run(self._write(values, partition))

    async def _write(self, values: Sequence[bytes | None], partition: int) -> int:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers)
        await producer.start()
        try:
            offsets = []
            for value in values:
                # aiokafka wants a key where there is no value.
                written = await producer.send_and_wait(
                    self.events, value, key=b"-", partition=partition
                )
                offsets.append(int(written.offset))
        finally:
            await producer.stop()
        return offsets[0]

    def read_dead_letters(self) -> list[DeadLetter]:
        """All dead letters that there are."""
        return asyncio.run(self._read_dead_letters())

    async def _read_dead_letters(self) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        async with self._consumer(self.dead_letters, 1) as (consumer, partitions):
            ends = await consumer.end_offsets(partitions)
            async with asyncio.timeout(20):
                for partition in partitions:
                    while await consumer.position(partition) < ends[partition]:
                        letters.append(_dead_letter(await consumer.getone()))
        return letters

    @asynccontextmanager
    async def _consumer(
        self, topic: str, number: int, group: str | None = None
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, at) for at in range(number)]
            consumer.assign(partitions)
            yield consumer, partitions
        finally:
            await consumer.stop()


def _dead_letter(record: Any) -> DeadLetter:
    return DeadLetter(record.value, {name: value.decode() for name, value in record.headers})
