"""What a batch and the memory show of themselves: metrics, and one line in the log a batch."""

from collections.abc import Collection

from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import (
    BATCH_EVENTS,
    EVENTS_COUNTED,
    EVENTS_REPEATED,
    RECORDS_SKIPPED,
    REMEMBERED,
    REMEMBERED_BYTES,
    REMEMBERED_BYTES_LIMIT,
    VISIBLE_SECONDS,
)
from services.processor.batch import Batch
from services.processor.dedup_index import Partition
from services.processor.memory import usage

log = get_logger()


def note_batch(records: int, batch: Batch, now_s: float) -> None:
    """A batch of so many records was counted."""
    EVENTS_COUNTED.inc(len(batch))
    EVENTS_REPEATED.inc(batch.duplicates)
    RECORDS_SKIPPED.inc(batch.skipped)
    BATCH_EVENTS.observe(len(batch))
    oldest_ms = min((record.appended_at_ms for record in batch.records), default=None)
    age_s = None if oldest_ms is None else max(0.0, now_s - oldest_ms / 1000)
    if age_s is not None and len(batch):
        VISIBLE_SECONDS.observe(age_s)
    log.info(
        "batch.counted",
        records=records,
        events=len(batch),
        duplicates=batch.duplicates,
        skipped=batch.skipped,
        dead_letters=len(batch.dead_letters),
        age_ms=None if age_s is None else round(age_s * 1000),
    )


def note_memory(partitions: Collection[Partition], max_bytes: int) -> None:
    """What is remembered now, and how much may be."""
    used = usage(partitions)
    REMEMBERED.labels("exact").set(used.identities - used.filtered)
    REMEMBERED.labels("filtered").set(used.filtered)
    REMEMBERED_BYTES.set(used.size_bytes)
    REMEMBERED_BYTES_LIMIT.set(max_bytes)
