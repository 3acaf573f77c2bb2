"""Whether each service's user of ClickHouse may do what it needs, and no more.

Asked of ClickHouse by doing it, without rows: `SELECT … LIMIT 0`, an INSERT of nothing, and a
database that is there already. That is true of any server, with roles and profiles.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import read_migrations, table_names
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.settings import DoctorSettings

TABLES = table_names(read_migrations())
# A refusal: a password that is wrong, a right that is missing, a profile that only reads.
_LOGIN = frozenset({193, 194, 516})
_REFUSALS = frozenset({164, 497})
_NO_DATA = 108


@dataclass(frozen=True, slots=True)
class Needs:
    """What a service's user must be able to do, and what it may besides."""

    reads: frozenset[str]
    inserts: frozenset[str] = frozenset()
    may_insert: frozenset[str] = frozenset()


NEEDS = {
    "ingest": Needs(frozenset({"api_keys", "migrations"}), may_insert=frozenset({"key_uses"})),
    "processor": Needs(
        frozenset({"events", "daily_counts", "topics", "migrations"}),
        frozenset({"events", "daily_counts", "sources"}),
    ),
    "query": Needs(
        frozenset({"events", "daily_counts", "sources", "api_keys", "migrations"}),
        may_insert=frozenset({"key_uses"}),
    ),
}


@dataclass(slots=True)
class Seen:
    """What was found of all users."""

    looked_at: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


async def rights(installation: Installation) -> Finding:
    """The users of the services may do what they need, and no more."""
    seen = Seen()
    for service, needs in NEEDS.items():
        await _look(installation.settings, service, needs, seen)
    expected = 'the rights of "ClickHouse users" in docs/operating.md'
    told = seen.lacking + seen.beyond
    if seen.lacking:
        return fail("; ".join(told), expected, "Grant what is missing, or correct the password.")
    if seen.beyond:
        return warn("; ".join(told), expected, "Revoke what is not needed.")
    if seen.unknown:
        return warn(
            f"not looked at, without {', '.join(seen.unknown)}",
            "the passwords of the services' users",
            "Set these variables for `ragtime doctor`, or leave this out with `--skip rights`.",
        )
    return ok(f"{', '.join(seen.looked_at)}: what they need, and no more")


async def _look(settings: DoctorSettings, service: str, needs: Needs, seen: Seen) -> None:
    user: str = getattr(settings.doctor, f"{service}_user")
    password: SecretStr | None = getattr(settings.doctor, f"{service}_password")
    if password is None:
        seen.unknown.append(f"RAGTIME_DOCTOR__{service.upper()}_PASSWORD")
        return
    own = settings.clickhouse.model_copy(update={"user": user, "password": password})
    try:
        client = await connect(own)
    except DatabaseError as error:
        if error.code not in _LOGIN:
            raise
        seen.lacking.append(f"{user} cannot log in")
        return
    try:
        await _ask(client, user, needs, seen)
    finally:
        await client.close()
    seen.looked_at.append(user)


async def _ask(client: AsyncClient, user: str, needs: Needs, seen: Seen) -> None:
    for table in sorted(needs.reads):
        if not await _may(client.query(f"SELECT 1 FROM {table} LIMIT 0")):  # noqa: S608 - a constant
            seen.lacking.append(f"{user} may not read {table}")
    for table in sorted(TABLES):
        may = await _may(client.raw_insert(table, insert_block=b"", fmt="JSONEachRow"))
        if table in needs.inserts and not may:
            seen.lacking.append(f"{user} may not insert into {table}")
        if may and table not in needs.inserts | needs.may_insert:
            seen.beyond.append(f"{user} may insert into {table}")
    if await _may(client.command(f"CREATE DATABASE IF NOT EXISTS {client.database}")):
        seen.beyond.append(f"{user} may create databases")


async def _may(statement: Awaitable[object]) -> bool:
    try:
        await statement
    except DatabaseError as error:
        if error.code in _REFUSALS:
            return False
        if error.code != _NO_DATA:
            raise
    return True
