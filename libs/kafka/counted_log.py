"""Whether partitions of a topic still hold the records that were counted from them.

Offsets mean something within one log only. One that was made anew, or cut short by a broker that
lost its disk, gives offsets away again: to skip what was counted would skip records that were not.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from libs.kafka.last_record import LastRecord

_FETCH_MS = 5_000


async def other_logs(
    consumer: AIOKafkaConsumer, topic: str, counted: Mapping[int, LastRecord]
) -> dict[int, str]:
    """Of these partitions those that are not what was counted from, each with what differs.

    `consumer`: assigned to these partitions; its places change. Raises KafkaError.
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
            found[number] = f"{topic}/{number} holds another record at offset {last.offset}"
    return found


async def _is_other(
    consumer: AIOKafkaConsumer, partition: TopicPartition, last: LastRecord
) -> bool:
    consumer.seek(partition, last.offset)
    found = await consumer.getmany(partition, timeout_ms=_FETCH_MS, max_records=1)
    if not any(found.values()) and await consumer.position(partition) == last.offset:
        raise KafkaTimeoutError  # nothing was read: nobody knows
    # The latest append time of a partition is of its last record, or, when the broker's clock was
    # set back, later than that. A log made anew is younger.
    return any(
        record.offset == last.offset and record.timestamp > last.appended_at_ms
        for record in found.get(partition, ())
    )
