"""The migrations as files, without a server."""

import re
from pathlib import Path

import pytest

from libs.clickhouse.migrations import (
    Migration,
    MigrationError,
    missing,
    pending,
    read_migrations,
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
            # What is modified twice is what it was after the first time.
            assert re.search("IF NOT EXISTS|IF EXISTS|MODIFY (COLUMN|SETTING)", statement)


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
