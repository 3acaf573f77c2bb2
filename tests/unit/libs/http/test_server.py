"""How the server is set."""

import logging
import sys

from fastapi import FastAPI

from libs.http.server import configuration, without_texts
from libs.settings import DoorSettings


def test_server_leaves_headers_and_logs_to_us_when_configured() -> None:
    config = configuration(FastAPI(openapi_url=None), DoorSettings(host="127.0.0.9", port=8099))
    assert (config.host, config.port) == ("127.0.0.9", 8099)
    assert not config.proxy_headers, "X-Forwarded-For must count for configured proxies only"
    assert not config.access_log
    assert not config.server_header
    assert config.timeout_graceful_shutdown is not None
    assert config.timeout_graceful_shutdown < 10


def test_bug_is_told_without_its_text_when_the_server_logs_it() -> None:
    try:
        raise ValueError("a canary")
    except ValueError:
        found = sys.exc_info()
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, "Exception\n", (), found)

    assert without_texts(record)

    assert (record.getMessage(), record.exc_info) == ("Exception: ValueError", None)
