"""What readiness knows, and what happens before ClickHouse is there."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import OperationalError

from services.query import database
from tests.polling import until
from tests.unit.services.query.conftest import PATH, Service, bearer


async def readiness(http: httpx.AsyncClient) -> tuple[int, dict[str, bool]]:
    answer = await http.get("/healthz/ready")
    return answer.status_code, answer.json()["checks"]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CHECK_INTERVAL_S", 0.01)


async def settle(service: Service) -> None:
    """Let the background look at ClickHouse again."""
    attempts = service.clickhouse.attempts
    await until(lambda: service.clickhouse.attempts > attempts + 5)


async def test_service_is_ready_when_keys_server_and_tables_are_there(service: Service) -> None:
    async with service.run() as http:
        await settle(service)
        assert await readiness(http) == (
            200,
            {"keys": True, "clickhouse": True, "migrations": True, "running": True},
        )
    assert service.clickhouse.is_closed


async def test_service_is_not_ready_when_a_migration_is_missing(service: Service) -> None:
    last = service.clickhouse.rows[".migrations"].pop()
    async with service.run() as http:
        await settle(service)
        status, checks = await readiness(http)
        assert (status, checks["migrations"], checks["clickhouse"]) == (503, False, True)
        service.clickhouse.rows[".migrations"].append(last)
        await settle(service)
        assert (await readiness(http))[0] == 200


async def test_service_is_ready_when_a_newer_release_has_migrated(service: Service) -> None:
    service.clickhouse.rows[".migrations"].append((9999, "of the future"))
    async with service.run() as http:
        await settle(service)
        assert (await readiness(http))[1]["migrations"]


async def test_service_goes_on_when_clickhouse_comes_back(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        service.clickhouse.failure = OperationalError("away")
        await settle(service)
        status, checks = await readiness(http)
        assert (status, checks["clickhouse"], checks["keys"]) == (503, False, True)
        assert (await http.get("/healthz/live")).status_code == 200
        service.clickhouse.failure = None
        await settle(service)
        assert (await readiness(http))[0] == 200
        assert (await http.get(PATH, headers=bearer(token))).status_code == 200


async def test_service_listens_and_answers_503_when_clickhouse_is_not_there_yet(
    service: Service,
) -> None:
    token = service.add_key()
    is_there = asyncio.Event()

    async def connect(_sent: Mapping[str, str]) -> AsyncClient:
        await is_there.wait()
        return await service.clickhouse.connect()

    async with service.run(connect=connect) as http:
        early = await http.get(PATH, headers=bearer(token))
        anonymous = await http.get(PATH)
        status, checks = await readiness(http)
        live = await http.get("/healthz/live")
        is_there.set()
        await settle(service)
        late = await http.get(PATH, headers=bearer(token))
    assert (early.status_code, early.json()["code"]) == (503, "unavailable")
    assert early.headers["x-ratelimit-remaining"] == "2"
    assert int(early.headers["retry-after"]) >= 1
    assert anonymous.status_code == 401
    assert (status, checks["clickhouse"], checks["keys"]) == (503, False, False)
    assert live.status_code == 200
    assert late.status_code == 200
