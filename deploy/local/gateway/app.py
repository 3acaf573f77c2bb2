"""Builds the gateway: ClickHouse's HTTP interface, with the server's limits, for the engine."""

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from aiohttp import web

from deploy.local.gateway import requests, responses
from deploy.local.gateway.engine import Engine
from deploy.local.gateway.errors import ServerError
from deploy.local.gateway.fields import headers_fit
from deploy.local.gateway.roles import users_configuration
from deploy.local.gateway.running import Runner
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.users import Users, read_users

_PING_S = 5.0
_GRACE_S = 6.0


def build(settings: Settings) -> web.Application:
    """The application; raises OSError or msgspec.ValidationError when the users' file is bad."""
    gateway = Gateway(settings, read_users(settings.users_file))
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    limits = {
        "auto_decompress": False,
        "max_line_size": settings.http_max_uri_size,
        "max_field_size": settings.http_max_field_name_size + settings.http_max_field_value_size,
        "max_headers": settings.http_max_fields,
    }
    app = web.Application(handler_args=limits)
    app.cleanup_ctx.append(gateway.running)
    app.on_response_prepare.append(gateway.finish_headers)
    app.router.add_get("/ping", gateway.ping)
    app.router.add_get("/", gateway.handle)
    app.router.add_post("/", gateway.handle)
    return app


def main() -> None:
    """Serve until SIGTERM; running statements may finish, then the engine is closed."""
    settings = Settings()
    web.run_app(
        build(settings),
        host=settings.host,
        port=settings.port,
        print=lambda *_: None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE_S,
        keepalive_timeout=settings.keep_alive_timeout,
    )


class Gateway:
    """The state of a running gateway."""

    def __init__(self, settings: Settings, users: Users) -> None:
        self._settings = settings
        self._users = users
        self._engine = Engine(settings, users_configuration(users))
        self._runner = Runner(self._engine, users, settings)
        self._served: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()

    async def running(self, _: web.Application) -> AsyncIterator[None]:
        """The engine, from the start to the end of the application."""
        await self._engine.start()
        yield
        await self._runner.sessions.close_all()
        await self._engine.stop()

    async def ping(self, _: web.Request) -> web.Response:
        """Whether the engine answers. A server's ping says only that it listens."""
        async with asyncio.timeout(_PING_S):
            await self._engine.ping()
        return web.Response(text="Ok.\n")

    async def finish_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """What every answer carries; and whether it is the last one of its connection."""
        response.headers.update(responses.common_headers(self._settings))
        if request.transport is not None:
            served = self._served[request.transport] = self._served.get(request.transport, 0) + 1
            if served >= self._settings.max_keep_alive_requests:
                response.force_close()
        if not response.keep_alive:
            del response.headers["Keep-Alive"]
            response.headers["Connection"] = "close"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, as the server would."""
        if not headers_fit(request.raw_headers, self._settings):
            refused = web.Response(status=400)
            refused.force_close()
            return refused
        if request.method != "POST" and "?" not in request.raw_path:
            return web.Response(text="Ok.\n")
        try:
            asked = await requests.read(request, self._users, self._settings, self._engine.uploads)
            try:
                return await self._runner.answer(request, asked)
            finally:
                for table in asked.tables:
                    table.data.unlink(missing_ok=True)
        except ServerError as error:
            return responses.error_response(error)
