"""When each key was used last, and what became of its requests; for `ragtime keys list` and
`activity`. Written each minute, never by a request.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.telemetry.logs import get_logger

_INTERVAL_S = 60.0
_WRITE_TIMEOUT_S = 5.0
_LINES_AT_ONCE = 500
_ACTIVITY = """
SELECT a.key_id, any(k.project_id), any(k.label), sum(a.requests), sum(a.refused), sum(a.limited),
    sum(a.failed), sum(a.rejected_events)
FROM key_activity AS a
LEFT JOIN (SELECT id, project_id, label FROM api_keys FINAL) AS k ON k.id = a.key_id
WHERE a.hour >= toStartOfHour(now('UTC')) - toIntervalHour({hours:UInt32} - 1)
    AND ({project_id:String} = '' OR k.project_id = {project_id:String})
GROUP BY a.key_id
ORDER BY sum(a.refused) + sum(a.limited) + sum(a.failed) + sum(a.rejected_events) DESC, a.key_id
"""
_SELECT = "SELECT key_id, toUnixTimestamp64Milli(max(used_at)) FROM key_uses GROUP BY key_id"

INSERT_SETTINGS = {"async_insert": 0}  # it says "done" only when it is

_TOO_MANY, _ERRORS_OF_THEIRS, _ERRORS_OF_OURS = 429, 400, 500

Row = Mapping[str, object]

log = get_logger()


@dataclass(slots=True)
class Activity:
    """What became of a key's requests. `rejected_events`: in requests of any answer."""

    requests: int = 0
    refused: int = 0
    limited: int = 0
    failed: int = 0
    rejected_events: int = 0

    def add(self, status: int, rejected_events: int) -> None:
        """One more was answered so."""
        self.requests += 1
        self.rejected_events += rejected_events
        if status == _TOO_MANY:
            self.limited += 1
        elif status >= _ERRORS_OF_OURS:
            self.failed += 1
        elif status >= _ERRORS_OF_THEIRS:
            self.refused += 1


class KeyUses:
    """Notes uses in memory; `run` writes them. A process that ends forgets its last minute."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._noted: dict[str, datetime] = {}
        self._activity: dict[str, Activity] = {}

    def note(self, key_id: str, now: datetime) -> None:
        """A key was shown and is good."""
        self._noted[key_id] = now

    def answered(self, key_id: str, status: int, rejected_events: int) -> None:
        """A request of a key was answered with this status, some of its events refused."""
        activity = self._activity.get(key_id)
        if activity is None:
            activity = self._activity[key_id] = Activity()
        activity.add(status, rejected_events)

    async def run(self, client: AsyncClient, service: str) -> None:
        """Write what was noted since the last time, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            noted, self._noted = self._noted, {}
            if noted and not await _is_written("key_uses", write_uses(client, noted)):
                self._noted = noted | self._noted
            activity, self._activity = self._activity, {}
            if activity:  # what cannot be written is forgotten: perhaps it was written all the same
                writing = write_activity(client, service, activity, datetime.now(UTC))
                await _is_written("key_activity", writing)


async def _is_written(table: str, writing: Awaitable[None]) -> bool:
    """A service that may not write still serves: only the lists lack the uses then."""
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await writing
    except (Error, OSError, TimeoutError) as error:
        log.warning("keys.uses_not_written", table=table, error=first_line(error))
        return False
    return True


async def write_uses(client: AsyncClient, uses: Mapping[str, datetime]) -> None:
    """Add these uses. The driver may send them twice: the latest of a key counts."""
    rows = (
        {"key_id": key_id, "used_at": f"{used_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]}
        for key_id, used_at in uses.items()
    )
    await _write(client, "key_uses", rows)


async def write_activity(
    client: AsyncClient, service: str, activity: Mapping[str, Activity], now: datetime
) -> None:
    """Add what became of keys' requests. The driver may send it twice: it is no account."""
    of_all = {"hour": f"{now:%Y-%m-%d %H:00:00}", "service": service}
    rows = ({**of_all, "key_id": key_id, **asdict(one)} for key_id, one in activity.items())
    await _write(client, "key_activity", rows)


async def _write(client: AsyncClient, table: str, rows: Iterable[Row]) -> None:
    lines, waiting = bytearray(), iter(rows)
    while portion := list(islice(waiting, _LINES_AT_ONCE)):
        lines += b"".join(msgspec.json.encode(row) + b"\n" for row in portion)
        await asyncio.sleep(0)  # others are served meanwhile
    await client.raw_insert(
        table,
        insert_block=bytes(lines),
        fmt="JSONEachRow",
        settings=INSERT_SETTINGS,
    )


async def last_uses(client: AsyncClient) -> dict[str, datetime]:
    """When each key was used last, as far as that was written."""
    rows = (await client.query(_SELECT)).result_rows
    return {key_id: datetime.fromtimestamp(used_ms / 1000, UTC) for key_id, used_ms in rows}


async def activity_of_keys(
    client: AsyncClient, hours: int, project_id: str
) -> list[tuple[str, str, str, Activity]]:
    """Id, project, label and activity of each key in the last hours; the most refused first.

    `project_id`: of one project only; empty: of all.
    """
    parameters = {"hours": hours, "project_id": project_id}
    rows = (await client.query(_ACTIVITY, parameters=parameters)).result_rows
    return [
        (key_id, project, label, Activity(*numbers)) for key_id, project, label, *numbers in rows
    ]
