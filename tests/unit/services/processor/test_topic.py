"""Whether the topic is the one that was counted from, by its record at the last counted offset."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.processor.dedup_index import LastRecord
from services.processor.topic import _other_records
from tests.unit.services.processor.events import partition


class Consumer:
    """A partition of ten records, the last of them appended at a time."""

    def __init__(self, appended_at_ms: int) -> None:
        self._at_ms = appended_at_ms

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 10)

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._offset = offset

    async def getmany(self, partition: TopicPartition, **_: int) -> dict[Any, list[Any]]:
        return {partition: [SimpleNamespace(offset=self._offset, timestamp=self._at_ms)]}


@pytest.mark.parametrize(
    ("appended_at_ms", "differs"),
    [(1_000, False), (999, False), (5_000, True)],
    ids=["same", "clock was set back before it", "made anew"],
)
async def test_topic_is_another_when_its_record_is_younger_than_all_that_was_counted(
    appended_at_ms: int, differs: bool
) -> None:
    owned = partition(3, next_offset=10)
    owned.last_record = LastRecord(9, 1_000)
    consumer = cast("AIOKafkaConsumer", Consumer(appended_at_ms))
    assert bool(await _other_records(consumer, "events", {3: owned})) is differs
