"""Backup and restore of the database by ClickHouse's own statements, waited for to their end.

The statements run in the server's background: no time-out between it and us ends them, and
`system.backups` tells how they went.
"""

import asyncio
from dataclasses import dataclass

from clickhouse_connect.driver.asyncclient import AsyncClient

from services.admin.statements import statement

_STATE = statement("backup_state")
_LOOK_S = 0.5
_CHECKED_TABLE = "migrations"
_UNDER_WAY = frozenset({"CREATING_BACKUP", "RESTORING"})
_DONE = frozenset({"BACKUP_CREATED", "RESTORED"})


class BackupError(Exception):
    """ClickHouse did not do it; the text says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was written or read. `size`: bytes, of all files, those of a base too."""

    files: int
    size: int


async def back_up(client: AsyncClient, database: str, place: str, base: str | None) -> Done:
    """Write a backup of a database; with `base` only what is new since that one.

    `place` and `base`: as ClickHouse writes them, from `on_disk`. Raises BackupError, and the
    driver's `Error` where the server refuses at once.
    """
    settings = "" if base is None else f" SETTINGS base_backup = {base}"
    return await _run(client, f"BACKUP DATABASE `{database}` TO {place}{settings} ASYNC")


async def restore(client: AsyncClient, database: str, place: str) -> Done:
    """Bring a database back that is not there. Raises as `back_up` does."""
    return await _run(client, f"RESTORE DATABASE `{database}` FROM {place} ASYNC")


async def check_that_it_is_there(client: AsyncClient, database: str, place: str) -> None:
    """Raise as `back_up` does where this database cannot be restored from there.

    Its smallest table is, beside those that are there, and dropped again.
    """
    copy = f"`{database}`.`{_CHECKED_TABLE}_of_a_backup`"
    await client.command(f"DROP TABLE IF EXISTS {copy} SYNC")
    source = f"`{database}`.`{_CHECKED_TABLE}`"
    await _run(client, f"RESTORE TABLE {source} AS {copy} FROM {place} ASYNC")
    await client.command(f"DROP TABLE {copy} SYNC")


def on_disk(disk: str, name: str) -> str:
    """Where a backup lies. Both are names without quotes."""
    return f"Disk('{disk}', '{name}')"


async def tables_of(client: AsyncClient, database: str) -> int:
    """How many tables a database has; 0 where there is no database."""
    asked = "SELECT count() FROM system.tables WHERE database = {database:String}"
    ((number,),) = (await client.query(asked, parameters={"database": database})).result_rows
    return int(number)


async def _run(client: AsyncClient, sql: str) -> Done:
    ((id_, _),) = (await client.query(sql)).result_rows
    while True:
        rows = (await client.query(_STATE, parameters={"id": id_})).result_rows
        if not rows:  # the server was started anew, and remembers nothing
            raise BackupError("ClickHouse does not know any more how it went; look at its log")
        ((status, error, files, size),) = rows
        if status in _DONE:
            return Done(files, size)
        if status not in _UNDER_WAY:
            raise BackupError(str(error).partition(", Stack trace")[0] or status)
        await asyncio.sleep(_LOOK_S)
