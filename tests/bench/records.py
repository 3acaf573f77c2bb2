"""Records as ingest writes them, without ingest: the same code, records of a chosen size."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer

from libs.events.codec import join_lines
from libs.events.partitions import partition_of
from libs.events.record_index import HEADER, index_of
from services.ingest.batches import prepare_batch
from services.ingest.cardinality import Cardinality
from services.ingest.enrich import Caller, Submission
from services.ingest.publisher import Line
from tests.bench.events import Event, Sessions
from tests.turns import finish


def lines_of(project_id: str, events: Sequence[Event]) -> list[Line]:
    """The events as ingest would accept them."""
    submission = Submission(
        project_id=project_id,
        may_be_live=True,
        accepted_at=datetime.now(UTC),
        caller=Caller(lambda: "127.0.0.1", "", _no_country),
        country_of=_no_country,
        cardinality=Cardinality(20_000, 1 << 25),
    )
    batch = finish(prepare_batch([msgspec.json.encode(event) for event in events], submission))
    assert not batch.rejected
    return batch.lines


def _no_country(_address: str) -> str:
    return "unknown"


@dataclass(frozen=True)
class MadeRecord:
    """A record as ingest writes it."""

    partition: int
    value: bytes
    index: bytes


def records_of(
    sessions: Sessions, records: int, events_a_record: int, partitions: int
) -> Iterator[MadeRecord]:
    """So many full records, the partitions mixed."""
    waiting: defaultdict[int, list[Line]] = defaultdict(list)
    made = 0
    while made < records:
        for project, event in sessions.with_projects(500):
            (line,) = lines_of(project, [event])
            partition = partition_of(line.key, partitions)
            waiting[partition].append(line)
            if len(waiting[partition]) == events_a_record and made < records:
                yield record_of(partition, waiting.pop(partition))
                made += 1


def record_of(partition: int, lines: Sequence[Line]) -> MadeRecord:
    """One record of these lines."""
    value = join_lines(line.json for line in lines)
    return MadeRecord(partition, value, index_of(value, [line.entry for line in lines]))


async def write(bootstrap_servers: str, topic: str, records: Sequence[MadeRecord]) -> None:
    """Write them to the topic, each to its partition."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, compression_type="zstd", max_batch_size=512 * 1024
    )
    await producer.start()
    try:
        sent = [
            await producer.send(
                topic,
                record.value,
                partition=record.partition,
                headers=[(HEADER, record.index)],
            )
            for record in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
