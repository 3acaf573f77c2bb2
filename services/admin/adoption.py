"""`ragtime topics adopt`: carries what was not counted of an older topic into the present one.

Where the older one is what was counted from, that is all behind its last counted record. Where it
was made anew or cut short, each record is held against the rows: one that left rows at its place,
appended when they say, was counted. Of what is left the events are carried that have no row as the
same event; whatever is counted meanwhile is a duplicate to the processor, which knows those of
another topic. So it may be repeated, or killed in the midst of it, and each event counts once.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.first_row import first_row_of
from libs.events.codec import InvalidLine, decode_record, join_lines
from libs.events.models import AnyEvent
from libs.events.partitions import partition_key, partition_of
from libs.events.record_index import identity_of
from libs.events.window import FIRST_APPENDED
from libs.kafka.connection import connection
from libs.kafka.counted_log import FirstRow, other_logs
from libs.kafka.last_record import LastRecord
from libs.settings import KafkaSettings
from services.admin.noted_topics import counted_places, noted_topic
from services.admin.statements import statement
from services.admin.topics import first_appended_of, offsets_of, reading, records
from services.admin.written import NOTHING, written_lines

_COUNTED = statement("adopted_counted")
_PORTION = 1_000  # lines: of so many ids one question is asked
_MAX_RECORD_BYTES = 4 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOW_MS = 24 * 3600 * 1000

_Copies = Mapping[int, Sequence[tuple[int, int]]]


@dataclass(slots=True)
class Adoption:
    """What there was of the older topic: records, and lines of them."""

    records: int = 0
    carried: int = 0
    counted: int = 0
    no_events: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a record that may not be counted. `event`: None where it is none."""

    record: ConsumerRecord
    text: bytes
    event: AnyEvent | None

    @property
    def first_ms(self) -> int:
        """When Kafka took it first."""
        return first_appended_of(self.record)

    def is_counted(self, copies: _Copies) -> bool:
        """Whether a row is the same event: an earlier or later copy that counts as a duplicate.

        The processor would not know that of a copy whose day is another one's.
        """
        if self.event is None:
            return False
        occurred_ms = (self.event.occurred_at - _EPOCH) // timedelta(milliseconds=1)
        identity = int.from_bytes(identity_of(self.event), "little")
        return any(
            occurred_ms == copy_ms or abs(self.first_ms - appended_ms) < _WINDOW_MS
            for appended_ms, copy_ms in copies.get(identity, ())
        )


async def adopt(client: AsyncClient, kafka: KafkaSettings, old: str, *, apply: bool) -> Adoption:
    """Find what was not counted of an older topic, and carry it over, if that is asked for.

    Raises the drivers' errors; what was carried before stays carried.
    """
    done = Adoption()
    carrier = _Carrier(kafka, apply=apply)
    try:
        await carrier.start()
        async with reading(kafka, old) as consumer:
            async for lines in _portions(_uncounted(client, consumer, old, done)):
                await _take(client, carrier, lines, done)
    finally:
        await carrier.stop()
    return done


async def _uncounted(
    client: AsyncClient, consumer: AIOKafkaConsumer, old: str, done: Adoption
) -> AsyncIterator[Line]:
    """The lines of the records that were not counted as records."""
    counted_as = (await noted_topic(client, old)).counted_as
    places, first_row = await counted_places(client, counted_as), first_row_of(client, counted_as)
    for number in sorted(consumer.partitions_for_topic(old) or ()):
        partition = TopicPartition(old, number)
        offsets, is_other = await behind(consumer, partition, places.get(number), first_row)
        written = await written_lines(client, counted_as, number, offsets.start) if is_other else {}
        async for record in records(consumer, partition, offsets):
            if not written.get(record.offset, NOTHING).of(record):
                done.records += 1
                for line in lines_of(record):
                    yield line


async def behind(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    last: LastRecord | None,
    first_row: FirstRow,
) -> tuple[range, bool]:
    """What an older partition holds behind the record that was counted last; and whether it is
    another log than was counted from, of which that is all.

    `consumer`: assigned to it. Raises KafkaError, and what `first_row` raises.
    """
    offsets = await offsets_of(consumer, partition)
    if last is None or not offsets:
        return offsets, False
    if await other_logs(consumer, partition.topic, {partition.partition: last}, first_row):
        return offsets, True
    return range(max(offsets.start, last.offset + 1), offsets.stop), False


def lines_of(record: ConsumerRecord) -> Iterator[Line]:
    """The lines of a record, as if none was counted."""
    texts = (record.value or b"").split(b"\n")
    for number, event in decode_record(record.value or b""):
        yield Line(record, texts[number], None if isinstance(event, InvalidLine) else event)


async def _portions(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    portion: list[Line] = []
    async for line in lines:
        portion.append(line)
        if len(portion) == _PORTION:
            yield portion
            portion = []
    yield portion


async def _take(
    client: AsyncClient, carrier: "_Carrier", lines: list[Line], done: Adoption
) -> None:
    left = await without_rows(client, lines)
    await carrier.carry(left)
    done.counted += len(lines) - len(left)
    done.no_events += sum(line.event is None for line in left)
    done.carried += sum(line.event is not None for line in left)


async def without_rows(client: AsyncClient, lines: Sequence[Line]) -> list[Line]:
    """Those of these lines that no row is the same event as; what is no event has none."""
    copies = await _copies(client, [line.event for line in lines if line.event])
    return [line for line in lines if not line.is_counted(copies)]


async def _copies(client: AsyncClient, events: list[AnyEvent]) -> _Copies:
    if not events:
        return {}
    result = await client.query(
        _COUNTED,
        parameters={
            "projects": sorted({event.project_id for event in events}),
            "ids": sorted({event.id for event in events}),
        },
    )
    return {int(identity): copies for identity, copies in result.result_rows}


class _Carrier:
    """Writes lines to the topic of the settings, each to its partition; or only seems to."""

    def __init__(self, kafka: KafkaSettings, *, apply: bool) -> None:
        self._topic = kafka.events_topic
        self._apply = apply
        self._producer = AIOKafkaProducer(
            **connection(kafka),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_request_size=_MAX_RECORD_BYTES,
        )
        self._partitions = 0

    async def start(self) -> None:
        await self._producer.start()
        self._partitions = len(await self._producer.partitions_for(self._topic))

    async def stop(self) -> None:
        await self._producer.stop()

    async def carry(self, lines: Iterable[Line]) -> None:
        """Return when Kafka has acknowledged all of them."""
        grouped: defaultdict[tuple[int, int, int], list[Line]] = defaultdict(list)
        for line in lines:
            place = line.record.partition, line.record.offset
            grouped[self._partition_of(line), *place].append(line)
        if not self._apply:
            return
        sent = [
            await self._producer.send(
                self._topic,
                join_lines(line.text for line in some),
                partition=number,
                headers=[(FIRST_APPENDED, b"%d" % some[0].first_ms)],
            )
            for (number, *_), some in grouped.items()
        ]
        for acknowledged in sent:
            await acknowledged

    def _partition_of(self, line: Line) -> int:
        if line.event is None:  # the processor makes a dead letter of it wherever it stands
            return int(line.record.partition) % self._partitions
        return partition_of(partition_key(line.event), self._partitions)
