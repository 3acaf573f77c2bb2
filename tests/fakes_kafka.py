"""Kafka in memory: as ingest sees it, with the signatures of aiokafka's producer, and the agent."""

import asyncio
from collections import defaultdict

from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, UnknownTopicOrPartitionError


class FakeKafka:
    """One topic. Tests switch it away, let it hold its acknowledgements, or refuse records."""

    def __init__(self, topic: str = "events", partitions: int = 3) -> None:
        self.topic = topic
        self.partitions = partitions
        self.records: dict[int, list[bytes]] = defaultdict(list)
        self.is_away = False
        self.is_refusing = False
        self.is_holding = False
        self.producers: list[FakeProducer] = []
        self.held: list[tuple[int, bytes, asyncio.Future[object]]] = []
        # Of all records that were sent, in that order.
        self.headers: list[tuple[str, bytes]] = []

    def make_producer(self) -> "FakeProducer":
        """What the publisher is given to make its producers with."""
        self.producers.append(FakeProducer(self))
        return self.producers[-1]

    @property
    def lines(self) -> list[bytes]:
        """All lines of the topic, partition by partition."""
        values = [value for number in sorted(self.records) for value in self.records[number]]
        return [line for value in values for line in value.split(b"\n")]

    def take(self, partition: int, value: bytes) -> asyncio.Future[object]:
        """A record arrives; the future is its acknowledgement."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.is_holding:
            self.held.append((partition, value, future))
        else:
            self._settle(partition, value, future)
        return future

    def release(self) -> None:
        """Acknowledge (or refuse) what was held."""
        self.is_holding = False
        held, self.held = self.held, []
        for partition, value, future in held:
            self._settle(partition, value, future)

    def _settle(self, partition: int, value: bytes, future: asyncio.Future[object]) -> None:
        if self.is_refusing:
            future.set_exception(KafkaTimeoutError())
        else:
            self.records[partition].append(value)
            future.set_result(None)


class FakeProducer:
    """A producer of `FakeKafka`."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.is_started = False
        self.is_stopped = False

    @property
    def client(self) -> "FakeProducer":
        return self

    async def force_metadata_update(self) -> bool:
        return not self._kafka.is_away

    async def start(self) -> None:
        if self._kafka.is_away:
            raise KafkaConnectionError("no broker")
        self.is_started = True

    async def stop(self) -> None:
        self.is_stopped = True

    async def partitions_for(self, topic: str) -> set[int]:
        if topic != self._kafka.topic:
            raise UnknownTopicOrPartitionError
        return set(range(self._kafka.partitions))

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        partition: int,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[object]:
        assert self.is_started
        assert not self.is_stopped
        assert topic == self._kafka.topic
        assert 0 <= partition < self._kafka.partitions
        self._kafka.headers += headers or []
        return self._kafka.take(partition, value)


class FakeTopic:
    """The topic as the processor's agent sees it: whole from an offset on."""

    def __init__(self, start: int = 0, name: str = "events") -> None:
        self.counted_as = name
        self._start = start

    async def first_record(self, _number: int, offset: int) -> int:
        return max(self._start, offset)
