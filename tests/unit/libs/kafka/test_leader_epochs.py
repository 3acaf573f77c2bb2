"""Where leaders began to write, asked of brokers that answer as Kafka does."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    UnsupportedVersionError,
)

from libs.kafka.leader_epochs import epoch_starts, latest_epochs

_NOW = {2: (1, 11), 23: (2, 4)}  # the versions of both requests that Kafka 4 knows


class Brokers:
    """Partitions with the starts of their epochs; `leaders`: of partitions, or none."""

    def __init__(
        self,
        epochs: dict[int, dict[int, int]],
        leaders: dict[int, int | None] | None = None,
        versions: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        self._epochs = epochs
        self._leaders = leaders or {}
        self._versions = _NOW if versions is None else versions
        self.asked: list[int] = []
        self.code = 0
        self.cluster = self

    def leader_for_partition(self, partition: TopicPartition) -> int | None:
        return self._leaders.get(partition.partition, 1)

    async def send(self, leader: int, request: Any) -> Any:
        self.asked.append(leader)
        struct = request.prepare(self._versions)
        decoded = type(struct).decode(struct.encode()).to_object()
        answer = self._latest if struct.API_KEY == 2 else self._end
        ((topic, asked),) = [(one["topic"], one["partitions"]) for one in decoded["topics"]]
        return SimpleNamespace(topics=[(topic, [answer(one) for one in asked])])

    def _latest(self, asked: dict[str, int]) -> tuple[int, ...]:
        number = asked["partition"]
        return number, self.code, -1, 99, max(self._epochs[number], default=-1)

    def _end(self, asked: dict[str, int]) -> tuple[int, ...]:
        """As `LeaderEpochFileCache.endOffsetFor` does."""
        number, epoch = asked["partition"], asked["leader_epoch"]
        starts = self._epochs[number]
        floor = max((one for one in starts if one <= epoch), default=epoch)
        higher = min((one for one in starts if one > epoch), default=None)
        if higher is None:
            return 0, number, -1, -1
        return 0, number, floor, starts[higher]

    def consumer(self) -> AIOKafkaConsumer:
        return cast("AIOKafkaConsumer", SimpleNamespace(_client=self))


async def test_each_start_of_a_leader_is_told_and_the_latest_first() -> None:
    brokers = Brokers({0: {0: 0, 3: 5, 4: 9, 8: 12}, 1: {0: 0}, 2: {7: 0, 9: 4}})
    consumer = brokers.consumer()
    assert await latest_epochs(consumer, "events", [0, 1, 2]) == {0: 8, 1: 0, 2: 9}
    found = await epoch_starts(consumer, "events", {0: 0, 1: 0, 2: 0})
    assert found == {0: [12, 9, 5, 0], 1: [0], 2: [4, 0]}


async def test_starts_that_kafka_holds_no_more_are_left_out() -> None:
    consumer = Brokers({0: {0: 5, 3: 7}, 1: {4: 6}}).consumer()
    assert await epoch_starts(consumer, "events", {0: 5, 1: 6}) == {0: [7], 1: []}


async def test_as_many_are_asked_for_as_there_may_be_and_no_more() -> None:
    brokers = Brokers({0: {epoch: 10 * epoch for epoch in range(100)}})
    found = await epoch_starts(brokers.consumer(), "events", {0: 0})
    assert found == {0: [*(10 * epoch for epoch in range(99, 91, -1)), 0]}
    assert len(brokers.asked) == 1 + 8


async def test_each_leader_is_asked_of_its_partitions() -> None:
    brokers = Brokers({0: {1: 0}, 1: {2: 0}, 2: {3: 0}}, {0: 1, 1: 2, 2: 1})
    found = await latest_epochs(brokers.consumer(), "events", [0, 1, 2])
    assert found == {0: 1, 1: 2, 2: 3}
    assert sorted(brokers.asked) == [1, 2]


@pytest.mark.parametrize("versions", [{}, {2: (0, 3), 23: (0, 1)}], ids=["none", "old"])
async def test_nothing_is_told_where_brokers_do_not_know_the_requests(
    versions: dict[int, tuple[int, int]],
) -> None:
    consumer = Brokers({0: {1: 0, 2: 5}, 1: {1: 0, 2: 6}}, versions=versions).consumer()
    assert await latest_epochs(consumer, "events", [0]) == {}
    assert await epoch_starts(consumer, "events", {0: 0, 1: 5}) == {0: [0], 1: []}


async def test_nothing_is_told_where_brokers_refuse_the_requests() -> None:
    brokers = Brokers({0: {1: 0, 2: 5}})
    brokers.code = UnsupportedVersionError.errno
    assert await latest_epochs(brokers.consumer(), "events", [0]) == {}
    assert await epoch_starts(brokers.consumer(), "events", {0: 0}) == {0: [0]}


async def test_nobody_knows_while_a_partition_has_no_leader() -> None:
    for leader in (None, -1):
        consumer = Brokers({0: {1: 0}}, {0: leader}).consumer()
        with pytest.raises(LeaderNotAvailableError):
            await latest_epochs(consumer, "events", [0])
    brokers = Brokers({0: {1: 0}})
    brokers.code = NotLeaderForPartitionError.errno
    with pytest.raises(NotLeaderForPartitionError):
        await epoch_starts(brokers.consumer(), "events", {0: 0})
