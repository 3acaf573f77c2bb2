"""Cuts what was read into batches that can become one insert, and one part. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from services.processor.batch import Record

# Of values in an insert: enough for 50,000 events, where a larger insert gains nothing any more.
_INSERT_BYTES = 16 * 1024 * 1024


def by_month(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Batches whose records were appended in one month: one partition of the table, one part.

    The records of a partition stay in the order of their offsets, even where the broker's clock was
    set back at the turn of a month: what is offered behind a later offset would be skipped.
    """
    batches: defaultdict[tuple[int, tuple[int, int]], list[Record]] = defaultdict(list)
    rounds: dict[int, tuple[int, tuple[int, int]]] = {}  # another one where the clock was set back
    for record in records:
        appended_at = datetime.fromtimestamp(record.appended_at_ms / 1000, UTC)
        month = appended_at.year, appended_at.month
        number, before = rounds.get(record.partition, (0, month))
        rounds[record.partition] = (number + (month < before), month)
        batches[rounds[record.partition]].append(record)
    for _, batch in sorted(batches.items()):
        yield batch


def by_size(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Batches of a bearable size, in order: a backlog of large records must not fill the memory."""
    batch: list[Record] = []
    size_bytes = 0
    for record in records:
        batch.append(record)
        size_bytes += len(record.value or b"")
        if size_bytes >= _INSERT_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
