"""`ragtime migrate --check` tells by its exit code whether the tables fit, and changes nothing."""

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import MIGRATIONS, apply, read_migrations
from libs.settings import ClickHouseSettings
from services.admin.app import app

pytestmark = pytest.mark.integration

FORGET = "DELETE FROM {database}.migrations WHERE number = {number}"
ANOTHER = "INSERT INTO {database}.migrations VALUES (9000, 'later', 'x', now64(3))"
FILES = sorted(path.name for path in MIGRATIONS.glob("*.sql"))


def command(settings: ClickHouseSettings, sql: str) -> None:
    async def run() -> None:
        client = await connect(settings, database="system")
        await client.command(sql)
        await client.close()

    asyncio.run(run())


@pytest.fixture
def database(
    clickhouse_settings: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClickHouseSettings]:
    """A database that is not made yet, named in the environment; dropped afterwards."""
    for name in ("url", "user", "database"):
        monkeypatch.setenv(
            f"RAGTIME_CLICKHOUSE__{name.upper()}", getattr(clickhouse_settings, name)
        )
    password = clickhouse_settings.password.get_secret_value()
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__PASSWORD", password)
    yield clickhouse_settings
    command(clickhouse_settings, f"DROP DATABASE IF EXISTS {clickhouse_settings.database} SYNC")


def make_tables(settings: ClickHouseSettings) -> None:
    async def run() -> None:
        client = await connect(settings, database="system")
        await apply(client, settings.database, read_migrations())
        await client.close()

    asyncio.run(run())


def migrate(*options: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *options])


def test_check_names_every_migration_and_makes_nothing_when_there_are_no_tables(
    database: ClickHouseSettings,
) -> None:
    for _ in range(2):
        checked = migrate("--check")
        assert checked.exit_code == 1
        assert checked.stdout.splitlines() == [f"missing {name}" for name in FILES]


def test_check_is_content_when_all_are_applied(database: ClickHouseSettings) -> None:
    assert migrate().exit_code == 0

    checked = migrate("--check")

    assert (checked.exit_code, checked.stdout) == (0, "the tables are up to date\n")


def test_check_names_the_one_that_is_missing_when_the_rest_is_applied(
    database: ClickHouseSettings,
) -> None:
    migrate()
    command(database, FORGET.format(database=database.database, number=len(FILES)))

    checked = migrate("--check")

    assert (checked.exit_code, checked.stdout) == (1, f"missing {FILES[-1]}\n")


def test_old_release_may_start_and_may_not_migrate_when_a_newer_one_was_here(
    database: ClickHouseSettings,
) -> None:
    migrate()
    command(database, ANOTHER.format(database=database.database))

    assert migrate("--check").exit_code == 0

    for options in ([], ["--plan"]):
        refused = migrate(*options)
        assert refused.exit_code == 1
        assert "applied by a newer release" in refused.output


def test_check_fails_with_a_reason_when_clickhouse_is_away(
    database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__URL", "http://127.0.0.1:1")

    checked = migrate("--check")

    assert checked.exit_code == 1
    assert checked.output.startswith("ragtime: ")


def test_migrate_fails_with_the_reason_when_a_table_is_a_replica(
    database: ClickHouseSettings,
) -> None:
    migrate()
    name = f"{database.database}.retention"
    command(database, f"DROP TABLE {name} SYNC")
    command(
        database,
        f"ATTACH TABLE {name} UUID '{uuid.uuid4()}' (noted_at DateTime64(3), events_days UInt32)"
        f" ENGINE = ReplicatedMergeTree('/{name}', 'a') ORDER BY noted_at",
    )

    refused = migrate()

    command(database, f"DETACH TABLE {name} SYNC")  # dropped, it would wait for a Keeper
    assert refused.exit_code == 1
    assert refused.output.startswith(f"ragtime: {name} has the engine ReplicatedMergeTree: ")
    assert len(refused.output.splitlines()) == 1


def test_check_that_waits_is_content_once_another_has_made_the_tables(
    database: ClickHouseSettings,
) -> None:
    # Not by the runner: two at once would take each other's output.
    later = threading.Timer(1, make_tables, [database])
    later.start()

    checked = migrate("--check", "--wait", "60")

    later.join()
    assert (checked.exit_code, checked.stdout.splitlines()[-1]) == (0, "the tables are up to date")


def test_check_that_waits_names_what_is_missing_when_its_time_is_over(
    database: ClickHouseSettings,
) -> None:
    checked = migrate("--check", "--wait", "0.5")

    assert checked.exit_code == 1
    printed = [line for line in checked.stdout.splitlines() if line.startswith("missing ")]
    assert printed == [f"missing {name}" for name in FILES]
    assert "migrations.waiting" in checked.output


def test_check_that_waits_ends_with_a_reason_when_clickhouse_stays_away(
    database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGTIME_CLICKHOUSE__URL", "http://127.0.0.1:1")

    checked = migrate("--check", "--wait", "0.5")

    assert checked.exit_code == 1
    assert "ragtime: " in checked.output


def test_waiting_is_for_a_check_alone(database: ClickHouseSettings) -> None:
    refused = migrate("--wait", "5")

    assert refused.exit_code == 2
    assert "belongs to --check" in refused.output
