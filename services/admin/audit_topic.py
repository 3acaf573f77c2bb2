"""The records that Kafka holds against the rows that they left, for `ragtime audit`.

Each record that has no row holds nothing that should have one; what ClickHouse refused stands in
the dead letters.
"""

from collections.abc import AsyncIterator, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.codec import InvalidLine, decode_record
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import identity_of
from libs.events.window import FARTHEST_AHEAD, OLDEST
from libs.kafka.counted_log import other_logs
from libs.settings import KafkaSettings
from services.admin.dead_letters import read_letters
from services.admin.noted_topics import counted_places
from services.admin.statements import statement

_WRITTEN = statement("audit_written")
_COUNTED = statement("audit_counted")
_PORTION, _READ_TIMEOUT_MS = 1_000, 2_000
# Identities are remembered by buckets of four hours, for 28 hours at most.
_LONGEST_MS = 28 * 3600 * 1000
_LATE_MS = 23 * 3600 * 1000

_Place = tuple[str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Line:
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


@dataclass(frozen=True, slots=True)
class _Written:
    """Lines of a record that left rows, and when that record was appended."""

    appended_at_ms: int
    lines: frozenset[int]

    def of(self, record: Any) -> frozenset[int]:  # noqa: ANN401
        """Those of this record: another may have its offset, in a log that was made anew or cut."""
        return self.lines if record.timestamp == self.appended_at_ms else _NO_LINES


_NO_LINES: frozenset[int] = frozenset()
_NOTHING = _Written(0, _NO_LINES)


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
        return (await other_logs(self._consumer, self._name, {number: last})).get(number, "")

    async def first_uncounted(self, number: int) -> str:
        """The first line that should have a row, or a row like it, and has none."""
        partition = TopicPartition(self._name, number)
        first = (await self._consumer.beginning_offsets([partition]))[partition]
        end = (await self._consumer.end_offsets([partition]))[partition]
        every_record = self._every_record or bool(await self.other_log(number))
        written = await self._written(number, first)
        unproven: list[_Line] = []
        async for record in self._records(partition, first, end, () if every_record else written):
            lines = written.get(record.offset, _NOTHING).of(record)
            unproven += _lines_without_rows(record, lines)
            if len(unproven) >= _PORTION:
                if missing := await self._first_missing(unproven):
                    return missing
                unproven = []
        return await self._first_missing(unproven)

    async def _records(
        self, partition: TopicPartition, first: int, end: int, left_out: Container[int]
    ) -> AsyncIterator[Any]:
        """The records of a partition up to its end, without some."""
        offset = first
        while offset < end:
            if offset in left_out:
                offset += 1
                continue
            self._consumer.seek(partition, offset)
            found = await self._consumer.getmany(
                partition, timeout_ms=_READ_TIMEOUT_MS, max_records=_PORTION
            )
            for record in found.get(partition, ()):
                if record.offset < end and record.offset not in left_out:
                    self.read += 1
                    yield record
            # Behind the records, or behind what is none: a marker of somebody's transaction.
            behind = await self._consumer.position(partition)
            if behind <= offset:
                raise KafkaTimeoutError(f"{self._name}/{partition.partition} offset {offset}")
            offset = behind

    async def _written(self, number: int, first: int) -> dict[int, _Written]:
        result = await self._client.query(
            _WRITTEN, parameters={"topic": self._counted_as, "partition": number, "first": first}
        )
        return {
            offset: _Written(appended_ms, frozenset(lines))
            for offset, appended_ms, lines in result.result_rows
        }

    async def _first_missing(self, lines: list[_Line]) -> str:
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


def _is_duplicate(line: _Line, counted: Mapping[int, Sequence[int]]) -> bool:
    """Whether a copy was counted in the window before it or, if it is late, before."""
    ages_ms = [line.appended_at_ms - at_ms for at_ms in counted.get(line.identity, ())]
    return any(age_ms >= 0 and (age_ms < _LONGEST_MS or line.is_late) for age_ms in ages_ms)


def _lines_without_rows(record: Any, lines: Container[int]) -> Iterator[_Line]:  # noqa: ANN401
    """The lines of a record that are events, and left no row."""
    appended_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    oldest, newest = appended_at - OLDEST, appended_at + FARTHEST_AHEAD
    for number, event in decode_record(record.value or b""):
        if number in lines or isinstance(event, InvalidLine):
            continue
        if oldest <= event.occurred_at <= newest:
            yield _Line(record.partition, record.offset, number, event, record.timestamp)
