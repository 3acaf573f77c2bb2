"""The verbs `ragtime backup` and `restore`."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.settings import ClickHouseSettings, load_settings
from services.admin.backups import (
    Done,
    back_up,
    check_that_it_is_there,
    on_disk,
    restore,
    tables_of,
)
from services.admin.groups import check_that_none_runs
from services.admin.running import fail, with_client
from services.admin.settings import BackupSettings, RestoreSettings
from services.admin.words import size

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def backup_(
    name: Annotated[
        str, typer.Argument(help="Of the backup; without one it is the time of day.")
    ] = "",
    since: Annotated[
        str, typer.Option(help="Write only what is new since this backup, which is kept, too.")
    ] = "",
) -> None:
    """Write a backup of the database, at any time; exit 1 where ClickHouse could not."""
    settings = load_settings(BackupSettings)
    name = _checked(name or f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}")
    base = on_disk(settings.backup.disk, _checked(since)) if since else None
    place = on_disk(settings.backup.disk, name)
    database = settings.clickhouse.database
    done = with_client(
        _without_database(settings), lambda client: back_up(client, database, place, base)
    )
    typer.echo(f"backup {name}: {_told(done)}")


def restore_(
    name: Annotated[str, typer.Argument(help="Of the backup.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the database first, with all that is in it.")
    ] = False,
    processors_are_stopped: Annotated[
        bool,
        typer.Option(help="Do not ask Kafka whether a processor runs: it is lost, too."),
    ] = False,
) -> None:
    """Bring the database back from a backup; the processors must be stopped."""
    settings = load_settings(RestoreSettings)
    place, database = on_disk(settings.backup.disk, _checked(name)), settings.clickhouse.database

    async def run(client: AsyncClient) -> Done:
        if not processors_are_stopped:
            await check_that_none_runs(settings.kafka, settings.group.name)
        number = await tables_of(client, database)
        if number and not replace:
            fail(f"database {database} has {number} tables; with --replace they are dropped")
        if number:
            await check_that_it_is_there(client, database, place)  # before anything is lost
        await client.command(f"DROP DATABASE IF EXISTS `{database}` SYNC")
        return await restore(client, database, place)

    done = with_client(_without_database(settings), run)
    typer.echo(f"restored {name}: {_told(done)}")
    typer.echo("next: `ragtime init`, a look at `ragtime keys list`, then start the processors")


def _without_database(settings: BackupSettings) -> ClickHouseSettings:
    return settings.clickhouse.model_copy(update={"database": "system"})  # ours may not be there


def _checked(name: str) -> str:
    if _NAME.match(name) is None:
        raise typer.BadParameter(
            f"{name!r}: 1 to 128 of A-Z, a-z, 0-9, `.`, `_` and `-`, and no `.` at the beginning"
        )
    return name


def _told(done: Done) -> str:
    return f"{done.files} files, {size(done.size)}"
