"""What happens to a batch between Kafka and ClickHouse: a list of pure steps.

No client, no clock, no settings: a batch and the memory of its partitions go in, rows and dead
letters come out. The memory is not changed here; it learns from a batch once that is inserted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np

from libs.events.codec import InvalidLine, decode_record, encode_event
from libs.events.models import AnyEvent, ChatMessage
from libs.events.reasons import DeadLetterReason
from libs.events.window import FARTHEST_AHEAD, OLDEST
from services.processor.memory import (
    U64,
    WINDOW_MS,
    Hashes,
    LastRecord,
    Partition,
    conversation_hash,
    id_hash,
)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the topic as Kafka gave it; `appended_at_ms` is the broker's clock."""

    partition: int
    offset: int
    appended_at_ms: int
    value: bytes | None


@dataclass(slots=True)
class Entry:
    """An event on its way to a row, with its place in the topic."""

    record: Record
    line: int
    event: AnyEvent
    day: date
    hash: int
    first_of_day: bool = False

    @property
    def identity(self) -> tuple[int, str, str]:
        return self.record.partition, self.event.project_id, self.event.id


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line (or a whole record: line None) that is no valid event, with its place and reason."""

    record: Record
    line: int | None
    value: bytes
    reason: DeadLetterReason
    detail: str


# A conversation on a day in a partition: (partition, day, project, is_live, conversation id).
ConversationDay = tuple[int, date, str, bool, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What the table answered about this batch, where the memory could not decide alone.

    `counted_at_ms`: identity → when the event with this id was appended.
    `conversations`: days older than the memory on which a conversation already had a message.
    """

    counted_at_ms: Mapping[tuple[int, str, str], int] = field(default_factory=dict)
    conversations: frozenset[ConversationDay] = frozenset()


@dataclass(slots=True)
class Batch:
    """A batch between two steps."""

    partitions: Mapping[int, Partition]
    entries: list[Entry]
    dead_letters: list[DeadLetter]
    known: Known = field(default_factory=Known)
    repeated: int = 0
    skipped: int = 0
    rows: list[bytes] = field(default_factory=list)

    @property
    def numbers(self) -> set[int]:
        """The partitions that its entries came from."""
        return {entry.record.partition for entry in self.entries}


def prepare(batch: Batch, known: Known) -> Batch:
    """Rows for the table from the entries of a decoded batch and what the table knows of them."""
    batch.known = known
    for step in STEPS:
        batch = step(batch)
    return batch


def decode(records: Iterable[Record], partitions: Mapping[int, Partition]) -> Batch:
    """The events of all records that are not counted yet; what is none becomes a dead letter."""
    batch = Batch(partitions=partitions, entries=[], dead_letters=[])
    for record in records:
        if record.offset < partitions[record.partition].next_offset:
            batch.skipped += 1
        elif not record.value or record.value.isspace():
            batch.dead_letters.append(
                DeadLetter(record, None, record.value or b"", DeadLetterReason.EMPTY_RECORD, "")
            )
        else:
            _decode_lines(batch, record, record.value)
    return batch


def _decode_lines(batch: Batch, record: Record, value: bytes) -> None:
    appended_at = datetime.fromtimestamp(record.appended_at_ms / 1000, UTC)
    oldest, newest = appended_at - OLDEST, appended_at + FARTHEST_AHEAD
    for number, line in decode_record(value):
        if isinstance(line, InvalidLine):
            batch.dead_letters.append(
                DeadLetter(record, number, line.line, line.reason, line.detail)
            )
        elif oldest <= line.occurred_at <= newest:
            day = line.occurred_at.astimezone(UTC).date()
            batch.entries.append(
                Entry(record, number, line, day, id_hash(line.project_id, line.id))
            )
        else:
            batch.dead_letters.append(
                DeadLetter(
                    record,
                    number,
                    value.split(b"\n")[number],
                    DeadLetterReason.OCCURRED_AT_OUT_OF_RANGE,
                    f"occurred_at must lie between {oldest.isoformat()} and {newest.isoformat()}",
                )
            )


def suspects(batch: Batch) -> list[Entry]:
    """The entries whose hash is in their partition's memory: perhaps repeats, the table decides."""
    found: list[Entry] = []
    for number, entries in _by_partition(batch.entries).items():
        hashes = np.fromiter((entry.hash for entry in entries), dtype=U64, count=len(entries))
        mask = batch.partitions[number].ids.suspects(hashes)
        found.extend(entry for entry, hit in zip(entries, mask, strict=True) if hit)
    return found


def old_conversations(batch: Batch) -> set[ConversationDay]:
    """The conversations of days that the memory does not hold whole, and that it does not know."""
    asked: set[ConversationDay] = set()
    for (number, day), entries in _messages_by_day(batch.entries).items():
        conversations = batch.partitions[number].conversations
        if day < conversations.complete_from:
            keys, checks = _conversation_hashes(entries)
            known = conversations.contains(day, keys, checks)
            asked.update(
                conversation_day(entry)
                for entry, hit in zip(entries, known, strict=True)
                if not hit
            )
    return asked


def drop_repeats(batch: Batch) -> Batch:
    """An id counted within 24 h before, or earlier in this batch, is not counted again."""
    seen: set[tuple[int, str, str]] = set()
    kept: list[Entry] = []
    for entry in batch.entries:
        identity = entry.identity
        counted_at_ms = batch.known.counted_at_ms.get(identity)
        in_window = (
            counted_at_ms is not None and entry.record.appended_at_ms - counted_at_ms < WINDOW_MS
        )
        if in_window or identity in seen:
            batch.repeated += 1
        else:
            seen.add(identity)
            kept.append(entry)
    batch.entries = kept
    return batch


def mark_first_of_day(batch: Batch) -> Batch:
    """Mark the first counted message of each conversation on each day."""
    for (number, day), entries in _messages_by_day(batch.entries).items():
        keys, checks = _conversation_hashes(entries)
        known = batch.partitions[number].conversations.contains(day, keys, checks)
        here: set[ConversationDay] = set()
        for entry, hit in zip(entries, known, strict=True):
            conversation = conversation_day(entry)
            if not hit and conversation not in here:
                here.add(conversation)
                entry.first_of_day = conversation not in batch.known.conversations
    return batch


def encode_rows(batch: Batch) -> Batch:
    """Each entry as a JSON object of the table's columns, still open for the lease at its end."""
    record: Record | None = None
    place = b""
    for entry in batch.entries:
        if entry.record is not record:
            record = entry.record
            place = (
                f'"kp":{record.partition},"ko":{record.offset},'
                f'"appended_at":"{_instant(record.appended_at_ms)}"'
            ).encode()
        line = encode_event(entry.event)
        first = b"true" if entry.first_of_day else b"false"
        batch.rows.append(
            b'%b,"first_of_day":%b,"line":%d,%b' % (line[:-1], first, entry.line, place)
        )
    return batch


STEPS: tuple[Callable[[Batch], Batch], ...] = (drop_repeats, mark_first_of_day, encode_rows)


def remember(batch: Batch) -> None:
    """Teach the memory of its partitions what a batch counted. Call it once that is inserted."""
    for number, entries in _by_partition(batch.entries).items():
        partition = batch.partitions[number]
        newest = max(entry.record.appended_at_ms for entry in entries)
        hashes = np.fromiter((entry.hash for entry in entries), dtype=U64, count=len(entries))
        partition.ids.add(hashes, newest)
        partition.last_record = LastRecord(max(entry.record.offset for entry in entries), newest)
        partition.conversations.advance(datetime.fromtimestamp(newest / 1000, UTC).date())
    for (number, day), entries in _messages_by_day(batch.entries).items():
        new = {
            conversation: entry
            for entry in entries
            if (conversation := conversation_day(entry)) in batch.known.conversations
            or entry.first_of_day
        }
        conversations = batch.partitions[number].conversations
        conversations.add(day, *_conversation_hashes(list(new.values())))


def body(rows: Iterable[bytes], topic: str, lease: datetime) -> bytes:
    """One row or more as JSONEachRow, each closed with its topic and the writer's deadline."""
    deadline = _instant(round(lease.timestamp() * 1000))
    end = f',"topic":"{topic}","lease":"{deadline}"}}\n'.encode()
    return end.join(rows) + end


def conversation_day(entry: Entry) -> ConversationDay:
    """Which conversation on which day a message belongs to."""
    event = entry.event
    return (
        entry.record.partition,
        entry.day,
        event.project_id,
        event.is_live,
        getattr(event, "conversation_id", ""),
    )


def _instant(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03}"


def _by_partition(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    groups: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.record.partition].append(entry)
    return groups


def _conversation_hashes(entries: list[Entry]) -> tuple[Hashes, Hashes]:
    hashes = [
        conversation_hash(project_id, is_live, conversation_id)
        for _, _, project_id, is_live, conversation_id in map(conversation_day, entries)
    ]
    pairs = np.array(hashes, dtype=U64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _messages_by_day(entries: Iterable[Entry]) -> dict[tuple[int, date], list[Entry]]:
    groups: dict[tuple[int, date], list[Entry]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry.event, ChatMessage):
            groups[entry.record.partition, entry.day].append(entry)
    return groups
