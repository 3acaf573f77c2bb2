"""What the owner of a partition does before its first insert, and after one of unknown outcome.

1. Wait until nobody else can insert into the partition any more: leases have passed, and inserts
   that had begun are ended or done.
2. Mend the rollups where they do not hold what the raw table holds.
3. Find the last record in the table: reading goes on right after it.
4. Rebuild the memory of ids and conversations.

All of it is a function of the table `events`, which is the only state.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.kafka.last_record import LastRecord
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import RECOVERIES, RECOVERY_SECONDS, ROLLUPS_MENDED
from services.processor.dedup_index import Partition
from services.processor.ownership import Ownership
from services.processor.rebuild import Rebuild
from services.processor.statements import statement
from services.processor.writer import INSERT_SETTINGS, tag, tags_of

# Events reach back 32 days of their record's (window.OLDEST), and that may have lain in Kafka for
# the topic's retention, a week by default. Older days of a partition are settled.
_DAYS_TO_MEND = 45
_POLL_S = 0.2

_RUNNING_INSERTS = statement("running_inserts")
_DIFFERING_DAYS = statement("differing_days")
_MEND_DAYS = statement("mend_days")
_MEND_SOURCES = statement("mend_sources")
_LAST_OFFSETS = statement("last_offsets")
_TIME = statement("server_time")
# KILL takes no parameters; the tags are numbers of ours.
END_INSERTS = (
    "KILL QUERY WHERE current_database = currentDatabase()"
    " AND match(Settings['log_comment'], '{tags}') ASYNC"
)

log = get_logger()


class Recovery:
    """Recovers partitions of a topic from the table. `now` gives the UTC time."""

    def __init__(
        self, client: AsyncClient, topic: str, ownership: Ownership, now: Callable[[], datetime]
    ) -> None:
        self.rebuild = Rebuild(client, topic, now)
        self._client = client
        self._ownership = ownership
        self._now = now
        self._steps = 0

    @property
    def steps(self) -> int:
        """How far recoveries have got: it grows with each answer of ClickHouse to one."""
        return self._steps + self.rebuild.steps

    async def recover(
        self, numbers: set[int], known: Mapping[int, Partition] | None = None
    ) -> dict[int, Partition]:
        """What the owner of these partitions must know.

        `known`: what it knew before an insert of unknown outcome; where the table ends as it did
        then, that still holds, and is not read again.
        Raises the driver's `Error`, or StoppedError when they are not wanted any more.
        """
        started = time.monotonic()
        partitions = sorted(numbers)
        await self._ownership.wait_for_others()
        await self._end_inserts(partitions)
        last = await self._last_records(partitions)
        offsets = {number: last[number].offset + 1 if number in last else 0 for number in numbers}
        mended = await self._mend(partitions, offsets)
        kept = _unchanged(known or {}, last)
        rebuilt = await self.rebuild.partitions(numbers - kept.keys(), last)
        RECOVERIES.inc(len(numbers))
        RECOVERY_SECONDS.observe(time.monotonic() - started)
        log.info(
            "recovery.done",
            partitions=partitions,
            kept=len(kept),
            ids=sum(len(partition.ids) for partition in rebuilt.values()),
            mended_days=mended,
            seconds=round(time.monotonic() - started, 3),
        )
        return rebuilt | kept

    async def _last_records(self, partitions: list[int]) -> dict[int, LastRecord]:
        """The last record of each partition that has any row of this topic."""
        result = await self._client.query(
            _LAST_OFFSETS, parameters={"topic": self.rebuild.topic, "partitions": partitions}
        )
        self._steps += 1
        return {kp: LastRecord(ko, appended_ms) for kp, ko, appended_ms in result.result_rows}

    async def _end_inserts(self, partitions: list[int]) -> None:
        # Whoever began them: an owner before us, or we ourselves and gave up waiting.
        tags = tags_of(partitions)
        kill = END_INSERTS.replace("{tags}", tags)
        while True:
            result = await self._client.query(_RUNNING_INSERTS, parameters={"tags": tags})
            self._ownership.server_time(await self._server_time())
            running = result.result_rows[0][0]
            if not running:
                return
            log.warning("recovery.ending_inserts", running=running)
            await self._client.command(kill)
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
                self._steps += 1
            # A statement that began too late has mended nothing, and says no word: look again.
            await self._ownership.pause(_POLL_S)
        ROLLUPS_MENDED.inc(mended)
        await self._client.command(
            _MEND_SOURCES, parameters={"partitions": partitions}, settings=INSERT_SETTINGS
        )
        self._steps += 1
        return mended

    async def _differing_days(self, partitions: list[int]) -> Sequence[Sequence[Any]]:
        since = (self._now() - timedelta(days=_DAYS_TO_MEND)).date()
        result = await self._client.query(
            _DIFFERING_DAYS, parameters={"partitions": partitions, "since": since}
        )
        self._steps += 1
        return result.result_rows


def _unchanged(
    known: Mapping[int, Partition], last: Mapping[int, LastRecord]
) -> dict[int, Partition]:
    """Those whose last row in the table is the last one that is remembered."""
    return {
        number: partition
        for number, partition in known.items()
        if partition.last_record is not None
        and number in last
        and partition.last_record.offset == last[number].offset
    }


def utc_now() -> datetime:
    """The clock of the running service."""
    return datetime.now(UTC)
