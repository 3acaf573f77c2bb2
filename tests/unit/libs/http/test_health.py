"""Live, ready, metrics."""

import httpx
import pytest
from fastapi import FastAPI

from libs.http.health import add_health


async def ask(path: str, checks: dict[str, bool]) -> httpx.Response:
    app = FastAPI(openapi_url=None)
    add_health(app, lambda: checks)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        ({"keys": True, "clickhouse": True}, 200, "ready"),
        ({"keys": True, "clickhouse": False}, 503, "waiting"),
    ],
)
async def test_service_is_ready_when_all_checks_pass(
    checks: dict[str, bool], status: int, word: str
) -> None:
    answer = await ask("/healthz/ready", checks)
    assert answer.status_code == status
    assert answer.json() == {"status": word, "checks": checks}


async def test_service_is_live_when_nothing_is_ready() -> None:
    answer = await ask("/healthz/live", {"clickhouse": False})
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_metrics_are_text_when_asked_for() -> None:
    answer = await ask("/metrics", {})
    assert answer.headers["content-type"].startswith("text/plain")
    assert "ragtime_requests_total" in answer.text
