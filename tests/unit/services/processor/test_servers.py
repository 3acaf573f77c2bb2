"""What the processor says to one server, and to a cluster, in the words that are sent."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from services.processor import servers
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery
from services.processor.statements import statement
from services.processor.writer import INSERT_SETTINGS, Writer

RUNNING = statement("running_inserts")


@dataclass
class Answer:
    result_rows: list[tuple[Any, ...]]


@dataclass
class Listening:
    """A client that keeps what it is told. `running`: the inserts that are found, look by look."""

    replicas: tuple[int, int, int] = (2, 2, 1)
    running: list[int] = field(default_factory=list)
    told: list[tuple[str, Mapping[str, Any] | None]] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    database: str = "ragtime"

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        self.told.append((sql, None))
        if "system.clusters" in sql:
            return Answer([self.replicas])
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

    def set_client_setting(self, name: str, value: str) -> None:
        self.sent[name] = value


async def recover(client: Any, cluster: str) -> list[str]:
    """The beginnings of all statements of a recovery in which nothing is found."""

    clock = itertools.count()

    async def confirm(_: Mapping[int, int]) -> bool:
        return True

    async def sleep(_: float) -> None:
        """No time passes but by looking at the clock."""

    own = Ownership(1.0, confirm, lambda: True, lambda: next(clock), sleep)
    now = datetime(2026, 3, 25, tzinfo=UTC)
    await Recovery(client, "events", own, lambda: now, cluster).recover({3})
    return [sql for sql, _ in client.told]


async def test_one_server_is_told_what_it_was_always_told() -> None:
    client = Listening(running=[1])

    told = await recover(client, "")

    asked = [
        "last_offsets",
        "differing_days",
        "mend_sources",
        "last_appended",
        "recent_conversations",
    ]
    time = "SELECT toUnixTimestamp64Micro(now64(6, 'UTC'))"
    kill = "KILL QUERY WHERE match(Settings['log_comment'], '^ragtime-insert,([0-9]+,)*(3),') ASYNC"
    assert told == [RUNNING, time, kill, RUNNING, time, *map(statement, asked)]
    assert client.sent == {}
    assert dict(client.told)[kill] is None
    assert dict(client.told)[statement("mend_sources")] == INSERT_SETTINGS


async def test_insert_is_the_same_for_one_server_and_for_a_cluster() -> None:
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


async def test_cluster_catches_up_after_inserts_have_ended_and_before_anything_is_read() -> None:
    client = Listening(running=[1])

    told = await recover(client, "c-1")

    running = servers.running_inserts(RUNNING, "c-1")
    assert running.endswith(
        "FROM clusterAllReplicas('c-1', system.processes)\n"
        "WHERE match(Settings['log_comment'], {tags:String})\n"
    )
    synced = [
        f"SYSTEM SYNC REPLICA ON CLUSTER 'c-1' ragtime.{table}_local LIGHTWEIGHT"
        for table in ("daily_counts", "events")
    ]
    kill = (
        "KILL QUERY ON CLUSTER 'c-1'"
        " WHERE match(Settings['log_comment'], '^ragtime-insert,([0-9]+,)*(3),') ASYNC"
    )
    without_time = [sql for sql in told[1:] if "now64" not in sql]
    assert "system.clusters" in told[0]
    assert without_time[:6] == [running, kill, running, *synced, statement("last_offsets")]
    assert dict(client.told)[synced[0]] == {
        "alter_sync": 2,
        "distributed_ddl_output_mode": "throw",
        "distributed_ddl_task_timeout": 25,
    }


async def test_every_statement_of_a_cluster_has_the_settings_that_make_it_exact() -> None:
    client = Listening(replicas=(3, 3, 1))
    await recover(client, "c")
    assert client.sent == {
        "distributed_foreground_insert": "1",
        "distributed_product_mode": "global",
        "insert_quorum": "3",
        "insert_quorum_parallel": "1",
        "insert_quorum_timeout": "20000",
        "optimize_skip_unused_shards": "0",
        "skip_unavailable_shards": "0",
    }


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        ((0, 0, 0), "not in remote_servers"),
        ((1, 2, 1), "as many replicas"),
        ((2, 2, 0), "internal_replication must be true"),
    ],
)
async def test_nothing_is_taken_over_when_the_cluster_is_not_as_it_must_be(
    replicas: tuple[int, int, int], told: str
) -> None:
    client = Listening(replicas=replicas)
    with pytest.raises(DatabaseError, match=told):
        await recover(client, "c")
    assert len(client.told) == 1
    assert client.sent == {}
