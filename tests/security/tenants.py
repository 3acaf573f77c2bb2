"""Two tenants, and keys that may do only one thing."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.access.api_keys import Mode, Scope
from libs.access.key_store import add_key
from libs.clickhouse.connection import connect
from services.admin.keys import KeyRequest, make_key
from tests.e2e.stack import FAST, Project, Stack


@dataclass(frozen=True)
class Tenants:
    """A asks; B is who is asked about. `without` has A's keys by the scope that each lacks."""

    a: Project
    b: Project
    without: dict[str, str]


def make_tenants(stack: Stack) -> Tenants:
    """Both, when both services know their keys."""
    a, b = stack.new_projects(2)
    without = {scope.value: _add_key(stack, a, frozenset(Scope) - {scope}) for scope in Scope}
    for key in without.values():
        stack.wait_until_key_works(a.id, key)
    return Tenants(a, b, without)


def _add_key(stack: Stack, project: Project, scopes: frozenset[Scope]) -> str:
    pepper = stack.environment["RAGTIME_ACCESS__PEPPER"].encode()
    request = KeyRequest(project.id, scopes, Mode.LIVE, FAST, "", None)
    text, stored = make_key(request, pepper, datetime.now(UTC))

    async def add() -> None:
        client = await connect(stack.clickhouse_settings())
        await add_key(client, stored)
        await client.close()

    asyncio.run(add())
    return text
