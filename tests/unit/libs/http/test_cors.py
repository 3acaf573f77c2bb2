"""Which web pages may read answers."""

from typing import cast

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from libs.http.problems import install_problems
from libs.http.server import configuration
from libs.settings import DoorSettings

_ORIGIN = "https://dashboard.example"


def _app(*origins: str) -> ASGIApp:
    app = FastAPI(openapi_url=None)
    install_problems(app)

    @app.get("/thing")
    async def thing() -> str:
        return "thing"

    config = configuration(app, DoorSettings(port=8099, cors_origins=origins))
    return cast("ASGIApp", config.app)


async def _ask(app: ASGIApp, method: str, path: str, origin: str) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as http:
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        return await http.request(method, path, headers=headers)


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_no_page_may_read_when_no_origin_is_set(method: str) -> None:
    answer = await _ask(_app(), method, "/thing", _ORIGIN)

    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/thing", 200), ("OPTIONS", "/thing", 204), ("GET", "/nowhere", 404)],
)
async def test_page_may_read_when_its_origin_is_set(method: str, path: str, status: int) -> None:
    answer = await _ask(_app("https://other.example", _ORIGIN), method, path, _ORIGIN)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == _ORIGIN
    assert answer.headers["vary"] == "origin"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["null", "https://dashboard.example.evil", "http://dashboard.example", f"{_ORIGIN}:444", "*"],
)
async def test_page_may_not_read_when_its_origin_is_another(origin: str) -> None:
    answer = await _ask(_app(_ORIGIN), "GET", "/thing", origin)

    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize(
    "origin", ["null", "capacitor://localhost", "chrome-extension://abcdef", "file://"]
)
async def test_page_without_a_host_may_read_when_its_origin_is_set(origin: str) -> None:
    answer = await _ask(_app(origin), "GET", "/thing", origin)

    assert answer.headers["access-control-allow-origin"] == origin


async def test_every_page_may_read_when_all_are_allowed() -> None:
    answer = await _ask(_app("*"), "GET", "/thing", "https://anybody.example")

    assert answer.headers["access-control-allow-origin"] == "*"
    assert "traceparent" in answer.headers["access-control-allow-headers"]


def test_origin_is_taken_as_browsers_write_it() -> None:
    settings = DoorSettings(port=8099, cors_origins=("HTTPS://Dashboard.Example",))

    assert settings.cors_origins == (_ORIGIN,)


@pytest.mark.parametrize("origin", ["http://[::1]:3000", "https://a.example:8443", "capacitor://a"])
def test_origin_is_taken_with_a_port_and_of_an_app(origin: str) -> None:
    assert DoorSettings(port=8099, cors_origins=(origin,)).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.example",
        "https://a.example/",
        "a.example",
        "://a",
        "https://a.example:443",
        "http://a.example:80",
        "https://a.example:99999",
        "https://a.example:0",
        "https://a.example?x",
        "https://a.example#x",
        "https://user@a.example",
        "https://münchen.example",
    ],
)
def test_origin_is_refused_when_it_is_none(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        DoorSettings(port=8099, cors_origins=(origin,))
