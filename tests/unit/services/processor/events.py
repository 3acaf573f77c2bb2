"""Events and records for the tests of the processor, written as short as they read."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from libs.events.codec import encode_event, join_lines
from libs.events.models import AnyEvent
from libs.events.record_index import entry_of, index_of
from services.processor.batch import Record
from services.processor.dedup_index import Partition, SeenConversations, SeenIds

NOON = datetime(2026, 3, 25, 12, 0, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)


def event(event_id: str = "e1", kind: str = "chat.message", **fields: Any) -> AnyEvent:
    """An event of project `p` at noon; chat events belong to conversation `c` unless told."""
    values: dict[str, Any] = {
        "type": kind,
        "project_id": "p",
        "is_live": True,
        "id": event_id,
        "occurred_at": "2026-03-25T12:00:00Z",
        "accepted_at": "2026-03-25T12:00:00Z",
        "session_id": "s",
    }
    if kind in ("chat.message", "chat.action", "rag.retrieval"):
        values["conversation_id"] = "c"
    if kind == "chat.message":
        values["role"] = "user"
    made: AnyEvent = msgspec.convert(values | fields, AnyEvent)
    return made


def record(
    *events: AnyEvent | bytes, partition: int = 0, offset: int = 0, at_ms: int = NOON_MS
) -> Record:
    """A record of these events, or of lines as they stand."""
    lines = [line if isinstance(line, bytes) else encode_event(line) for line in events]
    return Record(partition, offset, at_ms, join_lines(lines))


def indexed(*events: AnyEvent, offset: int = 0) -> Record:
    """The record of partition 0 that ingest would write of these events."""
    return indexed_at(*events, offset=offset, at=NOON)


def indexed_at(*events: AnyEvent, offset: int, at: datetime) -> Record:
    """The same, appended at this time."""
    value = join_lines(map(encode_event, events))
    at_ms = round(at.timestamp() * 1000)
    return Record(0, offset, at_ms, value, index_of(value, map(entry_of, events)))


def partition(number: int = 0, next_offset: int = 0) -> Partition:
    """A partition that remembers nothing and whose memory is whole from the day before."""
    return Partition(
        number, next_offset, SeenIds(), SeenConversations(complete_from=date(2026, 3, 24))
    )
