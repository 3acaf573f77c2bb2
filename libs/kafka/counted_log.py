"""Whether partitions of a topic still hold the records that were counted from them.

Offsets mean something within one log only. One that was made anew, or cut short by a broker that
lost its disk, gives offsets away again: to skip what was counted would skip records that were not.

Two things tell. The record that was counted last is not there, or is another. Or one that was
counted lies behind the start of a leader's epoch and is another there: the log had lost its end,
and has grown beyond it since, so that what was counted last agrees again.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from libs.kafka.last_record import LastRecord
from libs.kafka.leader_epochs import epoch_starts

_FETCH_MS = 5_000
_DAY_MS = 24 * 3600 * 1000
_CLOCKS_MS = 60_000  # brokers' clocks differ by no more

# Of a partition's rows at or behind an offset that were appended from one instant to before another
# (ms since 1970) the record of the first; None where there are none.
FirstRow = Callable[[int, int, int, int], Awaitable[LastRecord | None]]


async def other_logs(
    consumer: AIOKafkaConsumer, topic: str, counted: Mapping[int, LastRecord], first_row: FirstRow
) -> dict[int, str]:
    """Of these partitions those that are not what was counted from, each with what differs.

    `consumer`: assigned to these partitions; its places change. Raises KafkaError, and what
    `first_row` raises.
    """
    partitions = {number: TopicPartition(topic, number) for number in counted}
    if not partitions:
        return {}
    starts = await consumer.beginning_offsets(list(partitions.values()))
    ends = await consumer.end_offsets(list(partitions.values()))
    found = {}
    for number, partition in partitions.items():
        last = counted[number]
        if ends[partition] <= last.offset:
            found[number] = (
                f"{topic}/{number} ends before offset {ends[partition]}, and offset"
                f" {last.offset} was counted"
            )
        elif starts[partition] <= last.offset and await _is_other(consumer, partition, last):
            found[number] = _told(partition, last.offset)
    rest = {number: last.offset for number, last in counted.items() if number not in found}
    return found | await _overwritten(consumer, topic, rest, starts, first_row)


async def overwritten(
    consumer: AIOKafkaConsumer, topic: str, counted: Mapping[int, int], first_row: FirstRow
) -> dict[int, str]:
    """Of these partitions those that had lost records which were counted, and hold others there.

    `counted`: the last offset that was counted of each. It reads a few records at the start of each
    leader's epoch; for the rest see `other_logs`.
    """
    partitions = [TopicPartition(topic, number) for number in counted]
    if not partitions:
        return {}
    starts = await consumer.beginning_offsets(partitions)
    return await _overwritten(consumer, topic, counted, starts, first_row)


async def _overwritten(
    consumer: AIOKafkaConsumer,
    topic: str,
    counted: Mapping[int, int],
    held: Mapping[TopicPartition, int],
    first_row: FirstRow,
) -> dict[int, str]:
    """The same where it is known from which offset on each log is still held."""
    log_starts = {number: held[TopicPartition(topic, number)] for number in counted}
    found = {}
    for number, starts in (await epoch_starts(consumer, topic, log_starts)).items():
        partition = TopicPartition(topic, number)
        for start in starts:
            if start > counted[number]:
                continue
            if row := await _replaced(consumer, partition, start, first_row):
                found[number] = _told(partition, row.offset)
                break
    return found


async def _replaced(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, first_row: FirstRow
) -> LastRecord | None:
    """The first record that was counted at or behind an epoch's start, if it is another there."""
    around = await _read(consumer, partition, max(0, start - 1), start)
    new = next((record.timestamp for record in around if record.offset >= start), None)
    if new is None:
        return None
    # What was lost was appended after the record before it, which both logs have, and before what
    # is there now, but for a leader whose clock was behind.
    since = [record.timestamp for record in around if record.offset < start] or [new - _DAY_MS]
    row = await first_row(partition.partition, start, since[-1], new + _CLOCKS_MS)
    if row is None:
        return None
    held = [record for record in around if record.offset == row.offset]
    held = held or await _read(consumer, partition, row.offset, row.offset)
    places = [(record.offset, record.timestamp) for record in held]
    return None if (row.offset, row.appended_at_ms) in places else row


def _told(partition: TopicPartition, offset: int) -> str:
    return f"{partition.topic}/{partition.partition} holds another record at offset {offset}"


async def _is_other(
    consumer: AIOKafkaConsumer, partition: TopicPartition, last: LastRecord
) -> bool:
    # The latest append time of a partition is of its last record, or, when the broker's clock was
    # set back, later than that. A log made anew is younger.
    return any(
        record.offset == last.offset and record.timestamp > last.appended_at_ms
        for record in await _read(consumer, partition, last.offset, last.offset)
    )


async def _read(
    consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, last: int
) -> list[Any]:
    """The records from an offset on, at least up to another one. Raises KafkaError.

    Fewer where what lies there is no record: a marker of somebody's transaction.
    """
    consumer.seek(partition, first)
    records: list[Any] = []
    place = first
    while place <= last:
        found = await consumer.getmany(
            partition, timeout_ms=_FETCH_MS, max_records=last - place + 1
        )
        records += found.get(partition, ())
        behind = await consumer.position(partition)
        if behind <= place:
            raise KafkaTimeoutError  # nothing was read: nobody knows
        place = behind
    return records
