"""What the owner of a partition does before its first insert, and after one of unknown outcome.

1. Wait until nobody else can insert into the partition any more: leases have passed, and inserts
   that had begun are ended or done. In a cluster, let its replicas catch up (servers.py).
2. Mend the rollups where they do not hold what the raw table holds.
3. Find the last record in the table: reading goes on right after it.
4. Rebuild the memory of ids and conversations.

All of it is a function of the table `events`, which is the only state.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from clickhouse_connect.driver.asyncclient import AsyncClient
from numpy.typing import NDArray

from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import RECOVERIES, RECOVERY_SECONDS, ROLLUPS_MENDED
from services.processor.memory import (
    BUCKET_MS,
    NO_CHECKS,
    WINDOW_MS,
    Hashes,
    HashRuns,
    LastRecord,
    Partition,
    SeenConversations,
    SeenIds,
)
from services.processor.ownership import Ownership
from services.processor.servers import catch_up, kill_inserts, prepare, running_inserts
from services.processor.writer import INSERT_SETTINGS, statement, tag, tags_of

# Events reach back 32 days of their record's (window.OLDEST), and that may have lain in Kafka for
# the topic's retention, a week by default. Older days of a partition are settled.
_DAYS_TO_MEND = 45
_POLL_S = 0.2
_PORTION_BYTES = 1 << 22
_OTHER_TOPICS = 65_535  # in last_appended.sql

_IDS_ROW = np.dtype([("partition", "<u2"), ("bucket", "<u4"), ("hash", "<u8")])
_CONVERSATIONS_ROW = np.dtype(
    [("partition", "<u2"), ("day", "<u2"), ("hash", "<u8"), ("check", "<u8")]
)
_EPOCH = date(1970, 1, 1)

_RUNNING_INSERTS = statement("running_inserts")
_DIFFERING_DAYS = statement("differing_days")
_MEND_DAYS = statement("mend_days")
_MEND_SOURCES = statement("mend_sources")
_LAST_OFFSETS = statement("last_offsets")
_LAST_APPENDED = statement("last_appended")
_WINDOW_IDS = statement("window_ids")
_RECENT_CONVERSATIONS = statement("recent_conversations")
_TIME = "SELECT toUnixTimestamp64Micro(now64(6, 'UTC'))"

log = get_logger()


class Recovery:
    """Recovers partitions of a topic from the table. `now` gives the UTC time.

    `cluster`: its name, where ClickHouse is several servers.
    """

    def __init__(
        self,
        client: AsyncClient,
        topic: str,
        ownership: Ownership,
        now: Callable[[], datetime],
        cluster: str = "",
    ) -> None:
        # How many partitions the topic has: says where the conversations of an older topic go.
        self.number_of_partitions = 1
        self._client = client
        self._topic = topic
        self._ownership = ownership
        self._now = now
        self._cluster = cluster

    async def recover(self, numbers: set[int]) -> dict[int, Partition]:
        """What the owner of these partitions must know.

        Raises the driver's `Error`, or StoppedError when they are not wanted any more.
        """
        started = time.monotonic()
        partitions = sorted(numbers)
        await self._ownership.wait_for_others()
        if self._cluster:
            await prepare(self._client, self._cluster)
        await self._end_inserts(partitions)
        if self._cluster:
            await catch_up(self._client, self._cluster)
        last = await self._last_records(partitions)
        offsets = {number: last[number].offset + 1 if number in last else 0 for number in numbers}
        mended = await self._mend(partitions, offsets)
        ids = await self._ids(partitions)
        conversations = await self._conversations(partitions)
        RECOVERIES.inc(len(numbers))
        RECOVERY_SECONDS.observe(time.monotonic() - started)
        log.info(
            "recovery.done",
            partitions=partitions,
            ids=sum(map(len, ids.values())),
            mended_days=mended,
            seconds=round(time.monotonic() - started, 3),
        )
        return {
            number: Partition(
                number, offsets[number], ids[number], conversations[number], last.get(number)
            )
            for number in numbers
        }

    async def _last_records(self, partitions: list[int]) -> dict[int, LastRecord]:
        """The last record of each partition that has any row of this topic."""
        result = await self._client.query(
            _LAST_OFFSETS, parameters={"topic": self._topic, "partitions": partitions}
        )
        return {kp: LastRecord(ko, appended_ms) for kp, ko, appended_ms in result.result_rows}

    async def _end_inserts(self, partitions: list[int]) -> None:
        # Whoever began them: an owner before us, or we ourselves and gave up waiting.
        tags = tags_of(partitions)
        running_now = running_inserts(_RUNNING_INSERTS, self._cluster)
        while True:
            result = await self._client.query(running_now, parameters={"tags": tags})
            self._ownership.server_time(await self._server_time())
            running = result.result_rows[0][0]
            if not running:
                return
            log.warning("recovery.ending_inserts", running=running)
            await self._client.command(kill_inserts(tags, self._cluster))
            await self._ownership.pause(_POLL_S)

    async def _server_time(self) -> float:
        result = await self._client.query(_TIME)
        return float(result.result_rows[0][0]) / 1e6

    async def _mend(self, partitions: list[int], offsets: dict[int, int]) -> int:
        mended = 0
        while differing := await self._differing_days(partitions):
            for number, project, is_live, day in differing:
                log.warning("recovery.mending", partition=number, day=str(day), is_live=is_live)
                lease = await self._ownership.lease({number: offsets[number]})
                await self._client.command(
                    _MEND_DAYS,
                    parameters={
                        "partition": number,
                        "project": project,
                        "is_live": is_live,
                        "day": day,
                        "lease_ms": round(lease.timestamp() * 1000),
                    },
                    settings=INSERT_SETTINGS | tag([number]),
                )
                mended += 1
            # A statement that began too late has mended nothing, and says no word: look again.
            await self._ownership.pause(_POLL_S)
        ROLLUPS_MENDED.inc(mended)
        await self._client.command(
            _MEND_SOURCES, parameters={"partitions": partitions}, settings=INSERT_SETTINGS
        )
        return mended

    async def _differing_days(self, partitions: list[int]) -> Sequence[Sequence[Any]]:
        since = (self._now() - timedelta(days=_DAYS_TO_MEND)).date()
        result = await self._client.query(
            _DIFFERING_DAYS, parameters={"partitions": partitions, "since": since}
        )
        return result.result_rows

    async def _ids(self, partitions: list[int]) -> dict[int, SeenIds]:
        result = await self._client.query(_LAST_APPENDED, parameters={"topic": self._topic})
        last_ms = {int(partition): int(at_ms) for partition, at_ms in result.result_rows}
        others_ms = last_ms.get(_OTHER_TOPICS)
        since = {
            number: at_ms - WINDOW_MS
            for number in partitions
            if (at_ms := last_ms.get(number, others_ms)) is not None
        }
        found: defaultdict[tuple[int, int], list[Hashes]] = defaultdict(list)
        if since:
            async for rows in self._window_ids(since):
                for key, hashes in _by_bucket(rows):
                    found[key].append(hashes)
        ids = {number: SeenIds() for number in partitions}
        while found:  # one by one, so that no more than one bucket is there twice
            (number, bucket), portions = found.popitem()
            runs = ids[number].buckets[bucket] = HashRuns()
            runs.add(np.concatenate(portions), NO_CHECKS)
        return ids

    async def _window_ids(self, since: dict[int, int]) -> AsyncIterator[NDArray[Any]]:
        stream = await self._client.raw_stream(
            _WINDOW_IDS,
            parameters={
                "partitions": list(since),
                "since_ms": list(since.values()),
                "earliest_ms": min(since.values()),
                "bucket_ms": BUCKET_MS,
                **self._mapping(),
            },
            fmt="RowBinary",
        )
        pending = bytearray()
        async with stream as chunks:
            async for chunk in chunks:
                pending += chunk
                if len(pending) >= _PORTION_BYTES:
                    whole = len(pending) - len(pending) % _IDS_ROW.itemsize
                    yield np.frombuffer(bytes(pending[:whole]), dtype=_IDS_ROW)
                    del pending[:whole]
        yield np.frombuffer(bytes(pending), dtype=_IDS_ROW)

    def _mapping(self) -> dict[str, str | int]:
        return {"topic": self._topic, "number_of_partitions": self.number_of_partitions}

    async def _conversations(self, partitions: list[int]) -> dict[int, SeenConversations]:
        yesterday = self._now().date() - timedelta(days=1)
        raw = await self._client.raw_query(
            _RECENT_CONVERSATIONS,
            parameters={"partitions": partitions, "since": yesterday, **self._mapping()},
            fmt="RowBinary",
        )
        rows = np.frombuffer(raw, dtype=_CONVERSATIONS_ROW)
        found = {number: SeenConversations(complete_from=yesterday) for number in partitions}
        for number in partitions:
            own = rows[rows["partition"] == number]
            for day in np.unique(own["day"]):
                these = own[own["day"] == day]
                found[number].add(_EPOCH + timedelta(days=int(day)), these["hash"], these["check"])
        return found


def _by_bucket(rows: NDArray[Any]) -> list[tuple[tuple[int, int], Hashes]]:
    """The hashes of some rows of ids, by partition and bucket."""
    keys = rows["partition"].astype(np.uint64) << np.uint64(32) | rows["bucket"]
    return [
        ((int(key) >> 32, int(key) & 0xFFFFFFFF), rows["hash"][keys == key])
        for key in np.unique(keys)
    ]


def utc_now() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)
