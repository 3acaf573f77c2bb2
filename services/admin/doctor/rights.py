"""Whether each service's user of ClickHouse may do what it needs, and no more.

Asked of ClickHouse by doing it, without rows: `SELECT … LIMIT 0`, an INSERT of nothing, a database
that is there already; and each statement of the service (`statements`). That is true of any server,
with roles and profiles.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import read_migrations, table_names
from libs.clickhouse.rights import INSERT, SELECT, SERVICES, Grant, rights_of, tables_of
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.doctor.statements import REFUSALS, each, lacking
from services.admin.settings import DoctorSettings

TABLES = table_names(read_migrations())
# A password that is wrong, a user that is not there.
_LOGIN = frozenset({193, 194, 516})
_NO_DATA = 108
_GRANT = (
    "Grant what is missing, let the user's profile take the settings that it refuses, or correct"
    " the password."
)


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
    await asyncio.gather(
        *(_look(installation.settings, service, rights_of(service), seen) for service in SERVICES)
    )
    expected = 'the rights of "ClickHouse users" in docs/operating.md'
    told = sorted(seen.lacking) + sorted(seen.beyond)
    if seen.lacking:
        return fail("; ".join(told), expected, _GRANT)
    if seen.beyond:
        return warn("; ".join(told), expected, "Revoke what is not needed.")
    if seen.unknown:
        return warn(
            f"not looked at, without {', '.join(sorted(seen.unknown))}",
            "the passwords of the services' users",
            "Set these variables for `ragtime doctor`, or leave this out with `--skip rights`.",
        )
    return ok(f"{', '.join(sorted(seen.looked_at))}: what they need, and no more")


async def _look(
    settings: DoctorSettings, service: str, grants: tuple[Grant, ...], seen: Seen
) -> None:
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
        await _ask(client, user, grants, seen)
        if not any(told.startswith(user) for told in seen.lacking):
            found = await lacking(client, service)
            seen.lacking += [f"{user} may not run {name}: {lacks}" for name, lacks in found.items()]
    finally:
        await client.close()
    seen.looked_at.append(user)


async def _ask(client: AsyncClient, user: str, grants: tuple[Grant, ...], seen: Seen) -> None:
    reads = {table: f"SELECT 1 FROM {table} LIMIT 0" for table in _readable(grants)}  # noqa: S608 - constants
    asked = await each(reads, lambda sql: _may(client.raw_query(sql)))
    seen.lacking += [f"{user} may not read {table}" for table, may in asked.items() if not may]
    must, may_only = _insertable(grants)
    inserts = {table: table for table in TABLES | must}
    for table, may in (await each(inserts, lambda table: _insert_nothing(client, table))).items():
        if table in must and not may:
            seen.lacking.append(f"{user} may not insert into {table}")
        if may and table not in must | may_only:
            seen.beyond.append(f"{user} may insert into {table}")
    if await _may(client.command(f"CREATE DATABASE IF NOT EXISTS {client.database}")):
        seen.beyond.append(f"{user} may create databases")


def _readable(grants: Iterable[Grant]) -> frozenset[str]:
    of_system = {one.on for one in grants if one.system_table and SELECT in one.privileges}
    return tables_of(grants, SELECT) | of_system


def _insertable(grants: Iterable[Grant]) -> tuple[frozenset[str], frozenset[str]]:
    """The tables that the service inserts into, and those that it would like to."""
    must = tables_of((one for one in grants if not one.optional), INSERT)
    return must, tables_of(grants, INSERT) - must


async def _insert_nothing(client: AsyncClient, table: str) -> bool:
    return await _may(client.raw_insert(table, insert_block=b"", fmt="JSONEachRow"))


async def _may(statement: Awaitable[object]) -> bool:
    try:
        await statement
    except DatabaseError as error:
        if error.code in REFUSALS:
            return False
        if error.code != _NO_DATA:
            raise
    return True
