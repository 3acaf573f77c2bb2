"""What recovery and the writer say to ClickHouse, in the words that are sent."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.processor.ownership import Ownership
from services.processor.recovery import END_INSERTS, Recovery
from services.processor.statements import statement
from services.processor.writer import INSERT_SETTINGS, Writer

RUNNING = statement("running_inserts")


@dataclass
class Answer:
    result_rows: list[tuple[Any, ...]]


@dataclass
class Listening:
    """A client that keeps what it is told. `running`: the inserts that are found, look by look."""

    running: list[int] = field(default_factory=list)
    told: list[tuple[str, Mapping[str, Any] | None]] = field(default_factory=list)

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        self.told.append((sql, None))
        if "system.processes" in sql:
            return Answer([(self.running.pop(0) if self.running else 0,)])
        return Answer([(0,)] if "now64" in sql else [])

    async def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.told.append((sql, settings))

    async def raw_query(self, sql: str, **_: object) -> bytes:
        self.told.append((sql, None))
        return b""

    async def raw_insert(
        self, table: str, *, insert_block: Any, fmt: str, settings: Mapping[str, Any]
    ) -> None:
        self.told.append((f"INSERT INTO {table} FORMAT {fmt}", settings))


def recovery_of(client: Any) -> Recovery:
    """A recovery of an owner that Kafka confirms at once."""
    clock = itertools.count()

    async def confirm(_: Mapping[int, int]) -> bool:
        return True

    async def sleep(_: float) -> None:
        """No time passes but by looking at the clock."""

    own = Ownership(1.0, confirm, lambda: True, lambda: next(clock), sleep)
    return Recovery(client, "events", own, lambda: datetime(2026, 3, 25, tzinfo=UTC))


async def recover(client: Any) -> list[str]:
    """The beginnings of all statements of a recovery in which nothing is found."""
    await recovery_of(client).recover({3})
    return [sql for sql, _ in client.told]


async def test_recovery_ends_running_inserts_before_it_reads_anything() -> None:
    client = Listening(running=[1])

    told = await recover(client)

    asked = [
        "last_offsets",
        "differing_days",
        "mend_sources",
        "last_appended",
        "recent_conversations",
    ]
    time = statement("server_time")
    kill = END_INSERTS.replace("{tags}", "^ragtime-insert,([0-9]+,)*(3),")
    assert told == [RUNNING, time, kill, RUNNING, time, *map(statement, asked)]
    assert dict(client.told)[kill] is None
    assert dict(client.told)[statement("mend_sources")] == INSERT_SETTINGS


async def test_insert_is_one_block_and_tagged_with_its_partitions() -> None:
    client: Any = Listening()
    await Writer(client).insert([b"{}"], [4, 3])
    expected = INSERT_SETTINGS | {"log_comment": "ragtime-insert,3,4,"}
    assert client.told == [("INSERT INTO events FORMAT JSONEachRow", expected)]
    assert INSERT_SETTINGS == {
        "async_insert": 0,
        "deduplicate_insert": "disable",
        "input_format_parallel_parsing": 0,
        "max_insert_block_size": 10_000_000,
        "min_insert_block_size_rows": 10_000_000,
        "min_insert_block_size_bytes": 1 << 40,
        "date_time_input_format": "best_effort",
        "input_format_defaults_for_omitted_fields": 1,
    }


async def test_recovery_gets_on_with_each_answer() -> None:
    seen: list[int] = []

    class Watched(Listening):
        async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
            seen.append(recovery.steps)
            return await super().query(sql, parameters)

        async def raw_query(self, sql: str, **_: object) -> bytes:
            seen.append(recovery.steps)
            return await super().raw_query(sql)

    recovery = recovery_of(Watched())
    await recovery.recover({3})

    # The inserts, the time, the last offsets; days, sources (by `command`), times, conversations.
    assert seen == [0, 0, 0, 1, 3, 4]
    assert recovery.steps == 5
