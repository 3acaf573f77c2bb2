"""A route without the layers of an app answers, and tells, as one within them."""

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from libs.http.direct import DirectRoute
from libs.http.problems import Problem
from libs.http.requests_log import Requests
from libs.telemetry.logs import RequestLine


async def _endpoint(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "problem":
        raise Problem(503, "unavailable", "Not now.", {"Retry-After": "3"})
    if name == "gone":
        raise ClientDisconnect
    if name == "bug":
        raise ValueError("a secret that nobody may read")
    return Response(name, 202)


async def _ask(path: str) -> httpx.Response:
    route = DirectRoute("/of/{name}", _endpoint, "POST", Requests("test"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert route.takes(scope)
        await route(scope, receive, send)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, headers={"X-Request-Id": "r-1"})


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("museum", 202, None),
        ("problem", 503, "unavailable"),
        ("bug", 500, "internal_error"),
        ("gone", 499, None),
    ],
)
async def test_every_end_of_a_request_is_answered_and_told(
    name: str, status: int, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[RequestLine] = []
    monkeypatch.setattr("libs.http.requests_log.log_request", lines.append)

    with capture_logs() as logged:
        answer = await _ask(f"/of/{name}")

    assert answer.status_code == status
    assert answer.headers.get_list("x-request-id") == ["r-1"]
    assert (answer.json()["code"] if code else None) == code
    [line] = lines
    assert (line.route, line.status, line.request_id) == ("/of/{name}", status, "r-1")
    assert [entry["event"] for entry in logged] == (["request.bug"] if name == "bug" else [])
    assert "secret" not in answer.text + str(logged).replace('raise ValueError("a secret', "")


async def test_bug_is_raised_again_when_it_was_answered() -> None:
    route = DirectRoute("/of/{name}", _endpoint, "POST", Requests("test"))
    scope = {"type": "http", "method": "POST", "path": "/of/bug", "headers": []}
    sent: list[Message] = []
    assert route.takes(scope)

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ValueError, match="secret"):
        await route(scope, _never, send)
    assert len(sent) == 2


async def _never() -> Message:
    raise AssertionError("nothing is to be read")
