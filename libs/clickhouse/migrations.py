"""Applies the numbered files of `migrations/` in order, and tells what is missing.

A file is never edited after it landed: its checksum stands in the table `migrations`, and a
difference is an error. Each statement is safe to run twice, so a run that was killed in the middle
is finished by the next. Services never apply anything: they compare, and are not ready until
it fits.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, Error

from libs.clickhouse.connection import first_line
from libs.telemetry.logs import get_logger

_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_END_OF_STATEMENT = re.compile(r";[ \t]*$", re.MULTILINE)
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81
_LEDGER = (
    "CREATE TABLE IF NOT EXISTS {database}.migrations"
    " (number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC'))"
    " ENGINE = MergeTree ORDER BY number"
)
_NOTE = (
    "INSERT INTO {database}.migrations SELECT {number:UInt32}, {name:String}, {checksum:String},"
    " now64(3)"
)
_DATABASE = "CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic"
_MADE_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \{database\}\.(\w+)")
READ_LEDGER = (
    "SELECT number, argMax(checksum, applied_at) FROM {database}.migrations GROUP BY number"
)
READ_ENGINES = (
    "SELECT name, engine FROM system.databases WHERE name = {database:String} UNION ALL"
    " SELECT concat(database, '.', name), engine FROM system.tables"
    " WHERE database = {database:String} AND name IN {tables:Array(String)}"
)
# What an engine is named that keeps rows on more servers than the one that is asked.
_OF_SEVERAL_SERVERS = ("Distributed", "Replicated", "Shared")
_WAIT_LOG_INTERVAL_S = 3.0

log = get_logger()

MIGRATIONS = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """The files and the ledger contradict each other, or the tables are on several servers; nothing
    was applied.
    """


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, its statements and the SHA-256 of its bytes."""

    number: int
    name: str
    statements: tuple[str, ...]
    checksum: str


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """All migrations by number. Raises MigrationError on a bad name or a gap in the numbers."""
    migrations = [_read(path) for path in sorted(folder.glob("*.sql"))]
    numbers = [migration.number for migration in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise MigrationError(f"migration numbers must run from 1 without a gap: {numbers}")
    return migrations


def _read(path: Path) -> Migration:
    match = _FILE_NAME.match(path.name)
    if match is None:
        raise MigrationError(f"{path.name}: a migration is named 0001_words_like_this.sql")
    text = path.read_text("utf-8")
    return Migration(
        number=int(match[1]),
        name=match[2],
        statements=split_statements(text),
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )


def split_statements(text: str) -> tuple[str, ...]:
    """The statements of a file; each ends with a semicolon at the end of a line."""
    parts = (part.strip() for part in _END_OF_STATEMENT.split(text))
    return tuple(part for part in parts if _has_sql(part))


def _has_sql(part: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines())


def missing(migrations: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """The migrations that a service of this release needs and that were not applied, given
    number → checksum of the ledger.

    Those of a newer release do not trouble it: a migration adds what the next release needs, and
    takes away only what no release before it needs any more. So services are replaced one by one.

    Raises MigrationError when an applied file was changed: going on would guess.
    """
    if edited := altered(migrations, applied):
        raise MigrationError(
            f"migration {edited[0].number:04}_{edited[0].name} was edited afterwards"
        )
    return unapplied(migrations, applied)


def unapplied(migrations: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """Those that the ledger does not have."""
    return [migration for migration in migrations if migration.number not in applied]


def pending(migrations: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """The migrations to apply. Raises MigrationError as well when a newer release was here before:
    what it did is unknown here.
    """
    if newer := unknown(migrations, applied):
        raise MigrationError(f"migration {newer[0]:04} was applied by a newer release than this")
    return missing(migrations, applied)


def altered(migrations: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """Those whose file is another one now than when it was applied."""
    return [one for one in migrations if applied.get(one.number, one.checksum) != one.checksum]


def unknown(migrations: list[Migration], applied: dict[int, str]) -> list[int]:
    """The numbers in the ledger that this release does not know, in order."""
    return sorted(applied.keys() - {one.number for one in migrations})


def table_names(migrations: Iterable[Migration]) -> frozenset[str]:
    """The tables that these make, and the ledger."""
    texts = [_LEDGER, *(text for one in migrations for text in one.statements)]
    return frozenset(name for text in texts for name in _MADE_TABLE.findall(text))


def replication_error(engines: Mapping[str, str]) -> str:
    """Why tables are refused, given the engines of a database and of its tables by name; empty
    where they are not.

    Recovery asks the table which records were counted. That is true of the server that took the
    inserts, and of no other replica.
    """
    for name, engine in sorted(engines.items()):
        if engine.startswith(_OF_SEVERAL_SERVERS):
            return (
                f"{name} has the engine {engine}: tables on several servers are not supported,"
                " because recovery could read a replica without the latest rows and count them"
                " twice; use a database with the engine Atomic, on one server"
            )
    return ""


async def read_ledger(client: AsyncClient, database: str) -> dict[int, str]:
    """Number → checksum of what was applied; empty where nothing was, not even the database."""
    try:
        rows = await client.query(READ_LEDGER.replace("{database}", database))
    except DatabaseError as error:
        if error.code in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE):
            return {}
        raise
    return {int(number): str(checksum) for number, checksum in rows.result_rows}


async def read_engines(client: AsyncClient, database: str) -> dict[str, str]:
    """The engines of the database and of our tables in it, by `database` and `database.table`.

    Every user may read them, for the tables that it has a right to.
    """
    tables = sorted(table_names(read_migrations()))
    found = await client.query(READ_ENGINES, parameters={"database": database, "tables": tables})
    return {str(name): str(engine) for name, engine in found.result_rows}


async def apply(client: AsyncClient, database: str, migrations: list[Migration]) -> None:
    """Apply these migrations in order and write each into the ledger. `client` needs all grants.

    Raises MigrationError before anything is changed where the tables are on several servers.
    """
    engines = await read_engines(client, database)
    if error := replication_error(engines):
        raise MigrationError(error)
    if database not in engines:
        await client.command(_DATABASE.replace("{database}", database))
    await client.command(_LEDGER.replace("{database}", database))
    for migration in migrations:
        for statement in migration.statements:
            await client.command(statement.replace("{database}", database))
        await client.command(
            _NOTE.replace("{database}", database),
            parameters={
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
            },
        )


async def wait_until_applied(client: AsyncClient, database: str) -> None:
    """Wait until the tables fit this release; says what is missing again and again."""
    migrations = read_migrations()

    async def lacking() -> list[Migration]:
        return missing(migrations, await read_ledger(client, database))

    await _wait_until_nothing_is(lacking)


async def wait_until_countable(client: AsyncClient, database: str) -> None:
    """Wait until the tables fit this release and are on one server: for the processor, which would
    count wrongly by a replica.
    """
    migrations = read_migrations()

    async def lacking() -> list[Migration]:
        found = missing(migrations, await read_ledger(client, database))
        if error := replication_error(await read_engines(client, database)):
            raise MigrationError(error)
        return found

    await _wait_until_nothing_is(lacking)


async def _wait_until_nothing_is(lacking: Callable[[], Awaitable[list[Migration]]]) -> None:
    while True:
        try:
            found = await lacking()
            if not found:
                return
            log.warning("migrations.waiting", missing=[migration.name for migration in found])
        except (Error, MigrationError) as error:
            log.warning("migrations.waiting", error=first_line(error))
        await asyncio.sleep(_WAIT_LOG_INTERVAL_S)
