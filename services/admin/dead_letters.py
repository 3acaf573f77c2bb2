"""`ragtime dead-letters`: what the processor could not count, to look at and to send once more.

A replayed line goes through the checks that the processor makes, and into the topic of events like
any other. An event whose id is counted already, whenever that was, is not sent again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.codec import InvalidLine, decode_line, encode_event
from libs.events.models import AnyEvent
from libs.events.partitions import partition_key, partition_of
from libs.events.window import FARTHEST_AHEAD, OLDEST
from libs.kafka.connection import connection
from libs.settings import KafkaSettings
from services.admin.topics import check_existence, reading

_COUNTED = "SELECT count() FROM events WHERE project_id = {project:String} AND id = {id:String}"
_READ_MS = 2_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of the dead-letter topic. `number`: its offset there, by which people name it."""

    number: int
    arrived_at: datetime
    headers: Mapping[str, str]
    value: bytes

    @property
    def place(self) -> str:
        """Where the line stood: topic/partition, offset, line; empty where others wrote it."""
        if not {"topic", "partition", "offset"} <= self.headers.keys():
            return ""
        line = self.headers.get("line")
        where = "{topic}/{partition} offset {offset}".format_map(self.headers)
        return where if line is None else f"{where} line {line}"


@dataclass(slots=True)
class Replay:
    """What became of the lines."""

    sent: int = 0
    counted_already: int = 0
    refused: list[str] = field(default_factory=list)


async def read_letters(kafka: KafkaSettings) -> list[Letter]:
    """All dead letters that Kafka holds, by age. Raises KafkaError."""
    await check_existence(kafka, kafka.dead_letter_topic)
    async with reading(kafka, kafka.dead_letter_topic) as consumer:
        letters: list[Letter] = []
        for number in sorted(consumer.partitions_for_topic(kafka.dead_letter_topic) or ()):
            partition = TopicPartition(kafka.dead_letter_topic, number)
            end = (await consumer.end_offsets([partition]))[partition]
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                found = await consumer.getmany(partition, timeout_ms=_READ_MS)
                letters += [
                    Letter(
                        record.offset,
                        datetime.fromtimestamp(record.timestamp / 1000, UTC),
                        {name: value.decode(errors="replace") for name, value in record.headers},
                        record.value or b"",
                    )
                    for record in found.get(partition, ())
                ]
        return letters


def check_line(name: str, line: bytes, now: datetime) -> AnyEvent | str:
    """The event of a line, or why the processor would not count it."""
    event = decode_line(0, line)
    if isinstance(event, InvalidLine):
        return f"{name}: {event.reason.value}: {event.detail}"
    if not now - OLDEST <= event.occurred_at <= now + FARTHEST_AHEAD:
        return f"{name}: occurred_at_out_of_range: {event.occurred_at.isoformat()}"
    return event


async def replay(
    client: AsyncClient, kafka: KafkaSettings, lines: Iterable[tuple[str, bytes]], now: datetime
) -> Replay:
    """Send lines (each with a name for people) that are events and not counted yet.

    Raises the drivers' errors; what was sent before stays sent, and may be sent again.
    """
    done = Replay()
    producer = AIOKafkaProducer(
        **connection(kafka),
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
    )
    try:
        await producer.start()
        partitions = len(await producer.partitions_for(kafka.events_topic))
        for name, line in lines:
            event = check_line(name, line, now)
            if isinstance(event, str):
                done.refused.append(event)
            elif await _is_counted(client, event):
                done.counted_already += 1
            else:
                number = partition_of(partition_key(event), partitions)
                await producer.send_and_wait(
                    kafka.events_topic, encode_event(event), partition=number
                )
                done.sent += 1
    finally:
        await producer.stop()
    return done


async def _is_counted(client: AsyncClient, event: AnyEvent) -> bool:
    result = await client.query(_COUNTED, parameters={"project": event.project_id, "id": event.id})
    return bool(result.result_rows[0][0])
