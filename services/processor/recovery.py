"""What the owner of a partition does before its first insert, and after one of unknown outcome.

1. Wait until no other writer can insert into the partition any more (leases).
2. Mend the rollup where it does not hold what the raw table holds.
3. Find the last record in the table: reading goes on right after it.
4. Rebuild the memory of ids and conversations.

All of it is a function of the table `events`, which is the only state.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import MENDED_DAYS, RECOVERIES
from services.processor.memory import (
    BUCKET_MS,
    NO_CHECKS,
    WINDOW_MS,
    HashRuns,
    Partition,
    SeenConversations,
    SeenIds,
)
from services.processor.writer import statement

# Events reach back 30 days and may lie a while in Kafka; older days of a partition are settled.
_DAYS_TO_MEND = 35

_IDS_ROW = np.dtype([("partition", "<u2"), ("hash", "<u8")])
_CONVERSATIONS_ROW = np.dtype(
    [("partition", "<u2"), ("day", "<u2"), ("hash", "<u8"), ("check", "<u8")]
)
_EPOCH = date(1970, 1, 1)

_LEASES = statement("leases")
_DIFFERING_DAYS = statement("differing_days")
_MEND_DAYS = statement("mend_days")
_LAST_OFFSETS = statement("last_offsets")
_WINDOW_IDS = statement("window_ids")
_RECENT_CONVERSATIONS = statement("recent_conversations")

log = get_logger()


class Recovery:
    """Recovers partitions from the table. `now` gives the UTC time."""

    def __init__(self, client: AsyncClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now

    async def recover(self, numbers: set[int]) -> dict[int, Partition]:
        """What the owner of these partitions must know. Raises the driver's `Error`."""
        started = time.monotonic()
        await self._wait_for_leases(numbers)
        mended = [await self._mend(number) for number in sorted(numbers)]
        offsets = await self._next_offsets(numbers)
        ids = await self._ids(numbers)
        conversations = await self._conversations(numbers)
        RECOVERIES.inc(len(numbers))
        log.info(
            "recovery.done",
            partitions=sorted(numbers),
            ids=sum(map(len, ids.values())),
            mended_days=sum(mended),
            seconds=round(time.monotonic() - started, 3),
        )
        return {
            number: Partition(number, offsets[number], ids[number], conversations[number])
            for number in numbers
        }

    async def _wait_for_leases(self, numbers: set[int]) -> None:
        # A writer that lost these partitions may still be sending; after its lease it is refused.
        result = await self._client.query(_LEASES, parameters={"partitions": sorted(numbers)})
        remaining_s = float(result.result_rows[0][0])
        if remaining_s > 0:
            log.info("recovery.waiting_for_leases", seconds=remaining_s)
            await asyncio.sleep(remaining_s)

    async def _mend(self, number: int) -> int:
        since = (self._now() - timedelta(days=_DAYS_TO_MEND)).date()
        result = await self._client.query(
            _DIFFERING_DAYS, parameters={"partition": number, "since": since}
        )
        for project, is_live, day in result.result_rows:
            log.warning("recovery.mending", partition=number, day=str(day), is_live=is_live)
            await self._client.command(
                _MEND_DAYS,
                parameters={
                    "partition": number,
                    "project": project,
                    "is_live": is_live,
                    "day": day,
                },
                settings={"async_insert": 0, "deduplicate_insert": "disable"},
            )
            MENDED_DAYS.inc()
        return len(result.result_rows)

    async def _next_offsets(self, numbers: set[int]) -> dict[int, int]:
        result = await self._client.query(_LAST_OFFSETS, parameters={"partitions": sorted(numbers)})
        return dict.fromkeys(numbers, 0) | {kp: last + 1 for kp, last in result.result_rows}

    async def _ids(self, numbers: set[int]) -> dict[int, SeenIds]:
        ids = {number: SeenIds() for number in numbers}
        now_ms = round(self._now().timestamp() * 1000)
        for bucket in _buckets(now_ms):
            raw = await self._client.raw_query(
                _WINDOW_IDS,
                parameters={
                    "partitions": sorted(numbers),
                    "from_ms": bucket * BUCKET_MS,
                    "to_ms": (bucket + 1) * BUCKET_MS,
                },
                fmt="RowBinary",
            )
            rows = np.frombuffer(raw, dtype=_IDS_ROW)
            for number in numbers:
                hashes = rows["hash"][rows["partition"] == number]
                if len(hashes):
                    ids[number].buckets[bucket] = HashRuns()
                    ids[number].buckets[bucket].add(hashes, NO_CHECKS)
        return ids

    async def _conversations(self, numbers: set[int]) -> dict[int, SeenConversations]:
        yesterday = self._now().date() - timedelta(days=1)
        raw = await self._client.raw_query(
            _RECENT_CONVERSATIONS,
            parameters={"partitions": sorted(numbers), "since": yesterday},
            fmt="RowBinary",
        )
        rows = np.frombuffer(raw, dtype=_CONVERSATIONS_ROW)
        found = {number: SeenConversations(complete_from=yesterday) for number in numbers}
        for number in numbers:
            own = rows[rows["partition"] == number]
            for day in np.unique(own["day"]):
                these = own[own["day"] == day]
                found[number].add(_EPOCH + timedelta(days=int(day)), these["hash"], these["check"])
        return found


def _buckets(now_ms: int) -> Iterator[int]:
    """The buckets of append time that the window touches, and one for a clock behind Kafka's."""
    return iter(range((now_ms - WINDOW_MS) // BUCKET_MS, now_ms // BUCKET_MS + 2))


def utc_now() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)
