"""Runs an app on its socket until SIGTERM or SIGINT, and ends with exit code 0."""

import gc
import signal
import sys

import uvicorn
from starlette.types import ASGIApp

from libs.http.protocol import Protocol
from libs.settings import HttpSettings
from libs.telemetry.logs import get_logger

_GRACE_S = 7
# More than a large answer is made of; a cycle holds memory until so many new objects live.
_GARBAGE_OBJECTS = 50_000

log = get_logger()


def serve(app: ASGIApp, settings: HttpSettings) -> None:
    """Serve until told to stop; requests under way have a few seconds to be answered."""
    # Uvicorn raises the signal once more after its clean stop: by then it means exit code 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    log.info("http.starting", host=settings.host, port=settings.port)
    _collect_garbage_seldom()
    uvicorn.Server(configuration(app, settings)).run()


def configuration(app: ASGIApp, settings: HttpSettings) -> uvicorn.Config:
    """How uvicorn is set: its own log and headers off, forwarded headers left to our own check."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=65,  # longer than load balancers keep a connection
        timeout_graceful_shutdown=_GRACE_S,
    )


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
