"""`ragtime audit`: proves on a live system that each event is counted once, in every rollup.

In the tables: no place in Kafka has two rows, no event counts twice, each conversation has one
first message a day, and the rollups hold what the raw table gives; for the days of which the
retention has left all. In Kafka: its partitions are what was counted from, and each record that has
no row, up to the end, holds nothing that should have one; what ClickHouse refused stands in the
dead letters.
What is being inserted at the moment may look like a difference: one counts when it is still the
same some looks later.
"""

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
)
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.kept_days import complete_since, noted
from libs.settings import KafkaSettings
from services.admin.audit_topic import AuditedTopic
from services.admin.noted_topics import noted_topic
from services.admin.statements import statement
from services.admin.topics import check_existence, reading

TABLE_CHECKS = {
    name: statement(f"audit_{name}")
    for name in ("places", "ids", "conversations", "counts", "sources")
}
_PARTITIONS = statement("audit_partitions")
_LAST_DAY = date(2149, 6, 6)  # that a Date can hold
_LOOKS, _PAUSE_S = 4, 1.0


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
    await check_existence(kafka, kafka.events_topic)
    async with reading(kafka, kafka.events_topic) as consumer:
        numbers: set[int] = consumer.partitions_for_topic(kafka.events_topic) or set()
        counted_as = (await noted_topic(client, kafka.events_topic)).counted_as
        topic = AuditedTopic(consumer, client, kafka, counted_as, every_record=every_record)
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
            looks["log"] = partial(topic.other_log, number)
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
