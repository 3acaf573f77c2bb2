"""aiokafka's producer and the fake one behave alike, as far as ingest's publisher uses them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest
from aiokafka.errors import KafkaError

from libs.settings import KafkaSettings
from services.ingest.publisher import Producer, kafka_producer
from services.ingest.settings import PublishSettings
from tests.fakes_kafka import FakeKafka
from tests.integration.ingest.topics import new_topic, read_topic
from tests.servers import Servers

_PARTITIONS = 3
_NOBODY = "127.0.0.1:1"


class Broker(Protocol):
    """A Kafka with one topic, real or not."""

    topic: str

    def producer(self) -> Producer: ...

    def producer_of_nobody(self) -> Producer: ...

    async def records(self) -> dict[int, list[bytes]]: ...


@dataclass
class RealBroker:
    address: str
    topic: str

    def producer(self) -> Producer:
        return kafka_producer(KafkaSettings(bootstrap_servers=self.address), PublishSettings())

    def producer_of_nobody(self) -> Producer:
        return kafka_producer(KafkaSettings(bootstrap_servers=_NOBODY), PublishSettings())

    async def records(self) -> dict[int, list[bytes]]:
        return await read_topic(self.address, self.topic)


class FakeBroker:
    def __init__(self) -> None:
        self._kafka = FakeKafka(partitions=_PARTITIONS)
        self.topic = self._kafka.topic

    def producer(self) -> Producer:
        return self._kafka.make_producer()

    def producer_of_nobody(self) -> Producer:
        self._kafka.is_away = True
        return self._kafka.make_producer()

    async def records(self) -> dict[int, list[bytes]]:
        return {number: self._kafka.records[number] for number in range(_PARTITIONS)}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.contract)])
def kafka(request: pytest.FixtureRequest) -> str | None:
    """The address of the real Kafka, asked for outside of a running loop; None for the fake."""
    if request.param == "fake":
        return None
    servers: Servers = request.getfixturevalue("real_servers")
    return servers.kafka


@pytest.fixture
async def broker(kafka: str | None) -> AsyncIterator[Broker]:
    if kafka is None:
        yield FakeBroker()
        return
    async with new_topic(kafka, _PARTITIONS) as topic:
        yield RealBroker(kafka, topic)


@asynccontextmanager
async def _started(broker: Broker) -> AsyncIterator[Producer]:
    producer = broker.producer()
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_start_fails_when_there_is_no_broker(broker: Broker) -> None:
    producer = broker.producer_of_nobody()

    with pytest.raises(KafkaError):
        await producer.start()
    await producer.stop()


async def test_partitions_are_those_of_the_topic(broker: Broker) -> None:
    async with _started(broker) as producer:
        assert await producer.partitions_for(broker.topic) == set(range(_PARTITIONS))


async def test_partitions_fail_when_the_topic_is_unknown(broker: Broker) -> None:
    async with _started(broker) as producer:
        with pytest.raises(KafkaError):
            await producer.partitions_for("never-made")


async def test_record_is_there_when_its_future_is_done(broker: Broker) -> None:
    async with _started(broker) as producer:
        sent = await producer.send(broker.topic, b"a", partition=2)
        await sent

        assert (await broker.records())[2] == [b"a"]


async def test_records_of_a_partition_keep_their_order_when_sent_at_once(broker: Broker) -> None:
    values = [b"%d" % number for number in range(50)]

    async with _started(broker) as producer:
        sent = [await producer.send(broker.topic, value, partition=1) for value in values]
        await asyncio.gather(*sent)

    assert await broker.records() == {0: [], 1: values, 2: []}


async def test_send_fails_when_there_is_no_such_partition(broker: Broker) -> None:
    async with _started(broker) as producer:
        with pytest.raises(AssertionError):
            await producer.send(broker.topic, b"a", partition=_PARTITIONS)


async def test_stop_writes_what_was_sent(broker: Broker) -> None:
    async with _started(broker) as producer:
        sent = await producer.send(broker.topic, b"a", partition=0)

    assert sent.done()
    assert (await broker.records())[0] == [b"a"]


async def test_stop_does_nothing_when_repeated_or_early(broker: Broker) -> None:
    early = broker.producer()
    await early.stop()
    async with _started(broker) as producer:
        pass
    await producer.stop()
