"""Live, ready, metrics."""

import httpx
import pytest
from fastapi import FastAPI

from libs.http.health import add_health
from libs.settings import HttpSettings


async def ask(
    path: str,
    checks: dict[str, bool],
    *,
    is_stopping: bool = False,
    metrics_port: int | None = None,
) -> httpx.Response:
    app = FastAPI(openapi_url=None)
    settings = HttpSettings(port=8080, metrics_port=metrics_port)
    add_health(app, "query", settings, lambda: checks)
    app.state.is_stopping = is_stopping
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
    assert answer.json() == {"status": word, "checks": checks | {"running": True}}


async def test_service_lives_and_is_not_ready_when_it_was_told_to_stop() -> None:
    answer = await ask("/healthz/ready", {"keys": True}, is_stopping=True)
    assert answer.status_code == 503
    assert answer.json() == {"status": "waiting", "checks": {"keys": True, "running": False}}
    assert (await ask("/healthz/live", {}, is_stopping=True)).status_code == 200


async def test_service_is_live_when_nothing_is_ready() -> None:
    answer = await ask("/healthz/live", {"clickhouse": False})
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_metrics_are_text_when_asked_for() -> None:
    answer = await ask("/metrics", {})
    assert answer.headers["content-type"].startswith("text/plain")
    assert "ragtime_requests_total" in answer.text


async def test_metrics_tell_each_check_when_they_are_asked_for() -> None:
    answer = await ask("/metrics", {"keys": True, "clickhouse": False})
    assert 'ragtime_ready_check{check="keys"} 1.0\n' in answer.text
    assert 'ragtime_ready_check{check="clickhouse"} 0.0\n' in answer.text


async def test_metrics_are_not_on_the_port_of_strangers_when_they_have_their_own() -> None:
    assert (await ask("/metrics", {}, metrics_port=9090)).status_code == 404
