"""The agent without servers: what must never be inserted, whatever was read."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error, OperationalError
from structlog.testing import capture_logs

from libs.events.record_index import index_of
from libs.kafka.last_record import LastRecord
from services.processor.agent import Agent, ReadAgainError, Table
from services.processor.batch import Batch, DeadLetter, Record
from services.processor.cutting import by_size
from services.processor.dead_letters import DeadLetters, Pause
from services.processor.dedup_index import Partition
from services.processor.late_days import LateDays
from services.processor.lookups import Lookups, uncertain
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery
from services.processor.writer import Writer
from tests.fakes_kafka import FakeTopic
from tests.unit.services.processor.events import NOON_MS, event, indexed, partition, record

CANNOT_PARSE = DatabaseError("Code: 27. DB::Exception: read secret (CANNOT_PARSE)", code=27)
LEASE_PASSED = DatabaseError("Code: 469. DB::Exception: lease", code=469)


@dataclass
class FakeTable(Writer, Lookups):
    """The table as the agent sees it: the offsets with rows, by partition; what it cannot read."""

    offsets: dict[int, list[int]] = field(default_factory=dict)
    failures: list[Error] = field(default_factory=list)
    unreadable: bytes = b"\0"
    inserted: list[dict[str, Any]] = field(default_factory=list)
    inserts: int = 0
    recoveries: int = 0
    late_days: LateDays = field(default_factory=lambda: LateDays(0))

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        body = b"\n".join(rows)
        if self.failures:
            raise self.failures.pop(0)
        if self.unreadable in body:
            raise CANNOT_PARSE
        lines = [json.loads(line) for line in body.splitlines() if line]
        if any(line["lease"].startswith("2000-") for line in lines):
            raise LEASE_PASSED
        for line in lines:
            self.offsets.setdefault(line["kp"], []).append(line["ko"])
        self.inserted += lines
        self.inserts += 1

    async def look_up(self, batch: Batch) -> None:
        """What is late is looked at; nothing of it was counted before."""
        for at in uncertain(batch).late.tolist():
            batch.event(at)

    async def recover(
        self, numbers: set[int], _known: Mapping[int, Partition]
    ) -> dict[int, Partition]:
        self.recoveries += 1
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


async def agent_of(table: FakeTable, topic: FakeTopic | None = None) -> Agent:
    ownership = Ownership(1.0, _confirm, lambda: True, lambda: 0.0, _no_sleep)
    ownership.server_time(datetime(2026, 3, 25, tzinfo=UTC).timestamp())
    parts = Table(table, cast("Recovery", table), table)
    agent = Agent(topic or FakeTopic(), parts, Letters(), ownership, 1 << 20)
    await agent.take_over({0, 1})
    return agent


async def test_records_behind_left_out_ones_are_not_counted_when_kafka_holds_those() -> None:
    table = FakeTable(offsets={0: [9]})
    agent = await agent_of(table)
    with pytest.raises(ReadAgainError):
        await agent.process([record(event("a"), offset=12)])
    assert table.inserts == 0


async def test_other_partitions_are_counted_when_one_stands_aside() -> None:
    table = FakeTable(offsets={1: [9]})
    agent = await agent_of(table)
    await agent.set_aside([1])
    await agent.process([record(event("a"), offset=0)])
    assert table.inserts == 1
    assert (set(agent.partitions), agent.done, set(agent.aside)) == ({0}, {0: 1}, {1})
    await agent.take_over({0, 1})
    assert (set(agent.partitions), set(agent.aside)) == ({0, 1}, set())


async def test_records_behind_deleted_ones_are_counted() -> None:
    table = FakeTable(offsets={0: [9]})
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
    table = FakeTable()
    agent = await agent_of(table)
    await agent.process([record(event("a"), offset=0), record(event("b"), partition=1)])
    table.failures = [error]
    table.offsets = {0: [0]}
    with pytest.raises(ReadAgainError):
        await agent.process([record(event("c"), offset=1)])
    assert table.inserts == 1
    assert agent.partitions == {}


async def test_batch_is_counted_again_when_records_before_it_left_no_row() -> None:
    table = FakeTable(offsets={0: [9]})
    agent = await agent_of(table)
    await agent.process([record(b"no event", offset=10)])
    table.failures = [OperationalError("connection reset")]
    await agent.process([record(event("a"), offset=11)])
    assert table.inserts == 1


async def test_dead_letter_is_sent_once_when_the_insert_is_tried_again() -> None:
    table = FakeTable()
    agent = await agent_of(table)
    table.failures = [DatabaseError("table is away"), OperationalError("connection reset")]
    await agent.process([record(b"no event", event("a"))])
    assert table.inserts == 1
    assert len(cast("Letters", agent._dead_letters).letters) == 1


async def test_lines_are_looked_at_when_clickhouse_could_not_read_them() -> None:
    value = b'{"not":"an event"}'
    index = indexed(event("a")).index
    assert index is not None
    table = FakeTable()
    agent = await agent_of(table)
    table.failures = [DatabaseError("cannot parse")]
    good, lying = indexed(event("b")), Record(0, 1, NOON_MS, value, index_of(value, [index[8:]]))
    await agent.process([good, lying])
    assert table.inserts == 1
    assert [one.line for one in cast("Letters", agent._dead_letters).letters] == [0]


async def test_lines_are_looked_at_when_an_index_is_wrong() -> None:
    table = FakeTable()
    agent = await agent_of(table)
    await agent.process([indexed(event("a"))])
    value = b'{"not":"an event"}'
    index = indexed(event("b", occurred_at="2026-03-20T00:00:00Z")).index
    assert index is not None
    await agent.process([Record(0, 1, NOON_MS, value, index_of(value, [index[8:]]))])
    assert table.inserts == 1
    assert len(cast("Letters", agent._dead_letters).letters) == 1


def letters_of(agent: Agent) -> list[DeadLetter]:
    return cast("Letters", agent._dead_letters).letters


@pytest.mark.parametrize("records", [1, 2, 7])
async def test_line_that_cannot_be_read_is_dead_lettered_and_all_else_counted(records: int) -> None:
    table = FakeTable(unreadable=b"poison")
    agent = await agent_of(table)
    await agent.process(
        [
            record(event(f"a{at}"), event(f"poison{at}" if at in {0, 4} else f"b{at}"), offset=at)
            for at in range(records)
        ]
    )
    bad = [at for at in (0, 4) if at < records]
    assert [(one.record.offset, one.line, one.reason) for one in letters_of(agent)] == [
        (at, 1, "refused_by_clickhouse") for at in bad
    ]
    ids = [row["id"] for row in table.inserted]
    assert len(ids) == len(set(ids)) == 2 * records - len(bad)
    assert [row["ko"] for row in table.inserted] == sorted(row["ko"] for row in table.inserted)
    assert all(row["lease"].startswith("2026-") for row in table.inserted)


async def test_what_was_dead_lettered_before_a_split_is_not_sent_again() -> None:
    table = FakeTable(unreadable=b"poison")
    agent = await agent_of(table)
    await agent.process(
        [record(event("a"), b"{", offset=0), record(event("poison"), b"[", offset=1)]
    )
    assert sorted(one.value for one in letters_of(agent) if one.line == 1) == [b"[", b"{"]


async def test_logs_do_not_tell_what_a_server_quotes_of_a_row() -> None:
    table = FakeTable(unreadable=b"poison")
    agent = await agent_of(table)
    with capture_logs() as lines:
        await agent.process([record(event("poison"))])
    failures = [line["error"] for line in lines if line["event"] == "insert.failed"]
    assert set(failures) == {"Code: 27 (CANNOT_PARSE)"}
    assert "secret" not in str(lines)
    assert letters_of(agent)[0].detail == "Code: 27 (CANNOT_PARSE)"


@pytest.mark.parametrize("code", [241, 243, 252])
async def test_batch_waits_whole_when_the_server_is_at_fault(code: int) -> None:
    table = FakeTable()
    agent = await agent_of(table)
    table.failures = [DatabaseError("not now", code=code)] * 9
    await agent.process([record(event("a")), record(event("b"), offset=1)])
    assert table.inserts == 1
    assert letters_of(agent) == []


async def test_readable_batch_waits_when_the_server_refuses_it_for_another_cause() -> None:
    table = FakeTable()
    agent = await agent_of(table)
    table.failures = [DatabaseError("a bug in a view", code=49)] * 7
    await agent.process([record(event("a"), event("b"))])
    assert [row["id"] for row in table.inserted] == ["a", "b"]
    assert letters_of(agent) == []


async def test_each_recovery_comes_later_than_the_one_before() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    table = FakeTable()
    ownership = Ownership(1.0, _confirm, lambda: True, lambda: 0.0, sleep)
    ownership.server_time(datetime(2026, 3, 25, tzinfo=UTC).timestamp())
    parts = Table(table, cast("Recovery", table), table)
    agent = Agent(FakeTopic(), parts, Letters(), ownership, 1 << 20)
    await agent.take_over({0})
    table.failures = [OperationalError("reset")] * 8
    await agent.process([record(event("a"))])
    assert slept == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert table.recoveries == 1 + 8


def test_batches_end_where_they_are_large_enough() -> None:
    large = [Record(0, offset, NOON_MS, b"x" * 6_000_000) for offset in range(7)]
    assert [[one.offset for one in some] for some in by_size(large)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(by_size([])) == []
