"""What tests do with Kafka themselves: wait until all is read, write records, read dead letters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from services.admin.topics import change_configs

_INTERVAL_S = 0.05
_READ_WITHIN_S = 120.0
_JOINS_WITHIN_S = 60.0


@dataclass(frozen=True)
class DeadLetter:
    """A record of the dead-letter topic."""

    value: bytes
    headers: dict[str, str]

    @property
    def place(self) -> tuple[str, str]:
        """The partition and the offset of the record that it came from."""
        return self.headers["partition"], self.headers["offset"]


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

    def write(
        self,
        values: Sequence[bytes | None],
        partition: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
        stamp: datetime | None = None,
    ) -> list[int]:
        """Write records to a partition of the events, in order; returns the offset of each.

        Others write there too, so the offsets need not follow one another. `headers`: of each.
        `stamp`: when they were taken, on a topic that keeps it (`keep_stamps`).
        """
        return asyncio.run(self._write(values, partition, headers, stamp))

    async def _write(
        self,
        values: Sequence[bytes | None],
        partition: int,
        headers: Sequence[tuple[str, bytes]],
        stamp: datetime | None,
    ) -> list[int]:
        given: dict[str, Any] = {"partition": partition, "headers": list(headers)}
        if stamp is not None:
            given["timestamp_ms"] = round(stamp.timestamp() * 1000)
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers)
        await producer.start()
        try:
            # One after the other into the buffer; aiokafka wants a key where there is no value.
            sent = [await producer.send(self.events, value, key=b"-", **given) for value in values]
            written = await asyncio.gather(*sent)
        finally:
            await producer.stop()
        return [int(one.offset) for one in written]

    def keep_stamps(self) -> None:
        """From now on a record bears the time that its producer tells, not the broker's."""
        asyncio.run(self._keep_stamps())

    async def _keep_stamps(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        await change_configs(admin, self.events, {"message.timestamp.type": "CreateTime"})
        await admin.close()

    def read_dead_letters(self) -> list[DeadLetter]:
        """All dead letters that there are."""
        records = asyncio.run(self._read(self.dead_letters, 1))
        return [
            DeadLetter(record.value, {name: value.decode() for name, value in record.headers})
            for record in records
        ]

    def read_events(self) -> list[bytes]:
        """The values of all records of the events that there are."""
        records = asyncio.run(self._read(self.events, self.partitions))
        return [record.value or b"" for record in records]

    def read_all(self) -> list[bytes]:
        """Keys, headers and values of all records of both topics."""
        topics = ((self.events, self.partitions), (self.dead_letters, 1))
        records = [r for topic in topics for r in asyncio.run(self._read(*topic))]
        headers = [
            part for r in records for name, value in r.headers for part in (name.encode(), value)
        ]
        return [*headers, *(part or b"" for r in records for part in (r.key, r.value))]

    async def _read(self, topic: str, number: int) -> list[Any]:
        records: list[Any] = []
        async with self._consumer(topic, number) as (consumer, partitions):
            ends = await consumer.end_offsets(partitions)
            async with asyncio.timeout(_READ_WITHIN_S):
                for partition in partitions:
                    while await consumer.position(partition) < ends[partition]:
                        found = await consumer.getmany(partition, timeout_ms=100)
                        records += found.get(partition, [])
        return records

    def make(self) -> None:
        """Make the topic of events as another program would: `ragtime` is not asked."""
        asyncio.run(self._make())

    async def _make(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        configs = {"message.timestamp.type": "LogAppendTime"}
        topic = NewTopic(self.events, self.partitions, 1, topic_configs=configs)
        ((_, code, *_),) = (await admin.create_topics([topic])).topic_errors
        await admin.close()
        if code:
            raise for_code(code)(self.events)

    def join_and_go(self, instance_id: str, session_s: int) -> None:
        """Take the partitions as a member of the group with a name, and be gone without a word."""
        asyncio.run(self._join_and_go(instance_id, session_s))

    async def _join_and_go(self, instance_id: str, session_s: int) -> None:
        consumer = AIOKafkaConsumer(
            self.events,
            bootstrap_servers=self.bootstrap_servers,
            group_id=self.group,
            group_instance_id=instance_id,
            session_timeout_ms=session_s * 1000,
            enable_auto_commit=False,
        )
        await consumer.start()
        async with asyncio.timeout(_JOINS_WITHIN_S):
            while not consumer.assignment():  # noqa: ASYNC110
                await asyncio.sleep(_INTERVAL_S)
        await consumer.stop()

    def delete(self) -> None:
        """Delete both topics: the servers may be there longer than this stack."""
        asyncio.run(self._delete())

    async def _delete(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        await admin.delete_topics([self.events, self.dead_letters])
        await admin.close()

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
