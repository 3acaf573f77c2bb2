"""From which day on the raw table is complete, by what was noted of its retention."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.window import FARTHEST_AHEAD

# From when on how many days were kept, in order; 0 days: for ever.
Noted = Sequence[tuple[datetime, int]]

NOTED = "SELECT noted_at, events_days FROM retention ORDER BY noted_at"


async def noted(client: AsyncClient) -> list[tuple[datetime, int]]:
    """What was kept from when on, in order. Raises the driver's `Error`."""
    result = await client.query(NOTED)
    # The driver leaves the zone out where it is UTC.
    return [(at.replace(tzinfo=UTC), days) for at, days in result.result_rows]


def cut(days: int, now: datetime) -> datetime:
    """What was appended before this is too old."""
    return now - timedelta(days=days)


def complete_since(noted: Noted, now: datetime) -> date | None:
    """The first day of which the raw table holds all events; None where it has deleted none.

    An event is appended an hour before it occurs at most; the day beyond that is for clocks that
    differ.
    """
    ends = [at for at, _ in noted[1:]] + [now]
    cuts = [cut(days, end) for (_, days), end in zip(noted, ends, strict=False) if days]
    return (max(cuts) + FARTHEST_AHEAD).date() + timedelta(days=2) if cuts else None
