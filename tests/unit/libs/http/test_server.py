"""How the server is set."""

from fastapi import FastAPI

from libs.http.server import configuration
from libs.settings import DoorSettings


def test_server_leaves_headers_and_logs_to_us_when_configured() -> None:
    config = configuration(FastAPI(openapi_url=None), DoorSettings(host="127.0.0.9", port=8099))
    assert (config.host, config.port) == ("127.0.0.9", 8099)
    assert not config.proxy_headers, "X-Forwarded-For must count for configured proxies only"
    assert not config.access_log
    assert not config.server_header
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < 10
