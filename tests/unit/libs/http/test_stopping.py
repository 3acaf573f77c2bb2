"""What callers see when the server is told to stop: not ready, then answers, then nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from structlog.testing import capture_logs

from libs.http.health import add_health
from libs.http.server import Server, configuration
from libs.settings import DoorSettings, DoorStopSettings
from tests.polling import until


@dataclass
class Running:
    """The server in a task, the place of its socket, and requests that wait until they may go."""

    server: Server
    task: asyncio.Task[None]
    path: Path
    waiting: int = 0
    cancelled: int = 0
    may_go: asyncio.Event = field(default_factory=asyncio.Event)

    def tell_to_stop(self) -> None:
        """What the handler of SIGTERM does."""
        self.server.should_exit = True

    def client(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.path))
        return httpx.AsyncClient(transport=transport, base_url="http://test", timeout=20)

    async def slow(self, _request: Request) -> Response:
        self.waiting += 1
        try:
            await self.may_go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return PlainTextResponse("done")


@asynccontextmanager
async def running(folder: Path, **stop: float) -> AsyncIterator[Running]:
    app = FastAPI(openapi_url=None)
    door = DoorSettings(port=8099)
    add_health(app, "query", door, dict)
    settings = DoorStopSettings(**stop)
    server = Server(configuration(app, door, settings), app, settings)
    path = folder / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        one = Running(server, asyncio.create_task(server.serve([listener])), path)
        app.add_api_route("/slow", one.slow)
        await until(lambda: server.started)
        yield one
        one.tell_to_stop()
        async with asyncio.timeout(20):
            await one.task


async def test_requests_are_answered_when_a_load_balancer_has_not_noticed_yet(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, delay_s=600.0) as one, one.client() as client:
        before = await client.get("/healthz/ready")
        one.tell_to_stop()
        await until(lambda: one.server._app.state.is_stopping)
        ready = await client.get("/healthz/ready")
        one.may_go.set()
        answers = [await client.get("/slow") for _ in range(2)]
        one.server.force_exit = True

    assert (before.status_code, "connection" in before.headers) == (200, False)
    assert (ready.status_code, ready.json()["checks"]) == (503, {"running": False})
    assert [answer.text for answer in answers] == ["done", "done"]
    # It is told to use another connection, which leads elsewhere as soon as that is noticed.
    assert {one.headers["connection"] for one in [ready, *answers]} == {"close"}


async def test_request_under_way_is_answered_when_the_service_is_told_to_stop(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one, one.client() as client:
        asked = asyncio.create_task(client.get("/slow"))
        await until(lambda: one.waiting == 1)
        one.tell_to_stop()
        await until(lambda: not one.server.servers[0].is_serving())
        one.may_go.set()
        answer = await asked
    assert (answer.status_code, answer.text) == (200, "done")
    assert answer.headers["connection"] == "close"


async def test_request_that_has_begun_to_come_is_answered_when_the_service_is_told_to_stop(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as one:
        reader, writer = await asyncio.open_unix_connection(one.path)
        writer.write(b"GET /healthz/live HTTP/1.1\r\nHo")
        await until(lambda: any(c.in_head for c in one.server._connections()))
        one.tell_to_stop()
        await until(lambda: not one.server.servers[0].is_serving())
        writer.write(b"st: test\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


async def test_request_is_cut_off_and_logged_when_the_grace_is_over(tmp_path: Path) -> None:
    with capture_logs() as said:
        async with running(tmp_path, grace_s=0.3) as one, one.client() as client:
            asked = asyncio.create_task(client.get("/slow"))
            await until(lambda: one.waiting == 1)
            one.tell_to_stop()
            answer = await asked
    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert one.cancelled == 1
    assert [line["requests"] for line in said if line["event"] == "http.cut_off"] == [1]
