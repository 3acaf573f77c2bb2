"""Runs an app on its socket until SIGTERM or SIGINT, and ends with exit code 0."""

import asyncio
import gc
import logging
import math
import socket
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from libs.access.client_address import Network
from libs.http.accepting import Acceptor
from libs.http.configuration import Configuration
from libs.http.connections import Connections
from libs.http.cors import Cors, Origins
from libs.http.protocol import EVERY_ANSWER, Protocol
from libs.http.sockets import socket_of_both_kinds
from libs.settings import DoorSettings, DoorStopSettings
from libs.stopping import exit_when_told
from libs.telemetry.logs import get_logger

_BACKLOG = 2048  # uvicorn's

_TICK_S = 0.1
_TICKS_BETWEEN_LOOKS = 5  # uvicorn ticks ten times a second
# What the kernel takes of an answer ahead of its reader; by default 3 MB, which nobody counts.
_UNSENT_BYTES = 64 * 1024
# More than a large answer is made of; a cycle holds memory until so many new objects live.
_GARBAGE_OBJECTS = 50_000

log = get_logger()


def serve(
    app: FastAPI,
    settings: DoorSettings,
    stop: DoorStopSettings,
    trusted_proxies: Sequence[Network],
) -> None:
    """Serve until told to stop; requests under way have a few seconds to be answered."""
    # Uvicorn raises the signal once more after its clean stop: by then it means exit code 0.
    exit_when_told()
    log.info("http.starting", host=settings.host, port=settings.port)
    logging.getLogger("uvicorn.error").addFilter(without_texts)
    _collect_garbage_seldom()
    server = Server(configuration(app, settings, stop, trusted_proxies), app, stop)
    server.run(_sockets(settings))


def _sockets(settings: DoorSettings) -> list[socket.socket] | None:
    own = socket_of_both_kinds(settings.host, settings.port, _BACKLOG)
    return None if own is None else [own]


def configuration(
    app: ASGIApp,
    settings: DoorSettings,
    stop: DoorStopSettings | None = None,
    trusted_proxies: Sequence[Network] = (),
) -> Configuration:
    """How uvicorn is set: its own log and headers off, forwarded headers left to our own check."""
    grace_s = (stop or DoorStopSettings()).grace_s
    origins = Origins(settings.cors_origins)
    config = Configuration(
        Cors(app, origins) if settings.cors_origins else app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=EVERY_ANSWER,
        proxy_headers=False,
        timeout_keep_alive=65,  # longer than load balancers keep a connection
        timeout_graceful_shutdown=math.ceil(grace_s) + 1,  # the server cuts off before that
    )
    config.door = settings
    config.origins = origins
    config.acceptor = Acceptor()
    config.callers = Connections(settings.max_connections, settings.share, trusted_proxies)
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
    """Uvicorn's, with a look at all connections twice a second, and an end that others can see.

    A timer for each connection would cost more than the look.
    """

    def __init__(self, config: Configuration, app: FastAPI, stop: DoorStopSettings) -> None:
        super().__init__(config)
        self._ours = config
        self._app = app
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Connections take over what is set here."""
        await super().startup(sockets)
        servers = self.servers if self.started else ()
        listeners = [listener for server in servers for listener in server.sockets]
        for listener in listeners:
            if listener.family in {socket.AF_INET, socket.AF_INET6}:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self._ours.acceptor.begin(listeners, self._new_connection)

    def _new_connection(self) -> Protocol:
        return Protocol(self._ours, self.server_state, self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Whether it shall end."""
        if counter % _TICKS_BETWEEN_LOOKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.cut_if_slow(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say first that it is not ready, then take nothing new, then answer what is under way."""
        self._app.state.is_stopping = self._ours.is_stopping = True
        log.info("http.stopping", delay_s=self._stop.delay_s, grace_s=self._stop.grace_s)
        await self._serve_on()
        self._ours.acceptor.end()
        loop = asyncio.get_running_loop()
        cutting = loop.call_later(self._stop.grace_s, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()
        log.info("http.stopped")

    async def _serve_on(self) -> None:
        """A load balancer sends requests until it has noticed: they are taken as ever."""
        loop = asyncio.get_running_loop()
        ends_at, counter = loop.time() + self._stop.delay_s, 0
        while loop.time() < ends_at and not self.force_exit:
            counter += 1
            await self.on_tick(counter)
            await asyncio.sleep(_TICK_S)

    def _cut_off(self) -> None:
        """What is still under way is answered 503, and ended a moment later."""
        log.error("http.cut_off", requests=len(self.server_state.tasks))
        for connection in self._connections():
            connection.give_up()
        asyncio.get_running_loop().call_later(_TICK_S, self._cancel_all)

    def _cancel_all(self) -> None:
        for task in self.server_state.tasks:
            task.cancel()

    def _connections(self) -> list[Protocol]:
        return [one for one in self.server_state.connections if isinstance(one, Protocol)]


def _collect_garbage_seldom() -> None:
    """Leave out what was made before the first request, and look at the rest less often.

    A request makes thousands of objects and hardly a cycle; looking for cycles among them took a
    sixth of the CPU time of an answer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)
