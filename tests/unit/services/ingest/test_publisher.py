"""The publisher against a Kafka in memory: packing, limits, failures, replacement, the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from libs.events.partitions import partition_of
from libs.events.record_index import ENTRY_BYTES, HEADER, entries_of
from services.ingest import publisher as publisher_module
from services.ingest.publisher import Line, Publisher, UnavailableError
from services.ingest.settings import PublishSettings
from tests.fakes_kafka import FakeKafka
from tests.polling import until


@asynccontextmanager
async def _publisher(
    kafka: FakeKafka, settings: PublishSettings | None = None
) -> AsyncIterator[Publisher]:
    publisher = Publisher(
        kafka.topic, settings or PublishSettings(), kafka.make_producer, share=0.5
    )
    running = asyncio.create_task(publisher.run())
    try:
        if not kafka.is_away:
            await until(lambda: publisher.is_ready)
        yield publisher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await publisher.stop()


def _lines(key: str, count: int, size_bytes: int = 20) -> list[Line]:
    return [
        Line(key, f"{key}-{number}".encode().ljust(size_bytes, b"."), _entry(number))
        for number in range(count)
    ]


def _entry(number: int) -> bytes:
    return number.to_bytes(ENTRY_BYTES, "little")


async def test_lines_are_in_the_partition_of_their_key_when_published() -> None:
    kafka = FakeKafka(partitions=4)

    async with _publisher(kafka) as publisher:
        await publisher.publish(_lines("a", 2) + _lines("b", 2) + _lines("c", 2), "key")

    for key in ("a", "b", "c"):
        lines = b"\n".join(kafka.records[partition_of(key, 4)]).split(b"\n")
        assert [line.json for line in _lines(key, 2)] == [
            line for line in lines if line.startswith(key.encode())
        ]


async def test_record_carries_the_index_of_its_lines() -> None:
    kafka = FakeKafka(partitions=1)

    async with _publisher(kafka) as publisher:
        await publisher.publish(_lines("a", 3), "key")

    ((name, index),) = kafka.headers
    assert name == HEADER
    assert entries_of(kafka.records[0][0], index) == b"".join(map(_entry, range(3)))


async def test_lines_of_concurrent_requests_share_a_record() -> None:
    kafka = FakeKafka(partitions=1)

    async with _publisher(kafka) as publisher:
        await asyncio.gather(*(publisher.publish(_lines(f"r{n}", 2), "key") for n in range(10)))

    assert len(kafka.records[0]) == 1
    assert len(kafka.lines) == 20


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        (PublishSettings(max_record_events=4), [4, 4, 2]),
        (PublishSettings(max_record_bytes=1024), [4, 4, 2]),
    ],
    ids=["events", "bytes"],
)
async def test_record_is_closed_when_it_is_full(
    settings: PublishSettings, sizes: list[int]
) -> None:
    kafka = FakeKafka(partitions=1)

    async with _publisher(kafka, settings) as publisher:
        await publisher.publish(_lines("a", 10, size_bytes=220), "key")

    assert [value.count(b"\n") + 1 for value in kafka.records[0]] == sizes
    assert kafka.lines == [line.json for line in _lines("a", 10, size_bytes=220)]


async def test_line_travels_alone_when_it_is_larger_than_a_record() -> None:
    kafka = FakeKafka(partitions=1)

    async with _publisher(kafka, PublishSettings(max_record_bytes=1024)) as publisher:
        values = (b"1", b"2" * 5_000, b"3")
        await publisher.publish([Line("a", value, _entry(0)) for value in values], "key")

    assert [len(value) for value in kafka.records[0]] == [1, 5_000, 1]


async def test_record_goes_on_filling_while_the_one_before_is_on_its_way() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True

    async with _publisher(kafka, PublishSettings(linger_ms=0)) as publisher:
        first = asyncio.create_task(publisher.publish(_lines("first", 1), "key"))
        await until(lambda: len(kafka.held) == 1)
        others = [
            asyncio.create_task(publisher.publish(_lines(f"o{n}", 1), "key")) for n in range(5)
        ]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(kafka.held) == 1
        kafka.release()
        await asyncio.gather(first, *others)

    assert [value.count(b"\n") + 1 for value in kafka.records[0]] == [1, 5]


async def test_publish_waits_for_the_acknowledgement() -> None:
    kafka = FakeKafka()
    kafka.is_holding = True

    async with _publisher(kafka) as publisher:
        publishing = asyncio.create_task(publisher.publish(_lines("a", 1), "key"))
        await until(lambda: len(kafka.held) == 1)
        assert not publishing.done()
        kafka.release()
        await publishing


async def test_publish_is_unavailable_when_the_acknowledgement_is_late() -> None:
    kafka = FakeKafka()
    kafka.is_holding = True

    async with _publisher(kafka, PublishSettings(timeout_s=0.05)) as publisher:
        with pytest.raises(UnavailableError) as caught:
            await publisher.publish(_lines("a", 1), "key")
        kafka.release()
        await until(lambda: len(kafka.lines) == 1)

    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "3"


async def test_each_request_waits_as_long_as_it_may_whoever_else_waits() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True
    ended: list[str] = []

    async def publish(name: str) -> None:
        with suppress(UnavailableError):
            await publisher.publish(_lines(name, 1), "key")
        ended.append(name)

    async with _publisher(kafka, PublishSettings(timeout_s=0.2)) as publisher:
        first = asyncio.create_task(publish("first"))
        await asyncio.sleep(0.1)
        gone = asyncio.create_task(publish("gone"))
        last = asyncio.create_task(publish("last"))
        await asyncio.sleep(0)
        gone.cancel()
        await first
        assert ended == ["first"]
        await asyncio.wait_for(last, 10)
        assert ended == ["first", "last"]

        kafka.release()
        await until(lambda: len(kafka.lines) == 3)
        await publisher.publish(_lines("a", 1), "key")  # also when its timer had nobody to wait for


async def test_service_is_not_ready_while_kafka_acknowledges_nothing() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True

    async with _publisher(kafka, PublishSettings(timeout_s=0.05)) as publisher:
        with pytest.raises(UnavailableError):
            await publisher.publish(_lines("a", 1), "key")
        await until(lambda: not publisher.is_ready)
        kafka.release()
        await until(lambda: publisher.is_ready)


async def test_service_is_not_ready_while_kafka_is_away_and_nobody_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher_module, "_PROBE_INTERVAL_S", 0.01)
    kafka = FakeKafka(partitions=1)

    async with _publisher(kafka, PublishSettings(timeout_s=0.05)) as publisher:
        kafka.is_away = True
        await until(lambda: not publisher.is_ready)
        kafka.is_away = False
        await until(lambda: publisher.is_ready)
        assert len(kafka.producers) == 1


async def test_publish_is_unavailable_at_once_when_there_is_no_room() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True
    settings = PublishSettings(max_pending_bytes=1024 * 1024)

    async with _publisher(kafka, settings) as publisher:
        waiting = asyncio.create_task(publisher.publish(_lines("a", 9, size_bytes=100_000), "key"))
        await until(lambda: len(kafka.held) > 0)
        with pytest.raises(UnavailableError):
            await publisher.publish(_lines("b", 2, size_bytes=100_000), "key")
        kafka.release()
        await waiting
        await publisher.publish(_lines("b", 2, size_bytes=100_000), "key")


async def test_victim_publishes_when_an_attacker_has_pending_what_it_may() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True
    settings = PublishSettings(max_pending_bytes=1024 * 1024)

    async with _publisher(kafka, settings) as publisher:
        attacking = [
            asyncio.create_task(publisher.publish(_lines(f"a{n}", 1, 100_000), "attacker"))
            for n in range(5)
        ]
        await until(lambda: len(kafka.held) > 0)
        with pytest.raises(UnavailableError):
            await publisher.publish(_lines("a", 1, 100_000), "attacker")
        mine = asyncio.create_task(publisher.publish(_lines("v", 2, 100_000), "victim"))
        await asyncio.sleep(0)
        kafka.release()
        await asyncio.gather(*attacking, mine)
        await publisher.publish(_lines("a", 5, 100_000), "attacker")


async def test_nothing_stays_pending_of_a_request_that_meets_a_bug() -> None:
    kafka = FakeKafka(partitions=0)  # no topic is like that: to pack a line for it raises

    async with _publisher(kafka) as publisher:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await publisher.publish(_lines("a", 1), "key")
        assert publisher._pending.used == 0


async def test_publish_is_unavailable_at_once_when_kafka_was_never_there() -> None:
    kafka = FakeKafka()
    kafka.is_away = True

    async with _publisher(kafka) as publisher:
        assert not publisher.is_ready
        with pytest.raises(UnavailableError):
            await publisher.publish(_lines("a", 1), "key")


async def test_others_are_written_when_one_request_of_a_record_is_cancelled() -> None:
    kafka = FakeKafka(partitions=1)
    kafka.is_holding = True

    async with _publisher(kafka) as publisher:
        gone = asyncio.create_task(publisher.publish(_lines("gone", 1), "key"))
        stays = asyncio.create_task(publisher.publish(_lines("stays", 1), "key"))
        await until(lambda: len(kafka.held) == 1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        kafka.release()
        await stays

    assert len(kafka.lines) == 2


async def test_producer_is_replaced_when_a_record_was_not_taken() -> None:
    kafka = FakeKafka()
    kafka.is_refusing = True

    async with _publisher(kafka) as publisher:
        with pytest.raises(UnavailableError):
            await publisher.publish(_lines("a", 1), "key")
        kafka.is_refusing = False
        await until(lambda: publisher.is_ready)
        await publisher.publish(_lines("b", 1), "key")

        first, second = kafka.producers
        await until(lambda: first.is_stopped)
        assert not second.is_stopped

    assert kafka.lines == [line.json for line in _lines("b", 1)]


async def test_records_of_the_old_producer_keep_their_outcome_when_it_is_replaced() -> None:
    kafka = FakeKafka(partitions=3)
    kafka.is_holding = True
    other = next(key for key in "bcdefgh" if partition_of(key, 3) != partition_of("a", 3))

    async with _publisher(kafka) as publisher:
        fails = asyncio.create_task(publisher.publish(_lines("a", 1), "key"))
        lives = asyncio.create_task(publisher.publish(_lines(other, 1), "key"))
        await until(lambda: len(kafka.held) == 2)
        [(*_, refused)] = [held for held in kafka.held if held[0] == partition_of("a", 3)]
        kafka.held = [held for held in kafka.held if held[-1] is not refused]
        refused.set_exception(ConnectionError())
        with pytest.raises(UnavailableError):
            await fails
        await until(lambda: len(kafka.producers) == 2)
        kafka.release()
        await lives

    assert kafka.lines == [line.json for line in _lines(other, 1)]


async def test_open_records_are_sent_when_the_publisher_stops() -> None:
    kafka = FakeKafka()

    async with _publisher(kafka, PublishSettings(linger_ms=1_000)) as publisher:
        publishing = asyncio.create_task(publisher.publish(_lines("a", 3), "key"))
        await asyncio.sleep(0)

    await publishing
    assert len(kafka.lines) == 3
    assert kafka.producers[-1].is_stopped


async def test_producer_is_stopped_when_the_publisher_ends_while_it_connects() -> None:
    kafka = FakeKafka()
    kafka.is_away = True

    async with _publisher(kafka):
        await until(lambda: len(kafka.producers) == 1)

    assert all(producer.is_stopped for producer in kafka.producers)
