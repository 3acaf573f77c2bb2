"""Tries each statement of a service as its user, as far as its rights and settings.

A server checks all rights of a statement for EXPLAIN PIPELINE, and reads nothing; an INSERT is one
of nothing, a KILL only tells. All go with the settings that the service sends, as the profile of
its user may refuse them: those of its client, and those of the statement.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError

from libs.clickhouse.connection import changeable_settings, first_line

A = TypeVar("A")
B = TypeVar("B")

# A right that is missing, a profile that only reads.
REFUSALS = frozenset({164, 497})
_REFUSED_SETTINGS = frozenset({115, 452})
_AT_ONCE = 8
_MISSING = re.compile(r"necessary to have the grant (.+?)\.? \(")


class Statement(msgspec.Struct, frozen=True):
    """A statement, or an insert into a table. `sent`: with each of the client's.

    `optional`: the service does without it, where its user or a profile that fixes its settings
    does not allow it.
    """

    name: str
    sql: str = ""
    table: str = ""
    parameters: dict[str, object] = {}
    sent: dict[str, str] = {}
    settings: dict[str, Any] = {}
    optional: bool = False

    async def run(self, client: AsyncClient) -> None:
        """Let the server look at it. Raises the driver's `Error`."""
        settings = changeable_settings(client, self.sent) | self.settings
        if self.table:
            await client.raw_insert(
                self.table, insert_block=b"", fmt="JSONEachRow", settings=settings
            )
        else:
            explained = self.sql if self.sql.startswith("KILL") else f"EXPLAIN PIPELINE {self.sql}"
            await client.raw_query(explained, self.parameters, settings=settings)


STATEMENTS = msgspec.json.decode(
    (Path(__file__).parent / "statements.json").read_bytes(), type=dict[str, list[Statement]]
)


async def lacking(client: AsyncClient, service: str) -> dict[str, str]:
    """What the client's user lacks for statements of a service, by their names."""
    named = {one.name: one for one in STATEMENTS[service]}
    found = await each(named, lambda one: refusal(client, one))
    return {name: lacks for name, lacks in found.items() if lacks}


async def each(asked: Mapping[str, A], ask: Callable[[A], Awaitable[B]]) -> dict[str, B]:
    """What each is answered, a few at a time: the doctor is given seconds."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, what: A) -> tuple[str, B]:
        async with free:
            return name, await ask(what)

    return dict(await asyncio.gather(*(one(name, asked[name]) for name in sorted(asked))))


async def refusal(client: AsyncClient, one: Statement) -> str:
    """The right or the setting that a statement lacks; empty where it may.

    That it fails otherwise is no matter of rights: other checks tell.
    """
    try:
        await one.run(client)
    except ProgrammingError as error:  # the profile has fixed a setting, as the driver knows
        return "" if one.optional else first_line(error)
    except DatabaseError as error:
        if error.code in _REFUSED_SETTINGS:
            return first_line(error)
        if error.code in REFUSALS and not one.optional:
            found = _MISSING.search(str(error))
            return found[1] if found else f"error {error.code}"
    return ""
