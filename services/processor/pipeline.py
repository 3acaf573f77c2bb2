"""What happens to a batch between Kafka and ClickHouse: a list of pure steps.

No client, no clock, no settings: a batch and the memory of its partitions go in, rows come out. The
memory is not changed here; it learns from a batch once that is inserted.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from libs.kafka.last_record import LastRecord
from services.processor.batch import Batch, Places
from services.processor.dedup_index import Hashes, Mask

_PIECE_BYTES = 256 * 1024
_NUMBERS = 10_000
_LINE_ENDS = tuple(b',"line":%d,' % number for number in range(_NUMBERS))


def prepare(batch: Batch) -> Batch:
    """A decoded batch, with what is known of its events, ready to be inserted."""
    for step in STEPS:
        batch = step(batch)
    return batch


def deduplicate(batch: Batch) -> Batch:
    """An event that was counted before, or stands earlier in this batch, is not counted again."""
    left_out = batch.is_counted | _stands_before(*batch.identities(np.arange(len(batch))))
    batch.duplicates += int(np.count_nonzero(left_out))
    if left_out.any():
        batch.leave_out(left_out)
    return batch


def _stands_before(keys: Hashes, checks: Hashes) -> Mask:
    """Which of these identities stand here once before."""
    found = np.zeros(len(keys), dtype=np.bool_)
    order = np.argsort(keys, kind="stable")
    is_same = keys[order][1:] == keys[order][:-1]
    if is_same.any():
        alike = order[np.append(is_same, False) | np.append(False, is_same)]
        found[alike] = True
        found[_first_of_each(np.sort(alike), keys, checks)] = False
    return found


def _first_of_each(at: Places, keys: Hashes, checks: Hashes) -> list[int]:
    """Of these places, in order, the first one of each identity or conversation."""
    first: dict[tuple[int, int], int] = {}
    for one, key, check in zip(at.tolist(), keys[at].tolist(), checks[at].tolist(), strict=True):
        first.setdefault((key, check), one)
    return list(first.values())


def mark_first_of_day(batch: Batch) -> Batch:
    """Mark the first counted message of each conversation on each day."""
    batch.is_new = np.zeros(len(batch), dtype=np.bool_)
    keys, checks = batch.conversations(np.arange(len(batch)))
    for number, day, at in batch.messages_by_day():
        known = batch.partitions[number].conversations.contains(day, keys[at], checks[at])
        batch.is_new[_first_of_each(at[~known], keys, checks)] = True
    batch.first_of_day = batch.is_new & ~batch.has_begun
    return batch


STEPS: tuple[Callable[[Batch], Batch], ...] = (deduplicate, mark_first_of_day)


def remember(batch: Batch) -> None:
    """Teach the memory of its partitions what a batch counted. Call it once that is inserted."""
    owners = batch.owners()
    for number in batch.partition_numbers():
        own = owners == number
        records = [batch.records[at] for at in np.unique(batch.record_at[own])]
        newest = max(record.appended_at_ms for record in records)
        partition = batch.partitions[number]
        partition.ids.add(*batch.identities(own), newest)
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


def rows(batch: Batch, topic: str, lease: datetime) -> list[bytes]:
    """The rows one by one, in the order of the events."""
    return b"".join(body(batch, topic, lease)).split(b"\n")[:-1]


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
