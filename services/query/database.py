"""The ClickHouse clients of the process: made when the server is there, asked with a deadline.

One for answers, with their caps; one for what the service asks for itself: those caps are about the
size of answers, and more keys than an answer may have rows must not be keys that are never read.

The service listens before ClickHouse answers and goes on when it does not; what is known of the
server is refreshed in the background, so that readiness answers at once.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import first_line
from libs.clickhouse.kept_days import Noted, noted
from libs.clickhouse.migrations import MigrationError, missing, read_ledger, read_migrations
from libs.http.budget import Budget
from libs.http.problems import Problem
from libs.telemetry.logs import get_logger
from services.query.settings import QuerySettings
from services.query.statements import Statement

_CHECK_INTERVAL_S = 3.0
_CHECK_TIMEOUT_S = 5.0
_RETRY_AFTER_S = 3

# Statements that wait for their turn; requests under way are limited long before.
_MAX_WAITING = 10_000

# What an answer may be made of beside others; a larger one is made alone.
SMALL = {"max_result_rows": "10000", "max_result_bytes": str(2 << 20)}

# Codes of ClickHouse: more rows, or bytes, were read or found than the settings allow, or one
# statement took more memory than it may. The same question would meet that again; where the server
# as a whole is short of memory it may pass later on.
_TOO_MUCH = re.compile(
    r"Code: (?:158|307|396)\b|Code: 241\b.*(?:Query memory limit|Memory limit \(for query\))"
)

_TOO_MANY_FOUND = re.compile(r"Code: 396\b")

# What goes with the service's own statements: none runs on when nobody waits for it any more.
OWN_CAPS = {"max_execution_time": "10"}

# Makes a client whose statements go with these settings of ClickHouse.
Connect = Callable[[Mapping[str, str]], Awaitable[AsyncClient]]

log = get_logger()


def caps(settings: QuerySettings) -> dict[str, str]:
    """ClickHouse's own settings for each statement: it reads only, and takes no more than this."""
    return {
        "readonly": "1",
        "max_execution_time": str(math.ceil(settings.timeout_s)),
        "max_memory_usage": str(settings.max_memory_bytes),
        "max_threads": str(settings.max_threads),
        "max_rows_to_read": str(settings.max_rows_read),
        "max_result_rows": str(settings.max_rows),
        "max_result_bytes": str(settings.max_result_bytes),
        "result_overflow_mode": "throw",
        "cancel_http_readonly_queries_on_client_close": "1",
    }


class NotSmallError(Exception):
    """More was found than an answer may have that is made beside others."""


class Database:
    """`run` connects and watches; a session asks. `share` of statements at once: see Shares."""

    def __init__(self, connect: Connect, name: str, settings: QuerySettings, share: float) -> None:
        self._connect = connect
        self._caps = caps(settings)
        self._name = name
        self._timeout_s = settings.timeout_s
        self._running = Budget(settings.max_running, share, max_waiting=_MAX_WAITING)
        self._client: AsyncClient | None = None
        self._own: AsyncClient | None = None
        self._connected = asyncio.Event()
        self._sends_limits = True
        self._is_reachable = False
        self._fits = False
        self.noted: Noted = ()  # what was kept of the raw events, as of a few seconds ago

    def checks(self) -> dict[str, bool]:
        """What readiness needs to know, as of a few seconds ago."""
        return {"clickhouse": self._is_reachable, "migrations": self._fits}

    @asynccontextmanager
    async def session(self, holder: Hashable) -> AsyncIterator["Session"]:
        """All statements of one question: they share one deadline, waiting included.

        `holder`: for whom it is asked; its statements take turns with those of others. A server
        that is away, slow or refuses is a 503.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                yield Session(self, holder)
        except (Error, OSError, TimeoutError) as error:
            if _TOO_MUCH.search(str(error)):
                raise _too_much() from error
            log.warning("query.unavailable", error=first_line(error))
            raise _unavailable() from error

    async def rows(
        self, holder: Hashable, statement: Statement, *, if_small: bool
    ) -> Sequence[Sequence[Any]]:
        """See Session.rows."""
        if self._client is None:
            raise _unavailable()
        if if_small and not self._sends_limits:
            raise NotSmallError
        try:
            async with self._running.acquired(holder, 1):
                result = await self._client.query(
                    statement.sql,
                    parameters=statement.parameters,
                    settings=SMALL if if_small else None,
                )
        except Error as error:
            if if_small and _TOO_MANY_FOUND.search(str(error)):
                raise NotSmallError from error
            raise
        return result.result_rows

    async def own_client(self) -> AsyncClient:
        """The client of what the service asks for itself, as soon as there is one."""
        await self._connected.wait()
        assert self._own is not None  # noqa: S101
        return self._own

    async def run(self) -> None:
        """Connect, then look every few seconds whether the server answers and the tables fit."""
        self._own = await self._connect(OWN_CAPS)
        self._client = await self._connect(self._caps)
        # Where the user's profile has fixed them, nobody knows in time what is small.
        self._sends_limits = all(self._client.get_client_setting(name) for name in SMALL)
        self._connected.set()
        while True:
            await self._check(self._own)
            await asyncio.sleep(_CHECK_INTERVAL_S)

    async def _check(self, client: AsyncClient) -> None:
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                applied = await read_ledger(client, self._name)
            self._is_reachable = True
            lacking = [migration.name for migration in missing(read_migrations(), applied)]
            self._fits = not lacking
            if lacking:
                log.warning("migrations.waiting", missing=lacking)
            else:
                async with asyncio.timeout(_CHECK_TIMEOUT_S):
                    self.noted = await noted(client)
        except MigrationError as error:
            self._fits = False
            log.warning("migrations.waiting", error=first_line(error))
        except (Error, OSError, TimeoutError) as error:
            self._is_reachable = False
            log.warning("clickhouse.waiting", error=first_line(error))

    async def close(self) -> None:
        """Give the connections back."""
        for client in (self._client, self._own):
            if client is not None:
                await client.close()


@dataclass(frozen=True, slots=True)
class Session:
    """The statements of one question."""

    database: Database
    holder: Hashable

    async def rows(
        self, statement: Statement, *, if_small: bool = False
    ) -> Sequence[Sequence[Any]]:
        """The rows of a statement. Raises NotSmallError when that was asked for."""
        return await self.database.rows(self.holder, statement, if_small=if_small)


def _unavailable() -> Problem:
    return Problem(
        503,
        "unavailable",
        "The analytics cannot be read at the moment; try again.",
        {"Retry-After": str(_RETRY_AFTER_S)},
    )


def _too_much() -> Problem:
    return Problem(
        400, "answer_too_large", "The answer is too large; ask for fewer days, or one category."
    )
