"""The agent without servers: what must never be inserted, whatever was read."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error, OperationalError

from libs.events.digest import digest_of
from services.processor.agent import Agent, ReadAgainError, by_size
from services.processor.batch import ConversationDay, DeadLetter, Identity, Record, Suspect
from services.processor.dead_letters import DeadLetters, Pause
from services.processor.memory import LastRecord, Partition
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery
from services.processor.writer import Writer
from tests.fakes_kafka import FakeTopic
from tests.unit.services.processor.events import NOON_MS, digested, event, partition, record


@dataclass
class Table(Writer):
    """The table as writer and recovery see it: the offsets with rows, by partition."""

    offsets: dict[int, list[int]] = field(default_factory=dict)
    failures: list[Error] = field(default_factory=list)
    inserts: int = 0

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.inserts += 1

    async def counted_ids(self, suspects: list[Suspect]) -> dict[Identity, int]:
        return {}

    async def counted_conversations(
        self, asked: set[ConversationDay]
    ) -> frozenset[ConversationDay]:
        return frozenset()

    async def recover(self, numbers: set[int]) -> dict[int, Partition]:
        return {number: self._recovered(number) for number in numbers}

    def _recovered(self, number: int) -> Partition:
        own = partition(number)
        if offsets := self.offsets.get(number):
            own.next_offset = offsets[-1] + 1
            own.last_record = LastRecord(offsets[-1], 0)
        return own


class Letters(DeadLetters):
    """Keeps dead letters in a list."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def counted(self, events: int) -> None:
        """There is no limit."""

    async def send(self, letters: list[DeadLetter], _pause: Pause) -> None:
        self.letters += letters


async def _confirm(_offsets: Mapping[int, int]) -> bool:
    return True


async def _no_sleep(_seconds: float) -> None:
    await asyncio.sleep(0)


async def agent_of(table: Table, topic: FakeTopic | None = None) -> Agent:
    ownership = Ownership(1.0, _confirm, lambda: True, lambda: 0.0, _no_sleep)
    ownership.server_time(datetime(2026, 3, 25, tzinfo=UTC).timestamp())
    agent = Agent(topic or FakeTopic(), table, cast("Recovery", table), Letters(), ownership)
    await agent.take_over({0, 1})
    return agent


async def test_records_behind_left_out_ones_are_not_counted_when_kafka_holds_those() -> None:
    table = Table(offsets={0: [9]})
    agent = await agent_of(table)
    with pytest.raises(ReadAgainError):
        await agent.process([record(event("a"), offset=12)])
    assert table.inserts == 0


async def test_records_behind_deleted_ones_are_counted() -> None:
    table = Table(offsets={0: [9]})
    agent = await agent_of(table, FakeTopic(start=12))
    await agent.process([record(event("a"), offset=12)])
    assert table.inserts == 1


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("connection reset"),  # a loss of power took the last parts
        DatabaseError("no right", code=497),  # meanwhile an older backup was restored
    ],
)
async def test_nothing_is_counted_when_clickhouse_has_lost_what_was_there(error: Error) -> None:
    table = Table()
    agent = await agent_of(table)
    await agent.process([record(event("a"), offset=0), record(event("b"), partition=1)])
    table.failures = [error]
    table.offsets = {0: [0]}
    with pytest.raises(ReadAgainError):
        await agent.process([record(event("c"), offset=1)])
    assert table.inserts == 1
    assert agent.partitions == {}


async def test_batch_is_counted_again_when_records_before_it_left_no_row() -> None:
    table = Table(offsets={0: [9]})
    agent = await agent_of(table)
    await agent.process([record(b"no event", offset=10)])
    table.failures = [OperationalError("connection reset")]
    await agent.process([record(event("a"), offset=11)])
    assert table.inserts == 1


async def test_dead_letter_is_sent_once_when_the_insert_is_tried_again() -> None:
    table = Table()
    agent = await agent_of(table)
    table.failures = [DatabaseError("table is away"), OperationalError("connection reset")]
    await agent.process([record(b"no event", event("a"))])
    assert table.inserts == 1
    assert len(cast("Letters", agent._dead_letters).letters) == 1


async def test_lines_are_looked_at_when_clickhouse_could_not_read_them() -> None:
    value = b'{"not":"an event"}'
    digest = digested(event("a")).digest
    assert digest is not None
    table = Table()
    agent = await agent_of(table)
    table.failures = [DatabaseError("cannot parse")]
    good, lying = digested(event("b")), Record(0, 1, NOON_MS, value, digest_of(value, [digest[8:]]))
    await agent.process([good, lying])
    assert table.inserts == 1
    assert [one.line for one in cast("Letters", agent._dead_letters).letters] == [0]


async def test_lines_are_looked_at_when_a_digest_is_wrong() -> None:
    table = Table()
    agent = await agent_of(table)
    await agent.process([digested(event("a"))])
    value = b'{"not":"an event"}'
    digest = digested(event("a")).digest
    assert digest is not None
    await agent.process([Record(0, 1, NOON_MS, value, digest_of(value, [digest[8:]]))])
    assert table.inserts == 1
    assert len(cast("Letters", agent._dead_letters).letters) == 1


def test_batches_end_where_they_are_large_enough() -> None:
    large = [Record(0, offset, NOON_MS, b"x" * 6_000_000) for offset in range(7)]
    assert [[one.offset for one in some] for some in by_size(large)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(by_size([])) == []
