"""From records to a batch: by their indexes where they have one, else line by line. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.events.codec import InvalidLine, decode_record, encode_event, join_lines
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import entries_of, entry_of
from libs.events.window import FARTHEST_AHEAD, OLDEST, span
from services.processor.batch import ENTRY, Batch, DeadLetter, Record
from services.processor.dedup_index import Partition

_OLDEST_S, _FARTHEST_AHEAD_S = int(OLDEST.total_seconds()), int(FARTHEST_AHEAD.total_seconds())


@dataclass(slots=True)
class _Found:
    """What the records held so far: each list but the last has an item for each record."""

    records: list[Record] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    line_numbers: list[NDArray[np.uint32]] = field(default_factory=list)
    entries: list[NDArray[Any]] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    skipped: int = 0

    def add(
        self, record: Record, value: bytes, numbers: NDArray[np.uint32], entries: NDArray[Any]
    ) -> None:
        """The events of a record."""
        self.records.append(record)
        self.values.append(value)
        self.line_numbers.append(numbers)
        self.entries.append(entries)


def decode(
    records: Iterable[Record], partitions: Mapping[int, Partition], *, trusting: bool = True
) -> Batch:
    """The events of all records that are not counted yet; what is none becomes a dead letter.

    `trusting`: whether an index is believed, or every line looked at.
    """
    found = _Found()
    for record in records:
        if record.offset < partitions[record.partition].next_offset:
            found.skipped += 1
        elif not record.value or record.value.isspace():
            found.dead_letters.append(
                DeadLetter(record, None, record.value or b"", DeadLetterReason.EMPTY_RECORD, "")
            )
        else:
            _add_record(found, record, record.value, trusting=trusting)
    return _batch(found, partitions)


def _add_record(found: _Found, record: Record, value: bytes, *, trusting: bool) -> None:
    entries = _trusted_entries(record, value) if trusting and record.index else None
    if entries is None:
        _decode_lines(found, record, value)
    else:
        found.add(record, value, np.arange(len(entries), dtype=np.uint32), entries)


def _trusted_entries(record: Record, value: bytes) -> NDArray[Any] | None:
    # An event at the edge of the window is left to the exact look at its line.
    raw = entries_of(value, record.index or b"")
    if raw is None:
        return None
    entries = np.frombuffer(raw, dtype=ENTRY)
    first_s, appended_s = record.first_appended_ms // 1000, record.appended_at_ms // 1000
    is_inside = (
        int(entries["occurred_s"].min()) > first_s - _OLDEST_S + 1
        and int(entries["occurred_s"].max()) < appended_s + _FARTHEST_AHEAD_S
    )
    return entries if is_inside else None


def _decode_lines(found: _Found, record: Record, value: bytes) -> None:
    oldest, newest = span(record.first_appended_ms, record.appended_at_ms)
    lines: list[bytes] = []
    numbers: list[int] = []
    entries: list[bytes] = []
    for number, line in decode_record(value):
        if isinstance(line, InvalidLine):
            found.dead_letters.append(
                DeadLetter(record, number, line.line, line.reason, line.detail)
            )
        elif oldest <= line.occurred_at <= newest:
            lines.append(encode_event(line))
            numbers.append(number)
            entries.append(entry_of(line))
        else:
            found.dead_letters.append(
                DeadLetter(
                    record,
                    number,
                    value.split(b"\n")[number],
                    DeadLetterReason.OCCURRED_AT_OUT_OF_RANGE,
                    f"occurred_at must lie between {oldest.isoformat()} and {newest.isoformat()}",
                )
            )
    if lines:
        columns = np.frombuffer(b"".join(entries), dtype=ENTRY)
        found.add(record, join_lines(lines), np.array(numbers, dtype=np.uint32), columns)


def _batch(found: _Found, partitions: Mapping[int, Partition]) -> Batch:
    lengths = np.array([len(entries) for entries in found.entries], dtype=np.intp)
    entries = np.concatenate([*found.entries, np.empty(0, dtype=ENTRY)])
    batch = Batch(
        partitions=partitions,
        records=found.records,
        values=found.values,
        record_at=np.repeat(np.arange(len(lengths)), lengths),
        line_at=np.arange(len(entries)) - np.repeat(lengths.cumsum() - lengths, lengths),
        line_numbers=np.concatenate([*found.line_numbers, np.empty(0, dtype=np.uint32)]),
        entries=entries,
        dead_letters=found.dead_letters,
        skipped=found.skipped,
    )
    owners = batch.owners()
    for number in np.unique(owners):
        own = owners == number
        batch.is_counted[own] = partitions[int(number)].ids.contains(*batch.identities(own))
    return batch
