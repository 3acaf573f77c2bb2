"""Whether a log is the one that was counted from, by its record at the last counted offset."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from libs.kafka.counted_log import other_logs
from libs.kafka.last_record import LastRecord


class Consumer:
    """A partition of ten records, the last appended at a time; None: it hands over nothing."""

    def __init__(self, appended_at_ms: int | None) -> None:
        self._at_ms = appended_at_ms

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 10)

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._offset = offset

    async def position(self, _partition: TopicPartition) -> int:
        return self._offset

    async def getmany(self, partition: TopicPartition, **_: int) -> dict[Any, list[Any]]:
        if self._at_ms is None:
            return {}
        return {partition: [SimpleNamespace(offset=self._offset, timestamp=self._at_ms)]}


@pytest.mark.parametrize(
    ("appended_at_ms", "differs"),
    [(1_000, False), (999, False), (5_000, True)],
    ids=["same", "clock was set back before it", "made anew"],
)
async def test_topic_is_another_when_its_record_is_younger_than_all_that_was_counted(
    appended_at_ms: int, differs: bool
) -> None:
    counted = {3: LastRecord(9, 1_000)}
    consumer = cast("AIOKafkaConsumer", Consumer(appended_at_ms))
    assert bool(await other_logs(consumer, "events", counted)) is differs


async def test_nobody_knows_whether_it_is_another_when_kafka_hands_over_nothing() -> None:
    consumer = cast("AIOKafkaConsumer", Consumer(None))
    with pytest.raises(KafkaTimeoutError):
        await other_logs(consumer, "events", {3: LastRecord(9, 1_000)})
