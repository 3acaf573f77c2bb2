"""The service as a process: it waits for ClickHouse, goes on when it comes, and stops cleanly."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_store import add_key, revoke_key
from libs.settings import ClickHouseSettings
from tests.integration.query.rows import insert_events
from tests.ports import free_port

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[3]
PEPPER = "p" * 32
_MANY_KEYS = """
INSERT INTO api_keys (id, key_hash, project_id, mode, scopes, created_at, updated_at)
SELECT concat('many_', toString(number)), lower(hex(SHA256(toString(number)))), 'zoo', 'live',
    ['analytics:read'], now64(3), now64(6)
FROM numbers(60000)
"""
PATH = "/api/v1/projects/museum/analytics?from=2026-03-25&to=2026-03-25"


@asynccontextmanager
async def service(
    settings: ClickHouseSettings, more: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """`python -m services.query` and an HTTP client for it; at the end it must stop by itself.

    `more`: settings beside those that it needs.
    """
    port = free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAGTIME_")},
        "RAGTIME_CLICKHOUSE__URL": settings.url,
        "RAGTIME_CLICKHOUSE__USER": settings.user,
        "RAGTIME_CLICKHOUSE__PASSWORD": settings.password.get_secret_value(),
        "RAGTIME_CLICKHOUSE__DATABASE": settings.database,
        "RAGTIME_ACCESS__PEPPER": PEPPER,
        "RAGTIME_HTTP__PORT": str(port),
        "RAGTIME_LOG__LEVEL": "error",
        **(more or {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.query", cwd=CHECKOUT, env=environment
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await until_status(http, "/healthz/live", 200)
            yield http
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_status(
    http: httpx.AsyncClient,
    path: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                if (await http.get(path, headers=headers)).status_code == status:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)


async def relay(settings: ClickHouseSettings, port: int) -> asyncio.Server:
    """Let ClickHouse appear at this port as well."""
    host, real_port = settings.url.removeprefix("http://").split(":")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the other side has gone; closing tells this one
        finally:
            writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection(host, int(real_port))
        await asyncio.gather(copy(reader, to_server[1]), copy(to_server[0], writer))

    return await asyncio.start_server(join, "127.0.0.1", port)


async def make_reader(client: AsyncClient) -> dict[str, str]:
    token = generate_key(Mode.LIVE)
    await add_key(
        client,
        ApiKey(
            id="key_1",
            key_hash=hash_key(token, PEPPER.encode()),
            project_id="museum",
            mode=Mode.LIVE,
            scopes=frozenset({Scope.ANALYTICS_READ}),
            rate_per_minute=1000,
            label="",
            created_at=datetime.now(UTC),
            expires_at=None,
            revoked_at=None,
        ),
    )
    return {"Authorization": f"Bearer {token}"}


async def test_service_answers_when_clickhouse_comes_after_it(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    headers = await make_reader(clickhouse)
    await insert_events(
        clickhouse, [{"type": "chat.action", "conversation_id": "c", "action": "buy"}]
    )
    port = free_port()
    settings = clickhouse_settings.model_copy(update={"url": f"http://127.0.0.1:{port}"})
    async with AsyncExitStack() as closed_last, service(settings) as http:
        early = await http.get(PATH, headers=headers)
        assert (early.status_code, early.json()["code"]) == (503, "unavailable")
        assert (await http.get("/healthz/ready")).status_code == 503
        await closed_last.enter_async_context(await relay(clickhouse_settings, port))
        await until_status(http, "/healthz/ready", 200)
        answer = await http.get(PATH, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["stats"] == [
        {"date": "2026-03-25", "category": "action", "key": "buy", "value": 1, "isLive": True}
    ]


async def test_both_kinds_of_addresses_are_served_when_the_host_is_any(
    clickhouse_settings: ClickHouseSettings,
) -> None:
    any_address = {"RAGTIME_HTTP__HOST": "::"}
    async with service(clickhouse_settings, any_address) as http:
        port = http.base_url.port
        over_ipv6 = await http.get(f"http://[::1]:{port}/healthz/live")

    assert over_ipv6.status_code == 200  # and over IPv4, else the service had not been found


async def test_requests_are_answered_when_service_is_told_to_stop(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    headers = await make_reader(clickhouse)
    async with service(clickhouse_settings) as http:
        await until_status(http, "/healthz/ready", 200)
        answers = await asyncio.gather(*(http.get(PATH, headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    remaining = sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in answers)
    assert remaining == list(range(950, 1000))


async def test_revoked_key_dies_when_there_are_more_keys_than_an_answer_may_have_rows(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    headers = await make_reader(clickhouse)
    await clickhouse.command(_MANY_KEYS)
    async with service(clickhouse_settings, {"RAGTIME_QUERY__MAX_ROWS": "1000"}) as http:
        await until_status(http, "/healthz/ready", 200)
        assert (await http.get(PATH, headers=headers)).status_code == 200
        await revoke_key(clickhouse, "key_1", datetime.now(UTC))
        await until_status(http, PATH, 401, headers, timeout_s=5)


async def test_service_is_not_ready_and_then_refuses_when_keys_alone_cannot_be_read(
    clickhouse: AsyncClient, clickhouse_settings: ClickHouseSettings
) -> None:
    headers = await make_reader(clickhouse)
    async with service(clickhouse_settings, {"RAGTIME_ACCESS__MAX_UNREAD_S": "1"}) as http:
        await until_status(http, "/healthz/ready", 200)
        await clickhouse.command("RENAME TABLE api_keys TO elsewhere")
        await until_status(http, "/healthz/ready", 503)
        checks = (await http.get("/healthz/ready")).json()["checks"]
        assert checks == {"keys": False, "clickhouse": True, "migrations": True, "running": True}
        assert (await http.get(PATH, headers=headers)).status_code == 200
        await until_status(http, PATH, 503, headers)
        assert (await http.get(PATH, headers=headers)).json()["code"] == "unavailable"
        await clickhouse.command("RENAME TABLE elsewhere TO api_keys")
        await until_status(http, "/healthz/ready", 200)
        assert (await http.get(PATH, headers=headers)).status_code == 200
