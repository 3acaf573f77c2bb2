"""The loop edge: takes batches of records to the table, whatever ClickHouse does meanwhile.

An insert that failed has an unknown outcome and is never repeated blindly: its partitions are
recovered, which tells what arrived, and the batch goes through the pipeline again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import (
    BATCH_EVENTS,
    EVENTS_COUNTED,
    EVENTS_REPEATED,
    INSERT_RETRIES,
    INSERT_SECONDS,
    MEMORY_IDS,
    RECORDS_SKIPPED,
    VISIBLE_SECONDS,
)
from services.processor import pipeline
from services.processor.dead_letters import DeadLetters
from services.processor.memory import Partition
from services.processor.pipeline import Batch, Known, Record
from services.processor.recovery import Recovery
from services.processor.writer import Writer

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0

log = get_logger()


class StoppedError(Exception):
    """The service stops while it waits for ClickHouse; the batch stays unacknowledged."""


class Agent:
    """Owns the memory of the partitions that are assigned to this process."""

    def __init__(
        self,
        writer: Writer,
        recovery: Recovery,
        dead_letters: DeadLetters,
        lease: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._writer = writer
        self._recovery = recovery
        self._dead_letters = dead_letters
        self._lease = lease
        self._now = now
        self._stopped = False
        self.partitions: dict[int, Partition] = {}

    async def take_over(self, numbers: set[int], still_wanted: Callable[[], bool]) -> None:
        """Recover these partitions, and forget all others. Raises StoppedError when not wanted."""
        self.partitions = {}
        self.partitions = await self._recover(numbers, still_wanted)

    async def process(self, records: list[Record], still_wanted: Callable[[], bool]) -> None:
        """Count a batch. When this returns, all of it is in the table or in the dead letters.

        Once a batch could not be finished no other is begun: records behind it in the table would
        say that it had been counted.
        """
        if self._stopped or any(record.partition not in self.partitions for record in records):
            raise StoppedError
        self._stopped = True
        for month in by_month(records):
            await self._process(month, still_wanted)
        self._stopped = False

    async def _process(self, records: list[Record], still_wanted: Callable[[], bool]) -> None:
        while True:
            try:
                batch = await self._prepare(records)
                await self._dead_letters.send(batch.dead_letters)
                await self._insert(batch)
            except Error as error:
                log.warning("insert.outcome_unknown", error=first_line(error))
                INSERT_RETRIES.labels("recover").inc()
                numbers = {record.partition for record in records}
                self.partitions.update(await self._recover(numbers, still_wanted))
            else:
                self._remember(records, batch)
                return

    async def _prepare(self, records: list[Record]) -> Batch:
        batch = pipeline.decode(records, self.partitions)
        known = Known(
            counted_at_ms=await self._writer.counted_ids(pipeline.suspects(batch)),
            conversations=await self._writer.counted_conversations(
                pipeline.old_conversations(batch)
            ),
        )
        return pipeline.prepare(batch, known)

    async def _insert(self, batch: Batch) -> None:
        if batch.rows:
            with INSERT_SECONDS.time():
                await self._writer.insert(pipeline.body(batch.rows, self._now() + self._lease))

    def _remember(self, records: list[Record], batch: Batch) -> None:
        pipeline.remember(batch)
        for record in records:
            partition = self.partitions[record.partition]
            partition.next_offset = max(partition.next_offset, record.offset + 1)
        EVENTS_COUNTED.inc(len(batch.entries))
        EVENTS_REPEATED.inc(batch.repeated)
        RECORDS_SKIPPED.inc(batch.skipped)
        BATCH_EVENTS.observe(len(batch.entries))
        MEMORY_IDS.set(sum(len(partition.ids) for partition in self.partitions.values()))
        if batch.entries:
            oldest_ms = min(entry.record.appended_at_ms for entry in batch.entries)
            VISIBLE_SECONDS.observe(max(0.0, time.time() - oldest_ms / 1000))
        log.debug("batch.counted", events=len(batch.entries), repeated=batch.repeated)

    async def _recover(
        self, numbers: set[int], still_wanted: Callable[[], bool]
    ) -> dict[int, Partition]:
        pause_s = _FIRST_PAUSE_S
        while still_wanted():
            try:
                return await self._recovery.recover(numbers) if numbers else {}
            except Error as error:
                log.warning("recovery.waiting", error=first_line(error))
                INSERT_RETRIES.labels("wait").inc()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise StoppedError


def by_month(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Batches whose records were appended in one month: one partition of the table, one part.

    Earlier months come first, so that a partition's records stay in the order of their offsets.
    """

    def month(record: Record) -> tuple[int, int]:
        appended_at = datetime.fromtimestamp(record.appended_at_ms / 1000, UTC)
        return appended_at.year, appended_at.month

    for _, some in groupby(sorted(records, key=month), key=month):
        yield list(some)
