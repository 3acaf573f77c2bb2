"""Builds the query service: its client, its key snapshot, its limits and its one endpoint."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from clickhouse_connect.driver.asyncclient import AsyncClient
from fastapi import FastAPI

from libs.access.key_store import KeyStore
from libs.access.rate_limits import RateLimiter
from libs.clickhouse.connection import connect_patiently
from libs.http.admission import Admission, Rates
from libs.http.background import start_forever
from libs.http.health import add_health
from libs.http.openapi import add_openapi
from libs.http.problems import install_problems
from libs.http.requests_log import RequestsLog
from libs.http.server import serve
from libs.settings import load_settings
from libs.telemetry.logs import configure_logs, get_logger
from services.query.database import Database, caps
from services.query.openapi import document
from services.query.routes import PATH, Analytics
from services.query.settings import Settings

log = get_logger()


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 0 after a clean stop."""
    settings = load_settings(Settings)
    configure_logs("query", settings.log.level)
    sent = caps(settings.query)
    app = build(settings, lambda: connect_patiently(settings.clickhouse, sent), utc_now)
    serve(app, settings.http)


def utc_now() -> datetime:
    """The clock of the service; nothing else asks for the time of day."""
    return datetime.now(UTC)


def build(
    settings: Settings,
    connect: Callable[[], Awaitable[AsyncClient]],
    clock: Callable[[], datetime],
) -> FastAPI:
    """The app. `connect` may take as long as it likes: the app answers 503 meanwhile."""
    database = Database(connect, settings.clickhouse.database, settings.query)
    keys = KeyStore(settings.access)
    admission = Admission(
        keys,
        RateLimiter(),
        Rates(settings.rate_limit.per_key, settings.rate_limit.per_address),
        settings.trusted_proxies,
        clock,
    )

    def checks() -> dict[str, bool]:
        return {"keys": keys.is_loaded, **database.checks()}

    app = FastAPI(
        lifespan=lambda _app: _background(database, keys),
        openapi_url=None,  # written by hand, see openapi.py
        redirect_slashes=False,  # it would send keys to whatever scheme and host we see
    )
    install_problems(app)
    add_health(app, checks)
    add_openapi(app, document(PATH))
    analytics = Analytics(admission, database, settings.query.max_days, clock)
    app.add_api_route(PATH, analytics.read, methods=["GET", "HEAD"])
    app.add_middleware(RequestsLog, service="query")
    return app


@asynccontextmanager
async def _background(database: Database, keys: KeyStore) -> AsyncIterator[None]:
    async def refresh_keys() -> None:
        await keys.run(await database.client())

    tasks = [start_forever(database.run()), start_forever(refresh_keys())]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
