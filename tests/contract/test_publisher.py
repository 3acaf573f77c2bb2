"""The publisher's behaviours against a real Kafka and against the fake: the same for both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import pytest

from libs.events.partitions import partition_of
from libs.events.record_index import ENTRY_BYTES
from libs.settings import KafkaSettings
from services.ingest.publisher import Line, Publisher, kafka_producer
from services.ingest.settings import PublishSettings
from tests.fakes_kafka import FakeKafka
from tests.integration.ingest.topics import new_topic, read_topic
from tests.polling import until
from tests.servers import Servers

_PARTITIONS = 4


class Stage(Protocol):
    """A topic and a publisher for it, real or not."""

    publisher: Publisher

    async def records(self) -> dict[int, list[bytes]]: ...


@dataclass
class RealStage:
    publisher: Publisher
    bootstrap_servers: str
    topic: str

    async def records(self) -> dict[int, list[bytes]]:
        return await read_topic(self.bootstrap_servers, self.topic)


@dataclass
class FakeStage:
    publisher: Publisher
    kafka: FakeKafka

    async def records(self) -> dict[int, list[bytes]]:
        return self.kafka.records


@asynccontextmanager
async def _running(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        await until(lambda: publisher.is_ready)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await publisher.stop()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.contract)])
def servers(request: pytest.FixtureRequest) -> Servers | None:
    """The real servers, or None: the fake. Not async: the servers start in loops of their own."""
    return None if request.param == "fake" else request.getfixturevalue("real_servers")


@pytest.fixture
async def stage(servers: Servers | None) -> AsyncIterator[Stage]:
    settings = PublishSettings(max_record_events=5)
    if servers is None:
        kafka = FakeKafka(partitions=_PARTITIONS)
        publisher = Publisher(kafka.topic, settings, kafka.make_producer, share=0.5)
        async with _running(publisher):
            yield FakeStage(publisher, kafka)
        return
    async with new_topic(servers.kafka, _PARTITIONS) as topic:
        make = partial(kafka_producer, KafkaSettings(bootstrap_servers=servers.kafka), settings)
        publisher = Publisher(topic, settings, make, share=0.5)
        async with _running(publisher):
            yield RealStage(publisher, servers.kafka, topic)


def _lines(key: str, count: int) -> list[Line]:
    return [Line(key, f"{key}-{number}".encode(), bytes(ENTRY_BYTES)) for number in range(count)]


async def test_lines_are_in_the_topic_when_publish_returned(stage: Stage) -> None:
    keys = ("a", "b", "c", "d")
    await stage.publisher.publish([line for key in keys for line in _lines(key, 3)], "key")

    records = await stage.records()
    for key in keys:
        lines = b"\n".join(records[partition_of(key, _PARTITIONS)]).split(b"\n")
        expected = [line.json for line in _lines(key, 3)]
        assert [line for line in lines if line.startswith(key.encode())] == expected


async def test_lines_of_concurrent_requests_share_records(stage: Stage) -> None:
    await asyncio.gather(*(stage.publisher.publish(_lines("a", 1), "key") for _ in range(10)))

    values = [value for batch in (await stage.records()).values() for value in batch]
    assert [value.count(b"\n") + 1 for value in values] == [5, 5]


async def test_lines_are_all_there_when_requests_are_cancelled_beside_them(stage: Stage) -> None:
    requests = [
        asyncio.create_task(stage.publisher.publish(_lines(f"r{n}", 20), "key")) for n in range(20)
    ]
    await asyncio.sleep(0)
    for request in requests[::2]:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)
    await stage.publisher.publish(_lines("last", 1), "key")

    lines = b"\n".join(v for batch in (await stage.records()).values() for v in batch).split(b"\n")
    for number in range(1, 20, 2):
        assert {line.json for line in _lines(f"r{number}", 20)} <= set(lines)
    assert len(lines) == len(set(lines))


async def test_large_line_is_taken(stage: Stage) -> None:
    line = b"x" * 400_000
    await stage.publisher.publish([Line("a", line, bytes(ENTRY_BYTES))], "key")

    assert (await stage.records())[partition_of("a", _PARTITIONS)] == [line]
