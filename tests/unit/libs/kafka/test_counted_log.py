"""Whether a log is the one that was counted from, by records at offsets that were counted."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from libs.kafka import counted_log
from libs.kafka.counted_log import other_logs, overwritten
from libs.kafka.last_record import LastRecord

# When the record of each offset was appended; None: nothing is there, or nothing is handed over.
Log = dict[int, int | None]


class Consumer:
    """A partition of these records."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, min(self._log))

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, max(self._log) + 1)

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._offset = offset

    async def position(self, _partition: TopicPartition) -> int:
        return self._offset

    async def getmany(self, partition: TopicPartition, **_: int) -> dict[Any, list[Any]]:
        at_ms, offset = self._log.get(self._offset), self._offset
        if at_ms is None:
            return {}
        self._offset += 1
        return {partition: [SimpleNamespace(offset=offset, timestamp=at_ms)]}


def _as_consumer(log: Log) -> AIOKafkaConsumer:
    return cast("AIOKafkaConsumer", Consumer(log))


async def _no_row(*_: int) -> None:
    return None


@pytest.fixture(autouse=True)
def starts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where leaders of the partition began to write."""
    found: list[int] = []

    async def epoch_starts(_: object, _topic: str, log_starts: dict[int, int]) -> dict[int, Any]:
        return dict.fromkeys(log_starts, found)

    monkeypatch.setattr(counted_log, "epoch_starts", epoch_starts)
    return found


@pytest.mark.parametrize(
    ("appended_at_ms", "differs"),
    [(1_000, False), (999, False), (5_000, True)],
    ids=["same", "clock was set back before it", "made anew"],
)
async def test_topic_is_another_when_its_record_is_younger_than_all_that_was_counted(
    appended_at_ms: int, differs: bool
) -> None:
    counted = {3: LastRecord(9, 1_000)}
    consumer = _as_consumer({0: 10, 9: appended_at_ms})
    assert bool(await other_logs(consumer, "events", counted, _no_row)) is differs


async def test_nobody_knows_whether_it_is_another_when_kafka_hands_over_nothing() -> None:
    with pytest.raises(KafkaTimeoutError):
        await other_logs(
            _as_consumer({0: 10, 9: None}), "events", {3: LastRecord(9, 1_000)}, _no_row
        )


# Five records of one leader, at 10, 20 ... 50 ms; the last three were lost, and the next leader
# wrote from offset 2 on.
_OLD: Log = {0: 10, 1: 20, 2: 30, 3: 40, 4: 50}
_FEWER: Log = {0: 10, 1: 20, 2: 100, 3: 110}
_AS_MANY: Log = {**_FEWER, 4: 120}
_MORE: Log = {**_AS_MANY, 5: 130, 6: 140}


async def _found(log: Log, rows: Log) -> dict[int, str]:
    """What is found where these rows are in the table: the offset of each, and its time."""

    async def first_row(
        number: int, offset: int, since_ms: int, before_ms: int
    ) -> LastRecord | None:
        assert number == 3
        found = [
            LastRecord(at, at_ms)
            for at, at_ms in sorted(rows.items())
            if at >= offset and at_ms is not None and since_ms <= at_ms < before_ms
        ]
        return found[0] if found else None

    return await overwritten(_as_consumer(log), "events", {3: max(rows)}, first_row)


_AT_2 = {3: "events/3 holds another record at offset 2"}


@pytest.mark.parametrize(
    "log", [_FEWER, _AS_MANY, _MORE], ids=["fewer than lost", "as many", "more"]
)
async def test_records_in_the_place_of_lost_ones_are_found_also_when_the_last_agrees(
    starts: list[int], log: Log
) -> None:
    starts[:] = [2, 0]
    assert await _found(log, _OLD) == _AT_2
    assert await _found(log, {**_OLD, 5: 130, 6: 140}) == _AT_2, "what came behind was counted"


async def test_it_is_found_by_the_next_row_when_the_first_lost_record_left_none(
    starts: list[int],
) -> None:
    starts[:] = [2]
    rows = {at: at_ms for at, at_ms in _OLD.items() if at != 2} | {5: 130, 6: 140}
    assert await _found(_MORE, rows) == {3: "events/3 holds another record at offset 3"}


async def test_it_is_found_behind_a_later_change_of_leader(starts: list[int]) -> None:
    starts[:] = [6, 2]
    assert await _found(_MORE, {**_OLD, 5: 130, 6: 140}) == _AT_2


async def test_it_is_found_also_when_the_clock_of_the_next_leader_is_behind(
    starts: list[int],
) -> None:
    starts[:] = [2]
    assert await _found({0: 10, 1: 20, 2: 25, 3: 26, 4: 27, 5: 60}, {**_OLD, 5: 60}) == _AT_2


async def test_a_log_that_was_lost_as_a_whole_is_found(starts: list[int]) -> None:
    starts[:] = [0]
    log: Log = {0: 100, 1: 110, 2: 120, 3: 130, 4: 140, 5: 150}
    found = await _found(log, {**_OLD, 5: 150})
    assert found == {3: "events/3 holds another record at offset 0"}


@pytest.mark.parametrize(
    ("log", "rows"),
    [
        (_MORE, {0: 10, 1: 20}),
        (_MORE, _MORE),
        (_MORE, {0: 10, 1: 20, 5: 130}),
        ({**_MORE, 4: 90}, {**_MORE, 4: 90}),
    ],
    ids=["not counted yet", "nothing was lost", "records without rows", "clocks differ"],
)
async def test_a_change_of_leader_without_a_loss_is_none(
    starts: list[int], log: Log, rows: Log
) -> None:
    starts[:] = [2, 0]
    assert await _found(log, rows) == {}


async def test_nobody_knows_when_kafka_hands_over_nothing_at_the_start(starts: list[int]) -> None:
    starts[:] = [2]
    with pytest.raises(KafkaTimeoutError):
        await _found({**_MORE, 2: None}, _OLD)


async def test_nothing_is_asked_when_nothing_was_counted() -> None:
    consumer = cast("AIOKafkaConsumer", None)
    assert await overwritten(consumer, "events", {}, _no_row) == {}
    assert await other_logs(consumer, "events", {}, _no_row) == {}
