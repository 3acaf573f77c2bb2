"""How the server is set."""

import asyncio
import logging
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import uvloop
from fastapi import FastAPI

from libs.http.server import Server, configuration, without_texts
from libs.settings import DoorSettings, DoorStopSettings
from tests.polling import until


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


def test_many_connect_within_a_few_turns_when_all_of_them_wait(tmp_path: Path) -> None:
    turns = uvloop.run(_turns_until_connected(tmp_path / "server.sock", callers=128))

    assert turns <= 24, "libuv alone takes one in each turn"


async def _turns_until_connected(path: Path, callers: int) -> int:
    app = FastAPI(openapi_url=None)
    server = Server(configuration(app, DoorSettings(port=8099)), app, DoorStopSettings(delay_s=0))
    loop = asyncio.get_running_loop()
    turns = 0

    def count() -> None:
        nonlocal turns
        if len(server.server_state.connections) < callers:
            turns += bool(server.server_state.connections)
            loop.call_soon(count)

    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(callers)
        for _ in range(callers):
            sockets.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        serving = asyncio.create_task(server.serve([listener]))
        count()
        await until(lambda: len(server.server_state.connections) == callers)
        server.should_exit = True
        await serving
    return turns
