"""How far from its append an event may have occurred; what is beyond is dead-lettered, not counted.

Wider than what ingest accepts (30 days back, 5 minutes ahead) by what clocks and outages can add.
"""

from datetime import UTC, datetime, timedelta

OLDEST = timedelta(days=32)
FARTHEST_AHEAD = timedelta(hours=1)

# A header of records that `ragtime topics adopt` carried over from another topic: when Kafka took
# the event there, in milliseconds since 1970, as decimal digits. So long it may have waited.
FIRST_APPENDED = "ragtime-first-appended"
_MAX_DIGITS = 15


def first_appended_ms(appended_at_ms: int, header: bytes | None) -> int:
    """When Kafka took the events of a record first, given when it took them last."""
    if header is None or not header.isdigit() or len(header) > _MAX_DIGITS:
        return appended_at_ms
    return min(appended_at_ms, int(header))


def span(first_ms: int, appended_at_ms: int) -> tuple[datetime, datetime]:
    """Between which instants an event may have occurred that Kafka took then, first and last."""
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (first_ms, appended_at_ms))
    return first - OLDEST, last + FARTHEST_AHEAD
