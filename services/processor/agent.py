"""The loop edge: takes batches of records to the table, whatever ClickHouse does meanwhile.

An insert that failed has, as a rule, an unknown outcome and is never repeated blindly: its
partitions are recovered, which tells what arrived, and the batch goes through the pipeline again.
Of one that fails again and again the rows that the server cannot read are found and dead-lettered,
and all else goes on. Where it can read them all, the batch is cut in two, down to a record.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import Error

from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import (
    BATCHES_SPLIT,
    INSERT_RETRIES,
    INSERT_SECONDS,
    KAFKA_RETRIES,
    LEASES_LOST,
    OFFSETS_MISSING,
)
from services.processor import pipeline
from services.processor.attempt import LONGEST_PAUSE_S, Attempt, pauses
from services.processor.batch import Batch, Record, WrongIndexError
from services.processor.cutting import by_month, by_size
from services.processor.dead_letters import DeadLetters
from services.processor.decode import decode
from services.processor.dedup_index import Partition
from services.processor.isolation import NO_LEASE, refused_rows
from services.processor.lookups import Lookups
from services.processor.memory import shrink
from services.processor.observed import note_batch, note_memory
from services.processor.ownership import Ownership, StoppedError
from services.processor.reactions import (
    LEASE_PASSED,
    Reaction,
    code_of,
    reaction_to,
    told,
)
from services.processor.recovery import Recovery
from services.processor.writer import Writer

log = get_logger()


class Topic(Protocol):
    """What is asked of the topic itself."""

    @property
    def counted_as(self) -> str: ...

    async def first_record(self, number: int, offset: int) -> int: ...


class ReadAgainError(Exception):
    """What was read does not follow what the table holds; only a new take-over helps."""


@dataclass(frozen=True, slots=True)
class Table:
    """What the agent does with ClickHouse."""

    writer: Writer
    recovery: Recovery
    lookups: Lookups

    def speaks_of(self, topic: str, number_of_partitions: int) -> None:
        """By which name the topic's rows go, and how many partitions it has."""
        for part in (self.recovery.rebuild, self.lookups):
            part.topic, part.number_of_partitions = topic, number_of_partitions


class Agent:
    """Owns the memory of the partitions that are assigned to this process.

    `max_bytes`: of that memory; see `memory.shrink`.
    """

    def __init__(
        self,
        topic: Topic,
        table: Table,
        dead_letters: DeadLetters,
        ownership: Ownership,
        max_bytes: int,
    ) -> None:
        self._topic = topic
        self._table = table
        self._dead_letters = dead_letters
        self._ownership = ownership
        self._max_bytes = max_bytes
        self._busy = asyncio.Lock()
        # Empty while a batch is under way, and for good when one was left: records behind it in
        # the table would say that it had been counted.
        self.partitions: dict[int, Partition] = {}
        # Up to which offset each partition is done, at any moment.
        self.done: dict[int, int] = {}
        # Partitions of ours that are not what was counted from: nothing of them is counted.
        self.aside: dict[int, Partition] = {}

    @property
    def waits(self) -> int:
        """How often it has begun to wait for something that it knows: a server, a lease."""
        return self._ownership.waits

    @property
    def steps(self) -> int:
        """How far its recoveries have got."""
        return self._table.recovery.steps

    async def take_over(self, numbers: set[int]) -> None:
        """Recover these partitions, and forget all others. Raises StoppedError when not wanted."""
        async with self._busy:
            self.partitions, self.done, self.aside = {}, {}, {}
            self._ownership.given()
            self.partitions = await self._recover(numbers, {})
            self.done = {number: own.next_offset for number, own in self.partitions.items()}
            self._bound_memory(self.partitions)

    async def set_aside(self, numbers: Iterable[int]) -> None:
        """Count nothing of these partitions, until the next take-over."""
        async with self._busy:
            for number in numbers:
                self.aside[number] = self.partitions.pop(number)
                del self.done[number]

    async def process(self, records: list[Record]) -> None:
        """Count a batch. When this returns, all of it is in the table or in the dead letters.

        Raises StoppedError when it is left to whoever owns the partitions next; what is given to
        this agent after that is left as well, until it takes over again. Raises ReadAgainError when
        it would never be complete: rows behind it would say that all before them were counted.
        """
        async with self._busy:
            partitions, self.partitions = self.partitions, {}
            if any(record.partition not in partitions for record in records):
                raise StoppedError
            await self._check_missing(records, partitions)
            for month in by_month(records):
                for some in by_size(month):
                    await self._count(some, partitions, Attempt(set()))
            self.partitions = partitions

    async def _check_missing(
        self, records: list[Record], partitions: Mapping[int, Partition]
    ) -> None:
        """Records may be missing that Kafka has deleted, never such that it holds."""
        for number, expected, found in _gaps(records, partitions):
            first = await self._patient_first_record(number, expected)
            where = {"partition": number, "first": expected, "last": found - 1}
            self._ownership.check()  # then it is left anyway
            if first < found:
                log.error("offsets.skipped", kafka_holds=first, **where)
                raise ReadAgainError
            log.error("offsets.missing", **where)
            OFFSETS_MISSING.inc(found - expected)

    async def _patient_first_record(self, number: int, offset: int) -> int:
        while True:
            try:
                return await self._topic.first_record(number, offset)
            except KafkaError as error:
                log.warning("offsets.waiting", error=type(error).__name__)
                KAFKA_RETRIES.labels("offsets").inc()
            await self._ownership.pause(LONGEST_PAUSE_S)

    async def _count(
        self, records: Sequence[Record], partitions: dict[int, Partition], attempt: Attempt
    ) -> None:
        """Count these records, as often as it takes; in halves where they are refused together."""
        while True:
            try:
                if attempt.is_in_vain:
                    is_isolated = await self._isolate(records, partitions, attempt)
                    if not is_isolated and len(records) > 1:
                        break
                await self._try(records, partitions, attempt)
            except WrongIndexError:
                log.error("index.mismatch", records=len(records))
                attempt.is_trusting = False
            except Error as error:
                await self._after(error, partitions, attempt)
            else:
                return
        log.error("batch.split", records=len(records))
        BATCHES_SPLIT.inc()
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            await self._count(half, partitions, attempt.anew())

    async def _try(
        self, records: Sequence[Record], partitions: dict[int, Partition], attempt: Attempt
    ) -> None:
        batch = decode(records, partitions, trusting=attempt.is_trusting)
        batch.refuse(attempt.refused)
        await self._table.lookups.look_up(batch)
        pipeline.prepare(batch)
        letters = [one for one in batch.dead_letters if (one.record, one.line) not in attempt.sent]
        await self._dead_letters.send(letters, self._ownership.pause)
        attempt.sent.update((letter.record, letter.line) for letter in letters)
        await self._insert(batch)
        self._remember(records, batch)

    async def _insert(self, batch: Batch) -> None:
        if len(batch):
            numbers = batch.partition_numbers()
            offsets = {number: batch.partitions[number].next_offset for number in numbers}
            lease = await self._ownership.lease(offsets)
            with INSERT_SECONDS.time():
                body = pipeline.body(batch, self._topic.counted_as, lease)
                await self._table.writer.insert(body, numbers)

    async def _isolate(
        self, records: Sequence[Record], partitions: dict[int, Partition], attempt: Attempt
    ) -> bool:
        """Find the lines that ClickHouse cannot read; whether there were any that nobody knew of.

        Duplicates are looked at too: the first of them is as unreadable as the others.
        """
        batch = decode(records, partitions, trusting=attempt.is_trusting)
        batch.refuse(attempt.refused)
        topic = self._topic.counted_as
        rows = pipeline.rows(pipeline.mark_first_of_day(batch), topic, NO_LEASE)

        async def insert(some: Sequence[bytes]) -> None:
            self._ownership.check()
            await self._table.writer.insert([b"\n".join(some)], batch.partition_numbers())

        refused = await refused_rows(rows, insert)
        attempt.refused |= {batch.line(at): what for at, what in refused.items()}
        say = log.warning if refused else log.error
        where = {"partition": records[0].partition, "offset": records[0].offset}
        say("batch.isolated", records=len(records), bad=len(refused), **where)
        return bool(refused)

    async def _after(
        self, error: Error, partitions: dict[int, Partition], attempt: Attempt
    ) -> None:
        """Wait, and find out what a failed attempt has left in the table."""
        reaction = reaction_to(error)
        say = log.error if reaction is Reaction.OPERATOR else log.warning
        say("insert.failed", reaction=reaction.value, error=told(error))
        INSERT_RETRIES.labels(reaction.value).inc()
        if code_of(error) == LEASE_PASSED:
            LEASES_LOST.labels("passed").inc()
        await self._ownership.pause(attempt.failed(error))
        if reaction is not Reaction.RETRY:
            attempt.is_trusting = False  # perhaps it cannot read a line that nobody has looked at
            await self._recover_all(partitions)

    async def _recover_all(self, partitions: dict[int, Partition]) -> None:
        """Recover in the midst of work: all, as ClickHouse may have lost its latest parts."""
        recovered = await self._recover(set(partitions), partitions)
        for number, before in partitions.items():
            last = recovered[number].last_record
            if before.last_record and (not last or last.offset < before.last_record.offset):
                log.error("rows.lost", partition=number, counted_to=before.last_record.offset)
                raise ReadAgainError
        partitions.update(recovered)

    async def _recover(
        self, numbers: set[int], known: Mapping[int, Partition]
    ) -> dict[int, Partition]:
        self._table.lookups.late_days.clear()
        for pause_s in pauses():
            self._ownership.check()
            try:
                return await self._table.recovery.recover(numbers, known) if numbers else {}
            except Error as error:
                is_operators = reaction_to(error) is Reaction.OPERATOR
                say = log.error if is_operators else log.warning
                say("recovery.waiting", error=told(error))
                INSERT_RETRIES.labels(Reaction.OPERATOR if is_operators else "wait").inc()
            await self._ownership.pause(pause_s)
        raise AssertionError

    def _remember(self, records: Sequence[Record], batch: Batch) -> None:
        pipeline.remember(batch)
        self._table.lookups.late_days.learn(batch)
        self._dead_letters.counted(len(batch))
        for record in records:
            partition = batch.partitions[record.partition]
            partition.next_offset = max(partition.next_offset, record.offset + 1)
            self.done[record.partition] = partition.next_offset
        self._bound_memory(batch.partitions)
        note_batch(len(records), batch, time.time())

    def _bound_memory(self, partitions: Mapping[int, Partition]) -> None:
        shrink(partitions.values(), self._max_bytes)
        note_memory(partitions.values(), self._max_bytes)


def _gaps(
    records: Sequence[Record], partitions: Mapping[int, Partition]
) -> Iterator[tuple[int, int, int]]:
    """Where offsets are left out: the partition, the offset expected there, the one found."""
    expected = {number: partition.next_offset for number, partition in partitions.items()}
    for record in records:
        if record.offset > expected[record.partition]:
            yield record.partition, expected[record.partition], record.offset
        expected[record.partition] = max(expected[record.partition], record.offset + 1)
