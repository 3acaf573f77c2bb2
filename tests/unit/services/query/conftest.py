"""The query service in this process: a fake ClickHouse behind it, a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import Message, Send

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key
from libs.clickhouse.migrations import read_migrations
from libs.settings import AccessSettings, ClickHouseSettings
from services.query.app import build
from services.query.database import Connect
from services.query.settings import KeyLimitSettings, QuerySettings, Settings
from tests.fakes import FakeClickHouse
from tests.polling import until

PEPPER = "p" * 32
PROJECT = "museum"
PATH = f"/api/v1/projects/{PROJECT}/analytics"


@dataclass
class Clock:
    """The time of day, as the test says."""

    now: datetime = datetime(2026, 3, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Service:
    """The running service and what the tests turn on it."""

    app: FastAPI

    def __init__(self) -> None:
        self.clickhouse = FakeClickHouse()
        self.clickhouse.rows[".migrations"] = [(m.number, m.checksum) for m in read_migrations()]
        self.stalled: list[asyncio.Event] = []
        self.clock = Clock()
        self.settings = Settings(
            clickhouse=ClickHouseSettings(
                url="http://127.0.0.1:1", user="query", password=SecretStr("query")
            ),
            access=AccessSettings(pepper=SecretStr(PEPPER), refresh_interval_s=0.01),
            rate_limit=KeyLimitSettings(per_key=5, per_address=3),
            query=QuerySettings(timeout_s=10),
        )

    def limit(self, **limits: Any) -> None:
        """Set these of its limits before it runs."""
        query = self.settings.query.model_copy(update=limits)
        self.settings = self.settings.model_copy(update={"query": query})

    async def ask_and_leave(self, token: str, leaving: asyncio.Event) -> None:
        """Ask, as a server hands it over, and go away when told to."""

        async def send(_message: Message) -> None:
            pass  # nobody is there

        await self._ask(token, leaving, send)

    async def ask_and_stall(self, token: str) -> None:
        """Ask, and read nothing of the body until the event in `stalled` is set."""
        goes_on = asyncio.Event()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                self.stalled.append(goes_on)
                await goes_on.wait()

        await self._ask(token, asyncio.Event(), send)

    async def _ask(self, token: str, leaving: asyncio.Event, send: Send) -> None:
        async def receive() -> Message:
            if messages:
                return messages.pop()
            await leaving.wait()
            return {"type": "http.disconnect"}

        messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        scope = {
            "type": "http",
            "method": "GET",
            "path": PATH,
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": ("198.51.100.7", 4711),
        }
        await self.app(scope, receive, send)

    def add_key(self, **fields: Any) -> str:
        """Write a key into the table, as the command `ragtime` does."""
        token = generate_key(Mode.LIVE)
        key = ApiKey(
            id=f"key_{len(self.keys)}",
            key_hash=hash_key(token, PEPPER.encode()),
            project_id=PROJECT,
            mode=Mode.LIVE,
            scopes=frozenset({Scope.ANALYTICS_READ}),
            rate_per_minute=None,
            label="",
            created_at=self.clock.now,
            expires_at=None,
            revoked_at=None,
        )
        self.keys.append(replace(key, **fields))
        return token

    def change_key(self, place: int, **fields: Any) -> None:
        """Write a key of the table anew."""
        self.keys[place] = replace(self.keys[place], **fields)

    @property
    def keys(self) -> list[ApiKey]:
        """What the table holds."""
        return self.clickhouse.keys.keys

    @asynccontextmanager
    async def run(
        self,
        *,
        peer: str = "198.51.100.7",
        connect: Connect | None = None,
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Start the service, and an HTTP client at this address."""
        self.app = app = build(self.settings, connect or self.clickhouse.connect, self.clock)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 4711))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://query") as http,
        ):
            if connect is None:
                await self.keys_are_read()
            yield http

    async def keys_are_read(self) -> None:
        """Return when the service has seen the table as it is now."""
        seen = self.clickhouse.keys.compared
        await until(lambda: self.clickhouse.keys.compared > seen + 1)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in ("RAGTIME_HTTP__PORT", "RAGTIME_HTTP__HOST"):
        monkeypatch.delenv(name, raising=False)
    return Service()


def bearer(token: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {token}"}
