"""Runs an app on its socket until SIGTERM or SIGINT, and ends with exit code 0."""

import asyncio
import gc
import logging
import signal
import sys

import uvicorn
from starlette.types import ASGIApp

from libs.http.cors import Cors
from libs.http.protocol import EVERY_ANSWER, Configuration, Protocol
from libs.settings import DoorSettings
from libs.telemetry.logs import get_logger

_GRACE_S = 7
_TICKS_BETWEEN_LOOKS = 5  # uvicorn ticks ten times a second
# More than a large answer is made of; a cycle holds memory until so many new objects live.
_GARBAGE_OBJECTS = 50_000

log = get_logger()


def serve(app: ASGIApp, settings: DoorSettings) -> None:
    """Serve until told to stop; requests under way have a few seconds to be answered."""
    # Uvicorn raises the signal once more after its clean stop: by then it means exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    log.info("http.starting", host=settings.host, port=settings.port)
    logging.getLogger("uvicorn.error").addFilter(without_texts)
    _collect_garbage_seldom()
    Server(configuration(app, settings)).run()


def configuration(app: ASGIApp, settings: DoorSettings) -> Configuration:
    """How uvicorn is set: its own log and headers off, forwarded headers left to our own check."""
    config = Configuration(
        Cors(app, settings.cors_origins) if settings.cors_origins else app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=EVERY_ANSWER,
        proxy_headers=False,
        timeout_keep_alive=65,  # longer than load balancers keep a connection
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.door = settings
    return config


def without_texts(record: logging.LogRecord) -> bool:
    """Take the trace out of what uvicorn says of a bug: its text may quote a request.

    `request.bug` tells where it was.
    """
    if record.exc_info and record.exc_info[0]:
        record.msg = f"{record.getMessage().strip()}: {record.exc_info[0].__qualname__}"
        record.args, record.exc_info = (), None
    return True


class Server(uvicorn.Server):
    """Uvicorn's, and a look at all connections twice a second: a timer each would cost more."""

    async def on_tick(self, counter: int) -> bool:
        """Whether it shall end."""
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.cut_if_slow(now)
        return await super().on_tick(counter)


def _collect_garbage_seldom() -> None:
    """Leave out what was made before the first request, and look at the rest less often.

    A request makes thousands of objects and hardly a cycle; looking for cycles among them took a
    sixth of the CPU time of an answer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)


def _exit(_number: int, _frame: object) -> None:
    sys.exit(0)
