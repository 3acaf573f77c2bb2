"""The id of a request, and the line that it leaves."""

import httpx
import pytest
from fastapi import FastAPI

from libs.http.request_ids import request_id_of
from libs.http.requests_log import Requests, RequestsLog
from libs.telemetry.logs import RequestLine


@pytest.mark.parametrize("given", ["a", "A-Z_a.z-0", "x" * 64])
def test_request_id_is_the_callers_when_it_is_safe_to_repeat(given: str) -> None:
    assert request_id_of([given]) == given


@pytest.mark.parametrize(
    "given", [[], [""], ["a b"], ["a:b"], ["x" * 65], ["a\n"], ["é"], ["a\x00"]]
)
def test_request_id_is_made_when_none_or_unsafe_was_given(given: list[str]) -> None:
    assert [request_id_of(given)] != given
    assert len(request_id_of(given)) == 32


async def test_line_names_the_template_when_request_was_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[RequestLine] = []
    monkeypatch.setattr("libs.http.requests_log.log_request", lines.append)
    app = FastAPI(openapi_url=None)

    @app.get("/projects/{project}")
    async def read(project: str) -> str:
        return project

    app.add_middleware(RequestsLog, requests=Requests("test"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/projects/museum?a=b", headers={"X-Request-Id": "r-1"})
        await client.get("/elsewhere")
    assert answer.headers["x-request-id"] == "r-1"
    assert [(line.event, line.route, line.status) for line in lines] == [
        ("request.answered", "/projects/{project}", 200),
        ("request.answered", "unmatched", 404),
    ]
    assert lines[0].request_id == "r-1"
    assert "museum" not in str(lines[0])
