"""Tables full of events with the query service above them, for the parts that read."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

from clickhouse_connect.driver.asyncclient import AsyncClient
from pydantic import SecretStr

from libs.access.api_keys import Mode, Scope
from libs.access.key_store import add_key
from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings
from services.admin.keys import MAX_RATE, KeyRequest, make_key
from services.query.questions import Question
from tests.bench.ask import KEY, Times, times_of
from tests.e2e.processes import Service
from tests.e2e.stack import environment_of, user_of
from tests.servers import Servers, servers

_START_S = 30.0
_LOADING_S = 600.0

T = TypeVar("T")


@dataclass(frozen=True)
class Tables:
    """A database of our tables on real servers; `environment` is that of the services."""

    servers: Servers
    environment: dict[str, str]

    def run(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """The outcome of some work with a client that has all rights."""
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        client = await connect(self.settings())
        try:
            return await work(client)
        finally:
            await client.close()

    def settings(self) -> ClickHouseSettings:
        """Of an administrator who has time."""
        return ClickHouseSettings(
            url=self.servers.clickhouse_url,
            user=self.servers.admin.user,
            password=SecretStr(self.servers.admin.password),
            database=self.environment["RAGTIME_CLICKHOUSE__DATABASE"],
            timeout_s=_LOADING_S,
        )


@contextmanager
def tables() -> Iterator[Tables]:
    """Empty tables on servers of their own."""
    with servers() as real:
        yield new_tables(real)


def new_tables(real: Servers) -> Tables:
    """Empty tables beside others, in a database of their own."""
    made = Tables(real, environment_of(real))
    asyncio.run(_migrate(made.settings()))
    return made


async def _migrate(settings: ClickHouseSettings) -> None:
    system = await connect(settings, database="system")
    await apply(system, settings.database, read_migrations())
    await system.close()


@dataclass(frozen=True)
class Query:
    """The query service above tables, and keys that it knows."""

    service: Service
    keys: dict[str, str]

    def ask(self, question: Question, readers: int, seconds: float) -> Times:
        """How long the answers take that so many readers get in so many seconds."""
        days = {"from": str(question.first_day), "to": str(question.last_day)}
        device = {} if question.device_id is None else {"deviceId": question.device_id}
        path = f"/api/v1/projects/{question.project_id}/analytics?{urlencode(days | device)}"
        command = ["tests.bench.ask", self.service.url + path]
        command += [f"--readers={readers}", f"--seconds={seconds}"]
        environment = {KEY: self.keys[question.project_id]}
        return times_of(command, environment, seconds + _START_S)


@contextmanager
def query_above(found: Tables, *projects: str) -> Iterator[Query]:
    """The service, with a key for each of these projects."""
    keys = found.run(lambda client: _add_keys(client, found, projects))
    with tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder:
        environment = found.environment | user_of(found.servers, "query")
        service = Service("query", environment, Path(folder) / "query.log")
        service.start()
        try:
            service.wait_until_ready()
            yield Query(service, keys)
        finally:
            service.close()


async def _add_keys(
    client: AsyncClient, found: Tables, projects: tuple[str, ...]
) -> dict[str, str]:
    pepper = found.environment["RAGTIME_ACCESS__PEPPER"].encode()
    scopes = frozenset({Scope.ANALYTICS_READ})
    keys = {}
    for project in projects:
        request = KeyRequest(project, scopes, Mode.LIVE, MAX_RATE, "", None)
        key, stored = make_key(request, pepper, datetime.now(UTC))
        await add_key(client, stored)
        keys[project] = key
    return keys
