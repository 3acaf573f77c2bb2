"""The doubles of the query service's tests, written by hand with the real signatures."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from clickhouse_connect.driver.query import QueryResult

from tests.fakes_keys import FakeKeyTable

Row = Sequence[Any]


class FakeClickHouse:
    """Stands in for the client: answers a statement by a part of its text, and remembers it."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.keys = FakeKeyTable()
        self.keys_failure: BaseException | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.failure: BaseException | None = None
        self.hangs = False
        self.attempts = 0
        self.slow: dict[str, float] = {}
        self.running = self.most_running = 0
        self.is_closed = False
        self.sent = {"max_result_rows": "200000", "max_result_bytes": "8000000"}
        self.inserted: list[tuple[str, bytes]] = []

    async def query(
        self,
        query: str,
        parameters: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> QueryResult:
        await self._begin(query, parameters)
        for part, rows in self.rows.items():
            if part in query:
                if len(rows) > int((settings or {}).get("max_result_rows", 200_000)):
                    raise DatabaseError("Code: 396. DB::Exception: Limit for result exceeded")
                return QueryResult([tuple(row) for row in rows])
        return QueryResult([])

    async def raw_query(
        self, query: str, parameters: dict[str, Any] | None = None, fmt: str | None = None
    ) -> bytes:
        await self._begin(query, parameters)
        if fmt is None:
            return b"1\n"
        assert fmt == "JSONCompactEachRow"
        if self.keys_failure is not None:
            raise self.keys_failure
        answer = self.keys.answer(query, parameters or {})
        assert answer is not None, query
        return answer

    async def _begin(self, query: str, parameters: dict[str, Any] | None) -> None:
        self.attempts += 1
        if self.is_closed:
            raise ProgrammingError("the client was closed")
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await asyncio.Event().wait()
        await self._take_time(query)
        self.asked.append((query, parameters or {}))

    def get_client_setting(self, key: str) -> str | None:
        return self.sent.get(key)

    async def raw_insert(
        self, table: str, *, insert_block: bytes, fmt: str, settings: dict[str, int]
    ) -> None:
        if self.failure is not None:
            raise self.failure
        assert (fmt, settings) == ("JSONEachRow", {"async_insert": 0})
        self.inserted.append((table, insert_block))

    async def _take_time(self, query: str) -> None:
        """As long as `slow` says for a part of the text; cancelled, it runs no longer."""
        seconds = next((seconds for part, seconds in self.slow.items() if part in query), None)
        if seconds is not None:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.running -= 1

    async def close(self) -> None:
        self.is_closed = True

    async def connect(self, _sent: Mapping[str, str] | None = None) -> AsyncClient:
        """What the service is given to make its clients with; it speaks to the server, too."""
        if self.failure is not None:
            raise self.failure
        return cast("AsyncClient", self)

    def parameters_of(self, part: str) -> list[dict[str, Any]]:
        """The parameters of each statement so far whose text holds this part."""
        return [parameters for query, parameters in self.asked if part in query]
