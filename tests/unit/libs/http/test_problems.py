"""Every error in one shape."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from structlog.testing import capture_logs

from libs.access.windows import Limit, RateLimitState
from libs.http.problems import Problem, install_problems
from libs.http.requests_log import Requests, RequestsLog


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI(openapi_url=None)
    install_problems(app)

    @app.get("/problem")
    async def problem() -> None:
        raise Problem(503, "unavailable", "Not now.", {"Retry-After": "3"})

    @app.get("/limited")
    async def limited(request: Request) -> None:
        request.state.rate_limit = RateLimitState(
            Limit("key:a", 30), 1, 1_000_060_000, 1_000_000_000, allowed=True
        )
        raise ValueError("a secret that nobody may read")

    @app.get("/invalid")
    async def invalid() -> None:
        raise RequestValidationError([{"msg": "what the framework says"}])

    app.add_middleware(RequestsLog, requests=Requests("test"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("request_line", "status", "code", "detail"),
    [
        ("GET /problem", 503, "unavailable", "Not now."),
        ("GET /invalid", 400, "invalid_request", "The request is not valid."),
        ("GET /limited", 500, "internal_error", "Something went wrong on our side."),
        ("GET /nowhere", 404, "not_found", "There is nothing at this path."),
        ("POST /problem", 405, "method_not_allowed", "This path does not take POST."),
    ],
)
async def test_error_has_the_one_shape_when_answered(
    http: httpx.AsyncClient, request_line: str, status: int, code: str, detail: str
) -> None:
    answer = await http.request(*request_line.split(), headers={"X-Request-Id": "r-1"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get_list("x-request-id") == ["r-1"]
    assert answer.json() == {
        "type": "about:blank",
        "title": httpx.codes(status).name.replace("_", " ").title(),
        "status": status,
        "code": code,
        "detail": detail,
        "requestId": "r-1",
    }


async def test_problem_keeps_its_headers_when_answered(http: httpx.AsyncClient) -> None:
    assert (await http.get("/problem")).headers["retry-after"] == "3"
    assert (await http.post("/problem")).headers["allow"] == "GET, OPTIONS"


@pytest.mark.parametrize(
    ("path", "status", "allow"), [("/problem", 204, "GET, OPTIONS"), ("/nowhere", 404, None)]
)
async def test_options_tell_the_methods_when_there_is_something_at_the_path(
    http: httpx.AsyncClient, path: str, status: int, allow: str | None
) -> None:
    answer = await http.options(path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)


async def test_bug_tells_the_limit_when_it_is_known(http: httpx.AsyncClient) -> None:
    headers = (await http.get("/limited")).headers
    assert headers["x-ratelimit-limit"] == "30"
    assert headers["x-ratelimit-remaining"] == "29"
    assert headers["x-ratelimit-reset"] == "1000060"


async def test_bug_is_logged_by_its_place_when_its_text_is_a_secret(
    http: httpx.AsyncClient,
) -> None:
    with capture_logs() as lines:
        await http.get("/limited", headers={"X-Request-Id": "r-1"})

    [bug] = [line for line in lines if line["event"] == "request.bug"]
    assert bug["request_id"] == "r-1"
    assert bug["trace"].endswith("ValueError")
    assert "test_problems.py" in bug["trace"]
    assert "secret" not in bug["trace"].replace('raise ValueError("a secret', "")
