"""The records that Kafka holds against the rows that they left, for `ragtime audit`.

Each record that has no row holds nothing that should have one; what ClickHouse refused stands in
the dead letters.
"""

from collections.abc import AsyncIterator, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.first_row import first_row_of
from libs.events.codec import InvalidLine, decode_record
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import identity_of
from libs.events.window import span
from libs.kafka.counted_log import other_logs
from libs.settings import KafkaSettings
from services.admin.dead_letters import read_letters
from services.admin.noted_topics import counted_places
from services.admin.statements import statement
from services.admin.topics import first_appended_of, offsets_of, records
from services.admin.written import NOTHING, Written, written_lines

_COUNTED = statement("audit_counted")
_PORTION = 1_000
# Identities are remembered by buckets of four hours, for 28 hours at most.
_LONGEST_MS = 28 * 3600 * 1000
_LATE_MS = 23 * 3600 * 1000

_Place = tuple[str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Line:
    """An event in Kafka that left no row."""

    partition: int
    offset: int
    number: int
    event: AnyEvent
    appended_at_ms: int

    @property
    def place(self) -> "_Place":
        """As the headers of a dead letter have it."""
        return str(self.partition), str(self.offset), str(self.number)

    @property
    def identity(self) -> int:
        """As the table's column has it."""
        return int.from_bytes(identity_of(self.event), "little")

    @property
    def is_late(self) -> bool:
        """Whether an earlier copy may have been counted before the window."""
        return self.event.occurred_at.timestamp() * 1000 < self.appended_at_ms - _LATE_MS


class AuditedTopic:
    """The records that Kafka holds, against the rows that they left."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        client: AsyncClient,
        kafka: KafkaSettings,
        counted_as: str,
        *,
        every_record: bool,
    ) -> None:
        """`consumer`: of the whole topic. `counted_as`: the name that its rows have."""
        self._consumer = consumer
        self._client = client
        self._kafka = kafka
        self._name = kafka.events_topic
        self._counted_as = counted_as
        self._every_record = every_record
        self.read = 0

    async def other_log(self, number: int) -> str:
        """How a partition differs from what was counted from; empty where it does not."""
        last = (await counted_places(self._client, self._counted_as)).get(number)
        if last is None:
            return ""
        if number not in (self._consumer.partitions_for_topic(self._name) or ()):
            return f"{self._name}/{number} is not in Kafka, and offset {last.offset} was counted"
        first_row = first_row_of(self._client, self._counted_as)
        found = await other_logs(self._consumer, self._name, {number: last}, first_row)
        return found.get(number, "")

    async def first_uncounted(self, number: int) -> str:
        """The first line that should have a row, or a row like it, and has none."""
        partition = TopicPartition(self._name, number)
        offsets = await offsets_of(self._consumer, partition)
        every_record = self._every_record or bool(await self.other_log(number))
        written = await written_lines(self._client, self._counted_as, number, offsets.start)
        left_out = () if every_record else written
        return await self._first(records(self._consumer, partition, offsets, left_out), written)

    async def first_missing(self, number: int, offsets: range) -> str:
        """The same of records that have left no row at these offsets."""
        partition = TopicPartition(self._name, number)
        return await self._first(records(self._consumer, partition, offsets), {})

    async def _first(
        self, found: AsyncIterator[ConsumerRecord], written: Mapping[int, Written]
    ) -> str:
        unproven: list[Line] = []
        async for record in found:
            self.read += 1
            lines = written.get(record.offset, NOTHING).of(record)
            unproven += lines_without_rows(record, lines)
            if len(unproven) >= _PORTION:
                if missing := await self._first_missing(unproven):
                    return missing
                unproven = []
        return await self._first_missing(unproven)

    async def _first_missing(self, lines: list[Line]) -> str:
        """Each must be a duplicate, or refused by ClickHouse."""
        if not lines:
            return ""
        result = await self._client.query(
            _COUNTED,
            parameters={
                "projects": sorted({line.event.project_id for line in lines}),
                "ids": sorted({line.event.id for line in lines}),
            },
        )
        counted = {int(identity): times for identity, times in result.result_rows}
        missing = [line for line in lines if not _is_duplicate(line, counted)]
        refused = await self._refused() if missing else set()
        for line in missing:
            if line.place not in refused:
                return (
                    f"offset {line.offset}, line {line.number}:"
                    f" event {line.event.id!r} of {line.event.project_id!r} is not counted"
                )
        return ""

    async def _refused(self) -> set[_Place]:
        """The places of the events that ClickHouse refused: they were dead-lettered first.

        Where the topic of dead letters is gone nobody can tell.
        """
        try:
            letters = await read_letters(self._kafka)
        except UnknownTopicOrPartitionError:
            return set()
        return {
            (
                letter.headers.get("partition"),
                letter.headers.get("offset"),
                letter.headers.get("line"),
            )
            for letter in letters
            if letter.headers.get("topic") == self._name
            and letter.headers.get("reason") == DeadLetterReason.REFUSED_BY_CLICKHOUSE
        }


def _is_duplicate(line: Line, counted: Mapping[int, Sequence[int]]) -> bool:
    """Whether a copy was counted in the window before it or, if it is late, before."""
    ages_ms = [line.appended_at_ms - at_ms for at_ms in counted.get(line.identity, ())]
    return any(age_ms >= 0 and (age_ms < _LONGEST_MS or line.is_late) for age_ms in ages_ms)


def lines_without_rows(record: Any, lines: Container[int]) -> Iterator[Line]:  # noqa: ANN401
    """The lines of a record that are events, and left no row."""
    oldest, newest = span(first_appended_of(record), record.timestamp)
    for number, event in decode_record(record.value or b""):
        if number in lines or isinstance(event, InvalidLine):
            continue
        if oldest <= event.occurred_at <= newest:
            yield Line(record.partition, record.offset, number, event, record.timestamp)
