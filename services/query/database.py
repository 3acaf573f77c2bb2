"""The one ClickHouse client of the process: made when the server is there, asked with a deadline.

The service listens before ClickHouse answers and goes on when it does not; what is known of the
server is refreshed in the background, so that readiness answers at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.clickhouse.migrations import MigrationError, pending, read_ledger, read_migrations
from libs.http.problems import Problem
from libs.telemetry.logs import get_logger
from services.query.statements import Statement

_CHECK_INTERVAL_S = 3.0
_CHECK_TIMEOUT_S = 5.0
_RETRY_AFTER_S = 3

log = get_logger()


class Database:
    """`run` connects and watches; `rows` asks, or raises the Problem of an absent server."""

    def __init__(
        self, connect: Callable[[], Awaitable[AsyncClient]], name: str, timeout_s: float
    ) -> None:
        self._connect = connect
        self._name = name
        self._timeout_s = timeout_s
        self._client: AsyncClient | None = None
        self._connected = asyncio.Event()
        self._is_reachable = False
        self._fits = False

    def checks(self) -> dict[str, bool]:
        """What readiness needs to know, as of a few seconds ago."""
        return {"clickhouse": self._is_reachable, "migrations": self._fits}

    async def rows(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The rows of a statement; a server that is away, slow or refuses is a 503."""
        if self._client is None:
            raise _unavailable()
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await self._client.query(statement.sql, parameters=statement.parameters)
        except (Error, OSError, TimeoutError) as error:
            log.warning("query.unavailable", error=first_line(error))
            raise _unavailable() from error
        return result.result_rows

    async def client(self) -> AsyncClient:
        """The client, as soon as there is one."""
        await self._connected.wait()
        assert self._client is not None  # noqa: S101
        return self._client

    async def run(self) -> None:
        """Connect, then look every few seconds whether the server answers and the tables fit."""
        self._client = await self._connect()
        self._connected.set()
        while True:
            await self._check(self._client)
            await asyncio.sleep(_CHECK_INTERVAL_S)

    async def _check(self, client: AsyncClient) -> None:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                applied = await read_ledger(client, self._name)
            self._is_reachable = True
            missing = [migration.name for migration in pending(read_migrations(), applied)]
            self._fits = not missing
            if missing:
                log.warning("migrations.waiting", missing=missing)
        except MigrationError as error:
            self._fits = False
            log.warning("migrations.waiting", error=first_line(error))
        except (Error, OSError, TimeoutError) as error:
            self._is_reachable = False
            log.warning("clickhouse.waiting", error=first_line(error))

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.close()


def _unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "The analytics cannot be read at the moment; try again.",
        {"Retry-After": str(_RETRY_AFTER_S)},
    )
