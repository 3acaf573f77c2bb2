"""The loop edge: takes batches of records to the table, whatever ClickHouse does meanwhile.

An insert that failed has, as a rule, an unknown outcome and is never repeated blindly: its
partitions are recovered, which tells what arrived, and the batch goes through the pipeline again.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Protocol

from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import (
    BATCH_EVENTS,
    EVENTS_COUNTED,
    EVENTS_REPEATED,
    INSERT_RETRIES,
    INSERT_SECONDS,
    LEASES_LOST,
    MEMORY_IDS,
    OFFSETS_MISSING,
    RECORDS_SKIPPED,
    VISIBLE_SECONDS,
)
from services.processor import pipeline
from services.processor.batch import Batch, Known, Record, WrongDigestError
from services.processor.dead_letters import DeadLetters
from services.processor.decode import decode
from services.processor.memory import Partition
from services.processor.ownership import Ownership, StoppedError
from services.processor.reactions import LEASE_PASSED, Reaction, reaction_to
from services.processor.recovery import Recovery
from services.processor.writer import Writer

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
# Of values in an insert: enough for 50,000 events, where a larger insert gains nothing any more.
_INSERT_BYTES = 16 * 1024 * 1024

log = get_logger()


class Topic(Protocol):
    """What is asked of the topic itself."""

    @property
    def name(self) -> str: ...

    async def first_record(self, number: int, offset: int) -> int: ...


class ReadAgainError(Exception):
    """What was read does not follow what the table holds; only a new take-over helps."""


class Agent:
    """Owns the memory of the partitions that are assigned to this process."""

    def __init__(
        self,
        topic: Topic,
        writer: Writer,
        recovery: Recovery,
        dead_letters: DeadLetters,
        ownership: Ownership,
    ) -> None:
        self._topic = topic
        self._writer = writer
        self._recovery = recovery
        self._dead_letters = dead_letters
        self._ownership = ownership
        self._busy = asyncio.Lock()
        # Empty while a batch is under way, and for good when one was left: records behind it in
        # the table would say that it had been counted.
        self.partitions: dict[int, Partition] = {}
        # Up to which offset each partition is done, at any moment.
        self.done: dict[int, int] = {}

    @property
    def waits(self) -> int:
        """How often it has begun to wait for something that it knows: a server, a lease."""
        return self._ownership.waits

    async def take_over(self, numbers: set[int]) -> None:
        """Recover these partitions, and forget all others. Raises StoppedError when not wanted."""
        async with self._busy:
            self.partitions, self.done = {}, {}
            self._ownership.given()
            self.partitions = await self._recover(numbers)
            self.done = {number: own.next_offset for number, own in self.partitions.items()}

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
                    await self._process(some, partitions)
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
            await self._ownership.pause(_LONGEST_PAUSE_S)

    async def _recover_all(self, partitions: dict[int, Partition]) -> None:
        """Recover in the midst of work: all, as ClickHouse may have lost its latest parts."""
        recovered = await self._recover(set(partitions))
        for number, before in partitions.items():
            last = recovered[number].last_record
            if before.last_record and (not last or last.offset < before.last_record.offset):
                log.error("rows.lost", partition=number, counted_to=before.last_record.offset)
                raise ReadAgainError
        partitions.update(recovered)

    async def _process(self, records: list[Record], partitions: dict[int, Partition]) -> None:
        pauses = _pauses()
        sent: set[tuple[Record, int | None]] = set()
        trusting = True
        while True:
            try:
                batch = await self._prepare(records, partitions, trusting=trusting)
                letters = [one for one in batch.dead_letters if (one.record, one.line) not in sent]
                await self._dead_letters.send(letters, self._ownership.pause)
                sent.update((letter.record, letter.line) for letter in letters)
                await self._insert(batch)
            except WrongDigestError:
                log.error("digest.wrong", records=len(records))
                trusting = False
            except Error as error:
                if await self._must_recover(error, next(pauses)):
                    trusting = False  # perhaps it cannot read a line that nobody has looked at
                    await self._recover_all(partitions)
            else:
                self._remember(records, batch)
                return

    async def _must_recover(self, error: Error, pause_s: float) -> bool:
        reaction = reaction_to(error)
        say = log.error if reaction is Reaction.OPERATOR else log.warning
        say("insert.failed", reaction=reaction.value, error=first_line(error))
        INSERT_RETRIES.labels(reaction.value).inc()
        if getattr(error, "code", None) == LEASE_PASSED:
            LEASES_LOST.labels("passed").inc()
        if reaction is not Reaction.RECOVER:
            await self._ownership.pause(pause_s)
        return reaction is not Reaction.RETRY

    async def _prepare(
        self, records: list[Record], partitions: dict[int, Partition], *, trusting: bool
    ) -> Batch:
        batch = decode(records, partitions, trusting=trusting)
        known = Known(
            counted_at_ms=await self._writer.counted_ids(pipeline.suspects(batch)),
            conversations=await self._writer.counted_conversations(
                pipeline.old_conversations(batch)
            ),
        )
        return pipeline.prepare(batch, known)

    async def _insert(self, batch: Batch) -> None:
        if len(batch):
            numbers = batch.partition_numbers()
            offsets = {number: batch.partitions[number].next_offset for number in numbers}
            lease = await self._ownership.lease(offsets)
            with INSERT_SECONDS.time():
                body = pipeline.body(batch, self._topic.name, lease)
                await self._writer.insert(body, numbers)

    def _remember(self, records: list[Record], batch: Batch) -> None:
        pipeline.remember(batch)
        self._dead_letters.counted(len(batch))
        for record in records:
            partition = batch.partitions[record.partition]
            partition.next_offset = max(partition.next_offset, record.offset + 1)
            self.done[record.partition] = partition.next_offset
        EVENTS_COUNTED.inc(len(batch))
        EVENTS_REPEATED.inc(batch.repeated)
        RECORDS_SKIPPED.inc(batch.skipped)
        BATCH_EVENTS.observe(len(batch))
        MEMORY_IDS.set(sum(len(partition.ids) for partition in batch.partitions.values()))
        oldest_ms = min((record.appended_at_ms for record in batch.records), default=None)
        age_s = None if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
        if age_s is not None and len(batch):
            VISIBLE_SECONDS.observe(age_s)
        log.info(
            "batch.counted",
            records=len(records),
            events=len(batch),
            repeated=batch.repeated,
            skipped=batch.skipped,
            dead_letters=len(batch.dead_letters),
            age_ms=None if age_s is None else round(age_s * 1000),
        )

    async def _recover(self, numbers: set[int]) -> dict[int, Partition]:
        for pause_s in _pauses():
            self._ownership.check()
            try:
                return await self._recovery.recover(numbers) if numbers else {}
            except Error as error:
                is_operators = reaction_to(error) is Reaction.OPERATOR
                say = log.error if is_operators else log.warning
                say("recovery.waiting", error=first_line(error))
                INSERT_RETRIES.labels(Reaction.OPERATOR if is_operators else "wait").inc()
            await self._ownership.pause(pause_s)
        raise AssertionError


def _pauses() -> Iterator[float]:
    """Longer and longer, up to a bound."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _gaps(
    records: list[Record], partitions: Mapping[int, Partition]
) -> Iterator[tuple[int, int, int]]:
    """Where offsets are left out: the partition, the offset expected there, the one found."""
    expected = {number: partition.next_offset for number, partition in partitions.items()}
    for record in records:
        if record.offset > expected[record.partition]:
            yield record.partition, expected[record.partition], record.offset
        expected[record.partition] = max(expected[record.partition], record.offset + 1)


def by_month(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Batches whose records were appended in one month: one partition of the table, one part.

    The records of a partition stay in the order of their offsets, even where the broker's clock was
    set back at the turn of a month: what is offered behind a later offset would be skipped.
    """
    batches: defaultdict[tuple[int, tuple[int, int]], list[Record]] = defaultdict(list)
    rounds: dict[int, tuple[int, tuple[int, int]]] = {}  # another one where the clock was set back
    for record in records:
        appended_at = datetime.fromtimestamp(record.appended_at_ms / 1000, UTC)
        month = appended_at.year, appended_at.month
        number, before = rounds.get(record.partition, (0, month))
        rounds[record.partition] = (number + (month < before), month)
        batches[rounds[record.partition]].append(record)
    for _, batch in sorted(batches.items()):
        yield batch


def by_size(records: list[Record]) -> Iterator[list[Record]]:
    """Batches of a bearable size, in order: a backlog of large records must not fill the memory."""
    batch: list[Record] = []
    size_bytes = 0
    for record in records:
        batch.append(record)
        size_bytes += len(record.value or b"")
        if size_bytes >= _INSERT_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
