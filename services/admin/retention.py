"""How long raw events are kept: the setting, the table's TTL, and from which day on all are there.

A TTL deletes for good. So what the tables need is never at its mercy: the settings do not take less
than recovery looks back, the audit asks `complete_since`, and a change that would delete rows at
once is made by `ragtime retention --apply` alone, not by an update or a forgotten variable.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.kept_days import cut, noted
from services.admin.statements import statement

FOR_EVER = 0

_ENGINE = (
    "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'events'"
)
_TTL = re.compile(r"\bTTL (?:toDateTime\(appended_at\) \+ toIntervalDay\((\d+)\)|)")
_OLDEST = "SELECT min(appended_at) FROM events HAVING count() > 0"
_MONTHS = statement("retention_months")
_NOTE = "INSERT INTO retention SELECT {days:UInt32}, now64(3)"
_MODIFY = "ALTER TABLE events MODIFY TTL toDateTime(appended_at) + INTERVAL {days} DAY"
_REMOVE = "ALTER TABLE events REMOVE TTL"


@dataclass(frozen=True, slots=True)
class Kept:
    """How many days the table keeps raw events, and its oldest row.

    `days` is None where somebody else wrote a TTL of another kind.
    """

    days: int | None
    oldest: datetime | None

    def would_delete(self, days: int, now: datetime) -> bool:
        """Whether another number of days makes rows too old that are there now."""
        return days != FOR_EVER and self.oldest is not None and self.oldest < cut(days, now)


def words(days: int | None) -> str:
    """A number of days for people."""
    if days is None:
        return "by another TTL"
    return "for ever" if days == FOR_EVER else f"for {days} days"


async def kept(client: AsyncClient) -> Kept:
    """How the table is. `client` is one of its database. Raises the driver's `Error`."""
    engine = (await client.query(_ENGINE)).result_rows
    ttl = _TTL.search(engine[0][0] if engine else "")
    oldest = (await client.query(_OLDEST)).result_rows
    return Kept(
        days=FOR_EVER if ttl is None else int(ttl[1]) if ttl[1] else None,
        oldest=_utc(oldest[0][0]) if oldest else None,
    )


async def months(client: AsyncClient) -> list[tuple[str, datetime, int, int]]:
    """Each month of the table: its name, its newest row, its rows, its bytes on disk."""
    result = await client.query(_MONTHS)
    return [(month, _utc(newest), rows, size) for month, newest, rows, size in result.result_rows]


async def carry_out(client: AsyncClient, days: int, now: datetime) -> str:
    """Keep raw events so long, unless that deletes some at once; what was done, for people."""
    table = await kept(client)
    if table.days == days:
        return ""
    if table.days is None or table.would_delete(days, now):
        return (
            f"raw events: kept {words(table.days)}, set: {words(days)}. As this would delete some,"
            " nothing was changed: see `ragtime retention`"
        )
    await keep(client, days)
    return f"raw events: kept {words(days)}"


async def keep(client: AsyncClient, days: int) -> None:
    """Let the table keep raw events so long, and note it. May be repeated."""
    table = await kept(client)
    before = await noted(client)
    last = before[-1][1] if before else FOR_EVER
    is_less = days != FOR_EVER and (last == FOR_EVER or days < last)
    # At no moment may less be kept than is noted: the audit would miss what is gone.
    if is_less:
        await _note(client, days)
    if days != FOR_EVER:
        await client.command(_MODIFY.format(days=days))
    elif table.days != FOR_EVER:
        await client.command(_REMOVE)
    if not is_less and days != last:
        await _note(client, days)


async def _note(client: AsyncClient, days: int) -> None:
    await client.command(_NOTE, parameters={"days": days})


def _utc(moment: datetime) -> datetime:
    # The driver leaves the zone out where it is UTC.
    return moment.replace(tzinfo=UTC)
