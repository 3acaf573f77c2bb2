"""The migrations as files, without a server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from libs.clickhouse.migrations import (
    Migration,
    MigrationError,
    apply,
    missing,
    pending,
    read_migrations,
    replication_error,
    split_statements,
    table_names,
)


def test_migrations_here_are_numbered_and_say_why_first() -> None:
    migrations = read_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.statements[0].startswith("-- ") for migration in migrations)


def test_statements_here_are_safe_to_run_twice() -> None:
    for migration in read_migrations():
        for statement in migration.statements:
            # What is modified twice is what it was after the first time; so is a maximum.
            assert re.search(
                "IF NOT EXISTS|IF EXISTS|MODIFY (COLUMN|SETTING)|SELECT(?s:.*) max", statement
            )


def test_split_statements_keeps_semicolons_inside_lines() -> None:
    text = "-- why; and so on\nCREATE TABLE a (x String DEFAULT ';');\n\n-- nothing here\n"
    assert split_statements(text) == ("-- why; and so on\nCREATE TABLE a (x String DEFAULT ';')",)


def test_pending_is_what_the_ledger_lacks() -> None:
    migrations = read_migrations()
    applied = {migrations[0].number: migrations[0].checksum}
    assert pending(migrations, applied) == migrations[1:]


def test_pending_refuses_when_an_applied_file_was_edited() -> None:
    with pytest.raises(MigrationError, match="edited"):
        pending(read_migrations(), {1: "0" * 64})


def test_service_misses_nothing_when_a_newer_release_has_migrated() -> None:
    migrations = read_migrations()
    applied = {migration.number: migration.checksum for migration in migrations}
    assert missing(migrations, applied | {999: "x"}) == []
    del applied[1]
    assert missing(migrations, applied | {999: "x"}) == migrations[:1]


def test_service_refuses_when_an_applied_file_was_edited() -> None:
    with pytest.raises(MigrationError, match="edited"):
        missing(read_migrations(), {1: "0" * 64})


def test_pending_refuses_when_a_newer_release_was_here() -> None:
    migrations = read_migrations()
    applied = {migration.number: migration.checksum for migration in migrations}
    with pytest.raises(MigrationError, match="newer"):
        pending(migrations, applied | {999: "x"})


@pytest.mark.parametrize("name", ["1_short.sql", "0001_Upper.sql", "0002_gap.sql"])
def test_read_migrations_refuses_when_a_name_or_number_is_off(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)


def test_table_names_are_those_that_the_files_make_and_the_ledger() -> None:
    file = Migration(1, "a", ("CREATE TABLE IF NOT EXISTS {database}.visitors\n(\n)",), "")
    assert table_names([file]) == {"visitors", "migrations"}
    assert {"events", "daily_counts", "api_keys"} < table_names(read_migrations())


ONE_SERVER = {"d": "Atomic", "d.events": "MergeTree", "d.sources": "ReplacingMergeTree"}


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("d", "Replicated"),
        ("d", "Shared"),
        ("d.events", "ReplicatedMergeTree"),
        ("d.sources", "ReplicatedReplacingMergeTree"),
        ("d.events", "SharedMergeTree"),
        ("d.sources", "SharedReplacingMergeTree"),
        ("d.events", "Distributed"),
    ],
)
def test_tables_are_refused_when_an_engine_is_one_of_several_servers(
    name: str, engine: str
) -> None:
    assert replication_error(ONE_SERVER | {name: engine}).startswith(
        f"{name} has the engine {engine}: tables on several servers are not supported, because"
    )


def test_tables_are_not_refused_when_they_are_on_one_server_or_not_there() -> None:
    assert replication_error({}) == ""
    assert replication_error(ONE_SERVER) == ""
    assert replication_error(ONE_SERVER | {"d": "Ordinary"}) == ""


@dataclass
class Engines:
    """A client that finds these engines, and keeps the commands."""

    found: dict[str, str]
    told: list[str] = field(default_factory=list)

    async def query(self, _sql: str, parameters: Mapping[str, Any]) -> "Engines":
        assert parameters["database"] == "d"
        assert {"events", "migrations"} < set(parameters["tables"])
        return self

    @property
    def result_rows(self) -> list[tuple[str, str]]:
        return list(self.found.items())

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.told.append(sql)


@pytest.mark.parametrize("engines", [{"d": "Shared"}, ONE_SERVER | {"d": "Replicated"}])
async def test_nothing_is_applied_when_the_database_is_one_of_several_servers(
    engines: dict[str, str],
) -> None:
    client: Any = Engines(engines)
    with pytest.raises(MigrationError, match="d has the engine"):
        await apply(client, "d", read_migrations())
    assert client.told == []


async def test_database_is_made_only_when_it_is_not_there() -> None:
    new: Any = Engines({})
    await apply(new, "d", [])
    there: Any = Engines({"d": "Atomic"})
    await apply(there, "d", [])
    assert new.told == ["CREATE DATABASE IF NOT EXISTS d ENGINE = Atomic", *there.told]
    assert [sql.split("(")[0] for sql in there.told] == ["CREATE TABLE IF NOT EXISTS d.migrations "]
