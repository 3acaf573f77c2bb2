"""What happens to a batch between Kafka and ClickHouse: a list of pure steps.

No client, no clock, no settings: a batch and the memory of its partitions go in, rows come out. The
memory is not changed here; it learns from a batch once that is inserted.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from services.processor.batch import Batch, ConversationDay, Identity, Known, Mask, Places, Suspect
from services.processor.memory import WINDOW_MS, Hashes, LastRecord

_PIECE_BYTES = 256 * 1024
_NUMBERS = 10_000
_LINE_ENDS = tuple(b',"line":%d,' % number for number in range(_NUMBERS))


def prepare(batch: Batch, known: Known) -> Batch:
    """A decoded batch, with what the table knows of its events, ready to be inserted."""
    batch.known = known
    for step in STEPS:
        batch = step(batch)
    return batch


def suspects(batch: Batch) -> list[Suspect]:
    """The events whose hash is in their partition's memory: perhaps repeats, the table decides."""
    return [batch.suspect(at) for at in np.flatnonzero(batch.suspected).tolist()]


def old_conversations(batch: Batch) -> set[ConversationDay]:
    """The conversations of days that the memory does not hold whole, and that it does not know."""
    asked: set[ConversationDay] = set()
    for number, day, at in batch.messages_by_day():
        conversations = batch.partitions[number].conversations
        if day < conversations.complete_from:
            known = conversations.contains(day, *batch.conversations(at))
            asked.update(batch.conversation_day(one) for one in at[~known].tolist())
    return asked


def drop_repeats(batch: Batch) -> Batch:
    """An id counted within 24 h before, or earlier in this batch, is not counted again."""
    seen: set[Identity] = set()
    repeats: list[int] = []
    for at in np.flatnonzero(batch.suspected | _doubled(batch.marks["id"])).tolist():
        identity, appended_at_ms = batch.suspect(at)
        counted_at_ms = batch.known.counted_at_ms.get(identity)
        in_window = counted_at_ms is not None and appended_at_ms - counted_at_ms < WINDOW_MS
        if in_window or identity in seen:
            repeats.append(at)
        else:
            seen.add(identity)
    if repeats:
        batch.leave_out(repeats)
        batch.repeated += len(repeats)
    return batch


def _doubled(hashes: Hashes) -> Mask:
    """Which of these stand here more than once."""
    ordered = np.sort(hashes)
    doubles = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(hashes, doubles) if len(doubles) else np.zeros(len(hashes), dtype=np.bool_)


def mark_first_of_day(batch: Batch) -> Batch:
    """Mark the first counted message of each conversation on each day."""
    batch.is_new = np.zeros(len(batch), dtype=np.bool_)
    for number, day, at in batch.messages_by_day():
        known = batch.partitions[number].conversations.contains(day, *batch.conversations(at))
        batch.is_new[_first_of_each(batch, at[~known])] = True
    batch.first_of_day = batch.is_new.copy()
    if batch.known.conversations:
        for one in np.flatnonzero(batch.is_new).tolist():
            batch.first_of_day[one] = batch.conversation_day(one) not in batch.known.conversations
    return batch


def _first_of_each(batch: Batch, at: Places) -> list[int]:
    """Of these messages, the first one of each conversation."""
    keys, checks = (column.tolist() for column in batch.conversations(at))
    first: dict[tuple[int, int], int] = {}
    for one, key, check in zip(at.tolist(), keys, checks, strict=True):
        first.setdefault((key, check), one)
    return list(first.values())


STEPS: tuple[Callable[[Batch], Batch], ...] = (drop_repeats, mark_first_of_day)


def remember(batch: Batch) -> None:
    """Teach the memory of its partitions what a batch counted. Call it once that is inserted."""
    owners = batch.owners()
    for number in batch.partition_numbers():
        own = owners == number
        records = [batch.records[at] for at in np.unique(batch.record_at[own])]
        newest = max(record.appended_at_ms for record in records)
        partition = batch.partitions[number]
        partition.ids.add(batch.marks["id"][own], newest)
        partition.last_record = LastRecord(max(record.offset for record in records), newest)
        partition.conversations.advance(datetime.fromtimestamp(newest / 1000, UTC).date())
    for number, day, at in batch.messages_by_day():
        new = at[batch.is_new[at]]
        batch.partitions[number].conversations.add(day, *batch.conversations(new))


def body(batch: Batch, topic: str, lease: datetime) -> Iterator[bytes]:
    """The rows as JSONEachRow, in pieces: each event with its place and the writer's deadline."""
    deadline = _instant(round(lease.timestamp() * 1000))
    end = f',"topic":"{topic}","lease":"{deadline}"}}\n'
    pieces: list[bytes] = []
    size_bytes = 0
    for at, rows in _by_record(batch):
        record = batch.records[at]
        appended_at = _instant(record.appended_at_ms)
        place = f'"kp":{record.partition},"ko":{record.offset},"appended_at":"{appended_at}"{end}'
        pieces.append(_rows(batch, rows, batch.values[at], place.encode()))
        size_bytes += len(pieces[-1])
        if size_bytes >= _PIECE_BYTES:
            yield b"".join(pieces)
            pieces, size_bytes = [], 0
    yield b"".join(pieces)


def _by_record(batch: Batch) -> Iterator[tuple[int, slice]]:
    """Each record that has events left, with where they stand."""
    starts = np.flatnonzero(np.diff(batch.record_at, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(batch)]):
        yield int(batch.record_at[start]), slice(start, end)


def _rows(batch: Batch, rows: slice, value: bytes, place: bytes) -> bytes:
    """The rows of one record. A line is closed by its number, its place and what it is besides."""
    lines = value[:-1].split(b"}\n")  # all of them still open
    numbers = batch.line_numbers[rows].tolist()
    if len(numbers) < len(lines):
        lines = [lines[at] for at in batch.line_at[rows].tolist()]
    ends = [_line_end(number) for number in numbers]
    for at in np.flatnonzero(batch.first_of_day[rows]).tolist():
        ends[at] = b',"first_of_day":true' + ends[at]
    pieces = [place] * (3 * len(lines))
    pieces[0::3], pieces[1::3] = lines, ends
    return b"".join(pieces)


def _line_end(number: int) -> bytes:
    return _LINE_ENDS[number] if number < _NUMBERS else b',"line":%d,' % number


def _instant(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03}"
