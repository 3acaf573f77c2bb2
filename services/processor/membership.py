"""This process in the consumer group. What Faust offers no public way for is all here."""

import asyncio
from collections.abc import Container, Iterable, Mapping
from typing import Any

import faust
from faust.types import TP


def instance_id(instance: str | None, topic: str) -> str | None:
    """The name by which Kafka knows a process that has one: another for each topic.

    Kafka gives a member that returns within its session the partitions that it had, without asking
    which topic it reads now; aiokafka dies of partitions of another.
    """
    return f"{instance}.{topic}" if instance else None


class Membership:
    """Which partitions we were given last, and whether that still holds."""

    def __init__(self, app: faust.App, topic: str) -> None:
        self._app = app
        self._topic = topic
        self._rebalance = 0
        self._generation = 0
        self._given = (0, 0)
        self._is_given = asyncio.Event()

    def given(self) -> None:
        """A rebalance has given us partitions. No other can begin before this returns."""
        self._given = self._app.rebalancing_count, self._app.consumer_generation_id
        self._is_given.set()

    def begin(self) -> None:
        """What is asked from now on concerns the partitions that we were given last.

        The next rebalance may have begun already; then they are not wanted.
        """
        self._is_given.clear()
        self._rebalance, self._generation = self._given

    def rebalances(self) -> int:
        """How many rebalances have begun."""
        return int(self._app.rebalancing_count)

    def is_given(self) -> bool:
        """Whether the last rebalance that began has given us what there is for us."""
        return self._rebalance > 0 and self.is_wanted()

    async def next_given(self) -> None:
        """Return when the rebalance that has begun has given us partitions."""
        await self._is_given.wait()

    def is_wanted(self) -> bool:
        """Whether no rebalance has begun since, and the service goes on."""
        return not self._app.should_stop and self._app.rebalancing_count == self._rebalance

    def ended_by(self) -> BaseException | None:
        """What ended aiokafka's part in the group, for good.

        It tells nobody but its own log: Faust, which lets our tasks begin after the first
        rebalance, waits for ever for one that cannot come.
        """
        task = getattr(self._coordinator(), "_coordination_task", None)
        return task.exception() if task and task.done() and not task.cancelled() else None

    def refused_by(self) -> Exception | None:
        """What the coordinator answered that aiokafka keeps for the next read to raise.

        Until then it does nothing; before the first rebalance nobody reads.
        """
        error: Exception | None = getattr(self._coordinator(), "_pending_exception", None)
        return error

    def _coordinator(self) -> Any:  # noqa: ANN401 - aiokafka has no types
        # None until Faust's consumer has started; to ask for `consumer` would make one too early.
        found: Any = self._app
        for part in ("_consumer", "_thread", "_consumer", "_coordinator"):
            found = getattr(found, part, None)
        return found

    def partitions(self) -> set[int]:
        """The numbers of our partitions."""
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == self._topic}

    async def confirm(self, offsets: Mapping[int, int]) -> bool:
        """Commit these offsets; whether the coordinator took them from this generation."""
        if not offsets.keys() <= self.partitions():  # Faust would leave them out, and say yes
            return False
        consumer: Any = self._app.consumer  # there is no public way to commit chosen offsets
        positions = {TP(self._topic, number): offset for number, offset in offsets.items()}
        return bool(await consumer._commit(positions)) and self.is_wanted()  # noqa: SLF001

    async def seek_to_start(self, numbers: Iterable[int]) -> None:
        """Read from the start: Faust does not seek to a committed offset of 0."""
        consumer: Any = self._app.consumer
        for number in numbers:
            await consumer.seek_wait({TP(self._topic, number): 0})

    async def is_caught_up(self, number: int, end: int) -> bool:
        """Whether Faust has read a partition to its end and has nothing in hand.

        Then what lies between is no record: a marker of somebody's transaction.
        """
        consumer: Any = self._app.consumer
        position = await consumer.position(TP(self._topic, number))
        return position is not None and position >= end and not consumer._unacked_messages  # noqa: SLF001

    async def commit(self, events: Iterable[Any]) -> bool:
        """Acknowledge events and commit them at once: a rebalance drops what is not committed."""
        for event in events:
            event.ack()
        consumer = self._app.consumer
        # False may mean that another commit was under way that does not cover these.
        return await consumer.commit() or await consumer.commit()

    def of_this_generation(self, events: Iterable[Any]) -> list[Any]:
        """Without what was read before the last rebalance: it is read again, in its order."""
        current: list[Any] = []
        stale: list[Any] = []
        for event in events:
            is_current = event.message.generation_id == self._generation
            (current if is_current else stale).append(event)
        self.let_go(stale)
        return current

    def without(self, numbers: Container[int], events: Iterable[Any]) -> list[Any]:
        """Leave the events of these partitions, and read no more of them for now."""
        rest: list[Any] = []
        left: list[Any] = []
        for event in events:
            (left if event.message.partition in numbers else rest).append(event)
        if left:
            self.let_go(left)
            left_partitions = {TP(self._topic, event.message.partition) for event in left}
            self._app.consumer.pause_partitions(left_partitions)
        return rest

    def let_go(self, events: Iterable[Any]) -> None:
        """Stop Faust from waiting for these: they are left to the next owner, or read again."""
        consumer: Any = self._app.consumer
        for event in events:
            consumer._unacked_messages.discard(event.message)  # noqa: SLF001
