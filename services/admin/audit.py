"""`ragtime audit`: proves on a live system that each event is counted once, in every rollup.

In the tables: no place in Kafka has two rows, no event counts twice, each conversation has one
first message a day, and the rollups hold what the raw table gives; for the days of which the
retention has left all. In Kafka: each record that has no row holds nothing that should have one;
what ClickHouse refused stands in the dead letters.
What is being inserted at the moment may look like a difference: one counts when it is still the
same some looks later.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Container,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.kept_days import complete_since, noted
from libs.events.codec import InvalidLine, decode_record
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import identity_of
from libs.events.window import FARTHEST_AHEAD, OLDEST
from libs.settings import KafkaSettings
from services.admin.dead_letters import read_letters
from services.admin.noted_topics import noted_topic
from services.admin.statements import statement
from services.admin.topics import reading

TABLE_CHECKS = {
    name: statement(f"audit_{name}")
    for name in ("places", "ids", "conversations", "counts", "sources")
}
_PARTITIONS = statement("audit_partitions")
_WRITTEN = statement("audit_written")
_COUNTED = statement("audit_counted")
_LAST_DAY = date(2149, 6, 6)  # that a Date can hold
_LOOKS, _PAUSE_S = 4, 1.0
_PORTION, _READ_TIMEOUT_MS = 1_000, 2_000
# Identities are remembered by buckets of four hours, for 28 hours at most.
_LONGEST_MS = 28 * 3600 * 1000
_LATE_MS = 23 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that a check found wrong in a partition."""

    check: str
    partition: int
    what: str

    def __str__(self) -> str:
        return f"partition {self.partition}, {self.check}: {self.what}"


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and what was found. `since`: the first day, where the tables have it."""

    since: str
    partitions: int
    records: int
    differences: tuple[Difference, ...]


async def audit(
    client: AsyncClient, kafka: KafkaSettings, since: date, *, every_record: bool
) -> Audit:
    """Check all partitions. `every_record`: read the whole topic, not only what left no row.

    Raises the drivers' errors.
    """
    since = max(since, complete_since(await noted(client), datetime.now(UTC)) or since)
    async with reading(kafka, kafka.events_topic) as consumer:
        numbers: set[int] = consumer.partitions_for_topic(kafka.events_topic) or set()
        counted_as = (await noted_topic(client, kafka.events_topic)).counted_as
        topic = _Topic(consumer, client, kafka, counted_as, every_record=every_record)
        parameters = {
            "since": since,
            "topic": counted_as,
            "number_of_partitions": max(1, len(numbers)),
        }
        differences: list[Difference] = []
        written = {kp for (kp,) in (await client.query(_PARTITIONS)).result_rows}
        for number in sorted(numbers | written):
            looks: dict[str, Callable[[], Awaitable[str]]] = {
                name: partial(first_row, client, sql, parameters | {"partition": number})
                for name, sql in TABLE_CHECKS.items()
            }
            if number in numbers:
                looks["records"] = partial(topic.first_uncounted, number)
            for name, look in looks.items():
                if found := await steady(look):
                    differences.append(Difference(name, number, found))
        return Audit(str(since), len(numbers), topic.read, tuple(differences))


async def steady(look: Callable[[], Awaitable[str]]) -> str:
    """What each of some looks finds; nothing when one of them finds nothing or something else."""
    found = await look()
    for _ in range(_LOOKS - 1):
        if not found:
            break
        await asyncio.sleep(_PAUSE_S)
        again = await look()
        found = again if again == found else ""
    return found


async def first_row(client: AsyncClient, sql: str, parameters: dict[str, Any]) -> str:
    """The first difference that a check of the tables finds; empty without one.

    `parameters`: `partition`, `since`, `topic`, `number_of_partitions`; `until`, where days end.
    """
    result = await client.query(sql, parameters={"until": _LAST_DAY} | parameters)
    if not result.result_rows:
        return ""
    named = zip(result.column_names, result.result_rows[0], strict=True)
    return ", ".join(f"{name}={value!r}" for name, value in named)


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


class _Topic:
    """The records that Kafka still holds, against the rows that they left."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        client: AsyncClient,
        kafka: KafkaSettings,
        counted_as: str,
        *,
        every_record: bool,
    ) -> None:
        self._consumer = consumer
        self._client = client
        self._kafka = kafka
        self._name = kafka.events_topic
        self._counted_as = counted_as
        self._every_record = every_record
        self.read = 0

    async def first_uncounted(self, number: int) -> str:
        """The first line that should have a row, or a row like it, and has none."""
        partition = TopicPartition(self._name, number)
        first = (await self._consumer.beginning_offsets([partition]))[partition]
        written = await self._written(number, first)
        if not written:
            return ""
        unproven: list[_Line] = []
        async for record in self._records(partition, first, max(written), written):
            unproven += _lines_without_rows(record, written.get(record.offset, set()))
            if len(unproven) >= _PORTION:
                if missing := await self._first_missing(unproven):
                    return missing
                unproven = []
        return await self._first_missing(unproven)

    async def _records(
        self, partition: TopicPartition, first: int, last: int, written: Container[int]
    ) -> AsyncIterator[Any]:
        """The records to look into, up to the last one that left a row."""
        offset = first
        while offset <= last:
            if offset in written and not self._every_record:
                offset += 1
                continue
            self._consumer.seek(partition, offset)
            found = await self._consumer.getmany(
                partition, timeout_ms=_READ_TIMEOUT_MS, max_records=_PORTION
            )
            records = found.get(partition, [])
            if not records:  # nothing there any more, or a marker of somebody's transaction
                offset += 1
            for record in records:
                if record.offset <= last and (self._every_record or record.offset not in written):
                    self.read += 1
                    yield record
                offset = record.offset + 1

    async def _written(self, number: int, first: int) -> dict[int, set[int]]:
        result = await self._client.query(
            _WRITTEN, parameters={"topic": self._counted_as, "partition": number, "first": first}
        )
        return {offset: set(lines) for offset, lines in result.result_rows}

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


def _lines_without_rows(record: Any, lines: set[int]) -> Iterator[_Line]:  # noqa: ANN401
    """The lines of a record that are events, and left no row."""
    appended_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    oldest, newest = appended_at - OLDEST, appended_at + FARTHEST_AHEAD
    for number, event in decode_record(record.value or b""):
        if number in lines or isinstance(event, InvalidLine):
            continue
        if oldest <= event.occurred_at <= newest:
            yield _Line(record.partition, record.offset, number, event, record.timestamp)
