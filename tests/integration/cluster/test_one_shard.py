"""The tables of a cluster, and what is written and read through them, on the real engine.

One shard of one replica: what several servers add is not tried here (docs/cluster.md).
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from libs.clickhouse.cluster import SHARDED, on_this_server, rendered
from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import (
    MigrationError,
    apply,
    other_kind,
    pending,
    read_ledger,
    read_migrations,
    wait_until_applied,
)
from libs.settings import ClickHouseSettings
from services.admin.audit import TABLE_CHECKS, first_row
from services.admin.retention import keep, kept, months
from services.admin.statements import statement as admin_statement
from services.processor.agent import Agent
from services.processor.batch import Record
from services.processor.servers import CLUSTER_SETTINGS, kill_inserts, running_inserts
from services.processor.statements import statement
from services.processor.writer import Writer, tag, tags_of
from services.query.statements import COUNTS_OF_DEVICE, COUNTS_OF_PROJECT, SOURCE_NAMES
from tests.integration.cluster.stand_in import CLUSTER
from tests.integration.processor.agents import Failing, agent_of, counts, message
from tests.polling import until_answered
from tests.unit.services.processor.events import record

pytestmark = pytest.mark.integration

RESTORED = ("events", "daily_counts", "sources", "api_keys", "topics", "retention")
NOW_MS = round(datetime.now(UTC).timestamp() * 1000)


def records(*ids: str, partition: int = 0, first: int = 0) -> list[Record]:
    return [
        record(message(name), partition=partition, offset=first + at, at_ms=NOW_MS)
        for at, name in enumerate(ids)
    ]


@pytest.fixture
async def agent(cluster: AsyncClient) -> Agent:
    """It owns both partitions."""
    agent = agent_of(cluster, cluster=CLUSTER)
    await agent.take_over({0, 1})
    return agent


async def engines(client: AsyncClient) -> dict[str, str]:
    result = await client.query(
        "SELECT name, engine FROM system.tables WHERE database = currentDatabase()"
    )
    return {name: engine for name, engine in result.result_rows}  # noqa: C416 - rows have no type


async def test_sharded_tables_are_two_and_the_others_one(cluster: AsyncClient) -> None:
    assert await engines(cluster) == {
        "api_keys": "ReplacingMergeTree",
        "daily_counts": "Distributed",
        "daily_counts_local": "SummingMergeTree",
        "daily_counts_of_events": "MaterializedView",
        "events": "Distributed",
        "events_local": "MergeTree",
        "key_uses": "ReplacingMergeTree",
        "migrations": "MergeTree",
        "retention": "MergeTree",
        "sources": "ReplacingMergeTree",
        "sources_of_events": "MaterializedView",
        "topics": "ReplacingMergeTree",
    }


@pytest.mark.parametrize("table", sorted(SHARDED))
async def test_both_tables_have_the_same_columns_when_one_was_added(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings, table: str
) -> None:
    added = f"ALTER TABLE {{database}}.{table} ADD COLUMN IF NOT EXISTS later String"
    for sql in rendered(added, cluster_settings.database, CLUSTER):
        await cluster.command(sql)

    columns = (
        "SELECT name, type, default_kind, default_expression FROM system.columns"
        " WHERE database = currentDatabase() AND table = {table:String}"
    )
    over_all = await cluster.query(columns, parameters={"table": table})
    own = await cluster.query(columns, parameters={"table": f"{table}_local"})
    assert over_all.result_rows == own.result_rows
    assert "later" in {name for name, *_ in over_all.result_rows}


async def test_ledger_is_that_of_the_files_and_a_second_run_changes_nothing(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings
) -> None:
    database = cluster_settings.database
    files = {one.number: one.checksum for one in read_migrations()}
    before = await engines(cluster)
    assert await read_ledger(cluster, database) == files
    assert pending(read_migrations(), await read_ledger(cluster, database)) == []
    await apply(cluster, database, read_migrations(), CLUSTER)
    assert await engines(cluster) == before
    assert await read_ledger(cluster, database) == files


async def test_tables_of_a_cluster_are_refused_when_the_setting_is_empty(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings
) -> None:
    database = cluster_settings.database
    assert await other_kind(cluster, database, CLUSTER) == ""
    with pytest.raises(MigrationError, match="was made for a cluster"):
        await apply(cluster, database, read_migrations())


async def test_service_does_not_start_when_the_tables_are_of_the_other_kind(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings
) -> None:
    await wait_until_applied(cluster, cluster_settings.database, CLUSTER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wait_until_applied(cluster, cluster_settings.database, "")


async def test_tables_of_one_server_are_left_alone_when_the_setting_names_a_cluster(
    cluster_settings: ClickHouseSettings,
) -> None:
    system = await connect(cluster_settings, database="system")
    await apply(system, cluster_settings.database, read_migrations())
    client = await connect(cluster_settings)
    before = await engines(client)
    with pytest.raises(MigrationError, match="was made for one server"):
        await apply(system, cluster_settings.database, read_migrations(), CLUSTER)
    assert await engines(client) == before
    await client.close()
    await system.command(f"DROP DATABASE {cluster_settings.database} SYNC")
    await system.close()


async def test_batch_is_counted_in_one_part_and_read_through_both_tables(
    agent: Agent, cluster: AsyncClient
) -> None:
    await agent.process(records("a", "b") + records("c", partition=1))
    found = await counts(cluster)
    assert (found["_events", ""], found["conversation", "total"]) == (3, 2)
    result = await cluster.query(
        "SELECT category, key, sum(value) FROM daily_counts_local GROUP BY ALL"
    )
    assert {(category, key): value for category, key, value in result.result_rows} == found
    parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active"
    assert (await cluster.query(f"{parts} AND table = 'events_local'")).result_rows == [(1,)]


async def test_repeats_are_not_counted_again_by_the_next_owner(
    agent: Agent, cluster: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    other = agent_of(cluster, cluster=CLUSTER)
    await other.take_over({0})
    assert other.partitions[0].next_offset == 2
    await other.process(records("a", "b", "b", "c"))
    found = await counts(cluster)
    assert (found["_events", ""], found["conversation", "total"]) == (3, 1)


async def test_batch_is_counted_once_when_the_answer_of_its_insert_is_lost(
    cluster: AsyncClient,
) -> None:
    lost = OperationalError("the connection was reset")
    agent = agent_of(cluster, Failing(cluster, [lost], after=True), cluster=CLUSTER)
    await agent.take_over({0})
    await agent.process(records("a", "b"))
    await agent.process(records("c", "a", first=2))
    assert (await counts(cluster))["_events", ""] == 3


async def test_same_counts_are_added_again_when_they_are_no_repeat(
    agent: Agent, cluster: AsyncClient
) -> None:
    # Both blocks of the view hold the same: one more message on the same day.
    await agent.process(records("a"))
    await agent.process(records("b", first=1))
    await agent.process(records("c", first=2))
    assert (await counts(cluster))["usage", "public"] == 3


async def test_rollup_is_mended_when_a_kill_lost_its_part(
    agent: Agent, cluster: AsyncClient
) -> None:
    await agent.process(records("a", "b"))
    before = await counts(cluster)
    await cluster.command("TRUNCATE TABLE daily_counts_local")
    assert await counts(cluster) == {}
    await agent.take_over({0, 1})
    assert await counts(cluster) == before


async def test_insert_is_refused_when_its_lease_has_passed(cluster: AsyncClient) -> None:
    row = '{"id":"a","kp":0,"ko":1,"lease":"2026-01-01 00:00:00.000","appended_at":"%s"}'
    with pytest.raises(DatabaseError, match="lease_has_not_passed"):
        await Writer(cluster).insert([(row % datetime.now(UTC).isoformat()).encode()], [0])
    assert (await cluster.query("SELECT count() FROM events")).result_rows == [(0,)]


async def test_running_insert_is_found_and_ended_on_all_servers(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings
) -> None:
    other = await connect(cluster_settings)
    slow = "INSERT INTO daily_counts (kp, value) SELECT 3, sleepEachRow(0.1) FROM numbers(600)"
    running = asyncio.ensure_future(
        other.command(f"{slow} SETTINGS max_block_size = 1", settings=tag([3]) | CLUSTER_SETTINGS)
    )
    ask = running_inserts(statement("running_inserts"), CLUSTER)

    async def is_found() -> bool:
        result = await cluster.query(ask, parameters={"tags": tags_of([3])})
        return bool(result.result_rows[0][0])

    await until_answered(is_found)
    await cluster.command(kill_inserts(tags_of([3]), CLUSTER))
    with pytest.raises(DatabaseError):
        await running
    assert not await is_found()
    await other.close()


async def test_questions_and_audit_read_what_was_counted(
    agent: Agent, cluster: AsyncClient
) -> None:
    await agent.process(records("a", "b") + records("c", partition=1))
    today = datetime.now(UTC).date()
    parameters = {
        "project_id": "p",
        "modes": [True, False],
        "categories": ["usage"],
        "device_id": "",
        "first_day": today - timedelta(days=1),
        "last_day": today + timedelta(days=1),
    }
    for sql in (COUNTS_OF_PROJECT, COUNTS_OF_DEVICE):
        result = await cluster.query(sql, parameters=parameters)
        assert sum(row[-1] for row in result.result_rows) == 3
    assert (await cluster.query(SOURCE_NAMES, parameters=parameters)).result_rows == []
    for partition in (0, 1):
        asked = {
            "partition": partition,
            "since": today - timedelta(days=40),
            "topic": "events",
            "number_of_partitions": 2,
        }
        for name, sql in TABLE_CHECKS.items():
            assert await first_row(cluster, sql, asked) == "", name


async def test_retention_is_that_of_the_tables_beneath(agent: Agent, cluster: AsyncClient) -> None:
    await agent.process(records("a"))
    await keep(cluster, 100, CLUSTER)
    assert (await kept(cluster, CLUSTER)).days == 100
    assert [rows for _, _, rows, _ in await months(cluster, CLUSTER)] == [1]
    growth = await cluster.query(on_this_server(admin_statement("doctor_growth"), CLUSTER))
    assert growth.result_rows[0][1] >= 0
    await keep(cluster, 0, CLUSTER)
    assert (await kept(cluster, CLUSTER)).days == 0


async def test_every_statement_is_understood_by_the_engines_parser(cluster: AsyncClient) -> None:
    """As it is sent to a cluster, with nothing taken out."""
    sent = [sql for one in read_migrations() for text in one.statements
            for sql in rendered(text, "d", "c")]  # fmt: skip
    sent += [
        "SYSTEM SYNC REPLICA ON CLUSTER 'c' d.events_local LIGHTWEIGHT",
        kill_inserts(tags_of([1]), "c"),
        "ALTER TABLE events_local ON CLUSTER 'c' REMOVE TTL",
    ]
    for sql in sent:
        result = await cluster.query("SELECT formatQuery({sql:String})", parameters={"sql": sql})
        understood = result.result_rows[0][0]
        assert ("ON CLUSTER 'c'" in sql) == ("ON CLUSTER c" in understood)
        assert ("ENGINE = Replicated" in sql) == ("ENGINE = Replicated" in understood)


async def test_counts_of_one_server_are_restored_into_a_cluster_and_go_on(
    cluster: AsyncClient, cluster_settings: ClickHouseSettings
) -> None:
    system = await connect(cluster_settings, database="system")
    old = f"old_{cluster_settings.database}"
    await apply(system, old, read_migrations())
    one_server = await connect(cluster_settings.model_copy(update={"database": old}))
    before = agent_of(one_server)
    await before.take_over({0, 1})
    await before.process(records("a", "b") + records("c", partition=1))
    to = f"Disk('backups', '{old}')"
    await system.command(f"BACKUP DATABASE {old} TO {to}")

    for table in RESTORED:
        into = f"{table}_local" if table in SHARDED else table
        await system.command(
            f"RESTORE TABLE {old}.{table} AS {cluster_settings.database}.{into} FROM {to}"
            " SETTINGS allow_different_table_def = 1, allow_non_empty_tables = 1"
        )

    assert await counts(cluster) == await counts(one_server)
    after = agent_of(cluster, cluster=CLUSTER)
    await after.take_over({0, 1})
    await after.process(records("a", "b", "d"))
    assert (await counts(cluster))["_events", ""] == 4
    await one_server.close()
    await system.command(f"DROP DATABASE {old} SYNC")
    await system.close()
