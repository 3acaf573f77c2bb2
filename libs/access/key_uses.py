"""When each key was used last, for `ragtime keys list`. Written each minute, never by a request."""

import asyncio
from collections.abc import Mapping
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
_SELECT = "SELECT key_id, toUnixTimestamp64Milli(max(used_at)) FROM key_uses GROUP BY key_id"

log = get_logger()


class KeyUses:
    """Notes uses in memory; `run` writes them. A process that ends forgets its last minute."""

    def __init__(self, interval_s: float = _INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._noted: dict[str, datetime] = {}

    def note(self, key_id: str, now: datetime) -> None:
        """A key was shown and is good."""
        self._noted[key_id] = now

    async def run(self, client: AsyncClient) -> None:
        """Write what was noted since the last time, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            noted, self._noted = self._noted, {}
            if noted and not await _is_written(client, noted):
                self._noted = noted | self._noted


async def _is_written(client: AsyncClient, uses: dict[str, datetime]) -> bool:
    """A service that may not write still serves: only the list lacks the uses then."""
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await write_uses(client, uses)
    except (Error, OSError, TimeoutError) as error:
        log.warning("keys.uses_not_written", error=first_line(error))
        return False
    return True


async def write_uses(client: AsyncClient, uses: Mapping[str, datetime]) -> None:
    """Add these uses. The driver may send them twice: the latest of a key counts."""
    lines, waiting = bytearray(), iter(uses.items())
    while portion := list(islice(waiting, _LINES_AT_ONCE)):
        lines += b"".join(_line(key_id, used_at) for key_id, used_at in portion)
        await asyncio.sleep(0)  # others are served meanwhile
    await client.raw_insert(
        "key_uses",
        insert_block=bytes(lines),
        fmt="JSONEachRow",
        settings={"async_insert": 0},  # it says "done" only when it is
    )


def _line(key_id: str, used_at: datetime) -> bytes:
    row = {"key_id": key_id, "used_at": f"{used_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]}
    return msgspec.json.encode(row) + b"\n"


async def last_uses(client: AsyncClient) -> dict[str, datetime]:
    """When each key was used last, as far as that was written."""
    rows = (await client.query(_SELECT)).result_rows
    return {key_id: datetime.fromtimestamp(used_ms / 1000, UTC) for key_id, used_ms in rows}
