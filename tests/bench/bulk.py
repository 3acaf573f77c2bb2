"""Bulk-loads events through the same tables and views, and asks about them.

The server makes the events itself (`bulk_events.sql`): 100 million would take hours over HTTP.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from clickhouse_connect.driver.asyncclient import AsyncClient

from services.query.questions import Question

# The project that is asked about. It has as many events however many there are in all: those that
# one of 1,000 has of 100 million. Its answer is the same, what grows is all around it.
PROJECT, PROJECT_EVENTS = "project-0", 100_000
DEVICE = "kiosk-0-0"
DAYS = 90
_SQL = (Path(__file__).parent / "bulk_events.sql").read_text("utf-8")
_PORTION = 1_000_000
_TABLES = ["events", "daily_counts", "source_names"]
_ON_DISK = """
SELECT table, sum(bytes_on_disk)
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}
GROUP BY table
"""


@dataclass(frozen=True)
class Bulk:
    """So many events of so many projects, appended over the 90 days before now."""

    events: int
    projects: int
    until: datetime

    @property
    def first_day(self) -> datetime:
        """The midnight at which the first of them was appended."""
        day = self.until.date() - timedelta(days=DAYS - 1)
        return datetime.combine(day, time(), UTC)

    @property
    def share(self) -> int:
        """Of so many sessions one belongs to the project that is asked about."""
        return max(1, self.events // PROJECT_EVENTS)

    def question(self, device: str | None = None) -> Question:
        """All categories of all the days of the project."""
        first, last = self.first_day.date(), self.until.date()
        return Question(PROJECT, first, last, None, live_only=True, device_id=device)


async def load(client: AsyncClient, bulk: Bulk) -> None:
    """Append them in order of time, a million an insert."""
    start_ms = int(bulk.first_day.timestamp() * 1000)
    span = bulk.until - timedelta(minutes=10) - bulk.first_day
    parameters = {
        "topic": "events",
        "partitions": 12,
        "projects": bulk.projects,
        "share": bulk.share,
        "total": bulk.events,
        "start_ms": start_ms,
        "span_ms": span // timedelta(milliseconds=1),
    }
    for first in range(0, bulk.events, _PORTION):
        rows = min(_PORTION, bulk.events - first)
        await client.command(
            _SQL,
            parameters=parameters | {"first": first, "rows": rows},
            settings={"max_insert_threads": 1, "max_partitions_per_insert_block": 0},
        )


async def merge(client: AsyncClient) -> None:
    """Let the tables become what background merges make of them in time."""
    partitions = await client.query(
        "SELECT DISTINCT table, partition_id FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}",
        parameters={"tables": _TABLES},
    )
    for table, partition in partitions.result_rows:
        await client.command(f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL")


async def bytes_on_disk(client: AsyncClient) -> dict[str, int]:
    """Of the tables of events: the raw one and the rollups."""
    result = await client.query(_ON_DISK, parameters={"tables": _TABLES})
    return {str(table): int(size) for table, size in result.result_rows}
