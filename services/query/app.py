"""Builds the query service: its client, its key snapshot, its limits and its one endpoint."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI

from libs.access.callers import Reader
from libs.access.key_store import KeyStore
from libs.access.rate_limits import RateLimiter
from libs.access.shared_windows import SharedWindows, shared_windows
from libs.clickhouse.connection import connect_patiently
from libs.http.admission import Admission, Guarded, Rates
from libs.http.background import start_forever
from libs.http.health import add_health
from libs.http.openapi import add_openapi
from libs.http.problems import install_problems
from libs.http.requests_log import NO_TELEMETRY, Requests, RequestsLog
from libs.http.routes import take_whole_paths
from libs.http.server import serve
from libs.settings import load_settings
from libs.telemetry.logs import configure_logs, get_logger
from libs.telemetry.metrics import shown_by
from libs.telemetry.serving import serve_metrics
from libs.telemetry.tracing import tracing
from services.query.database import Connect, Database
from services.query.openapi import document
from services.query.routes import PATH, Analytics
from services.query.settings import Settings

if TYPE_CHECKING:
    from libs.telemetry.spans import Traces

log = get_logger()


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 0 after a clean stop."""
    settings = load_settings(Settings)
    configure_logs("query", settings.log.level)
    connect = partial(connect_patiently, settings.clickhouse)
    with tracing("query", settings.traces) as traces:
        app = build(settings, connect, utc_now, traces)
        serve_metrics(settings.http, shown_by("query"))
        serve(app, settings.http, settings.stop, settings.trusted_proxies)


def utc_now() -> datetime:
    """The clock of the service; nothing else asks for the time of day."""
    return datetime.now(UTC)


def build(
    settings: Settings,
    connect: Connect,
    clock: Callable[[], datetime],
    traces: "Traces | None" = None,
) -> FastAPI:
    """The app. `connect` may take as long as it likes: the app answers 503 meanwhile."""
    share = settings.http.share
    database = Database(connect, settings.clickhouse.database, settings.query, share)
    keys = KeyStore(settings.access)
    shared = shared_windows(settings.rate_limit, "query")
    admission = Admission(
        keys,
        RateLimiter(shared),
        Rates(settings.rate_limit.per_address, settings.rate_limit.per_key),
        settings.trusted_proxies,
        clock,
    )

    def checks() -> dict[str, bool]:
        return {"keys": keys.is_fresh, **database.checks()}

    app = FastAPI(
        lifespan=lambda _app: _background(database, keys, shared),
        openapi_url=None,  # written by hand, see openapi.py
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # it would send keys to whatever scheme and host we see
    )
    install_problems(app, admission.look)
    add_health(app, "query", settings.http, checks)
    add_openapi(app, document(PATH))
    analytics = Analytics(database, settings.query, share, clock)
    read = Guarded(admission, Reader, analytics.read)
    app.add_api_route(PATH, read.answer, methods=["GET", "HEAD"])
    take_whole_paths(app.routes)
    app.add_middleware(RequestsLog, requests=Requests("query", traces, keys.uses.answered))
    return app


@asynccontextmanager
async def _background(
    database: Database, keys: KeyStore, shared: SharedWindows | None
) -> AsyncIterator[None]:
    async def keep_keys() -> None:
        client = await database.own_client()
        await asyncio.gather(keys.run(client), keys.uses.run(client, "query"))

    tasks = [start_forever(database.run()), start_forever(keep_keys())]
    if shared is not None:
        tasks.append(start_forever(shared.run()))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.close()
