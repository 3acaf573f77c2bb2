"""Builds ingest: the route, its keys from ClickHouse, its way into Kafka, health and documents."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import maxminddb
from clickhouse_connect.driver.asyncclient import AsyncClient
from fastapi import FastAPI
from starlette.types import Lifespan, Receive, Scope, Send

from libs.access.callers import Writer
from libs.access.key_store import KeyStore
from libs.access.rate_limits import RateLimiter
from libs.access.shared_windows import shared_windows
from libs.clickhouse.connection import connect_patiently
from libs.clickhouse.migrations import wait_until_applied
from libs.http.admission import Admission, Guarded, Rates
from libs.http.background import start_forever
from libs.http.budget import Budget
from libs.http.direct import DirectRoute
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
from services.ingest.batches import Turns
from services.ingest.cardinality import Cardinality
from services.ingest.countries import CountryOf, country_by_registry, open_country_database
from services.ingest.openapi import document
from services.ingest.pacing import Pace
from services.ingest.publisher import Publisher, kafka_producer
from services.ingest.quota import WriteQuota
from services.ingest.routes import EVENTS_PATH, EventsRoute
from services.ingest.settings import Settings

log = get_logger()


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit code 0 after a clean stop."""
    settings = load_settings(Settings)
    configure_logs("ingest", settings.log.level)
    make_producer = partial(kafka_producer, settings.kafka, settings.publish)
    with tracing("ingest", settings.traces) as traces:
        app = build(
            settings,
            KeyStore(settings.access),
            Publisher(
                settings.kafka.events_topic,
                settings.publish,
                make_producer,
                traces,
                share=settings.http.share,
            ),
            lambda: connect_patiently(settings.clickhouse),
            utc_now,
        )
        serve_metrics(settings.http, shown_by("ingest"))
        serve(app, settings.http, settings.stop, settings.trusted_proxies)


def utc_now() -> datetime:
    """The clock of the service; nothing else asks for the time of day."""
    return datetime.now(UTC)


class App(FastAPI):
    """FastAPI for all but the events, which do not go through its layers."""

    def __init__(self, events: DirectRoute, lifespan: Lifespan["App"]) -> None:
        super().__init__(
            lifespan=lifespan,
            openapi_url=None,  # written by hand, see openapi.py
            telemetry=NO_TELEMETRY,
            redirect_slashes=False,  # it would send keys to whatever scheme and host we see
        )
        self._events = events
        self.router.routes.append(events.route)  # it refuses the other methods

    def __call__(  # type: ignore[override]  # one coroutine less
        self, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        if self._events.takes(scope):
            return self._events(scope, receive, send)
        return super().__call__(scope, receive, send)


def build(
    settings: Settings,
    keys: KeyStore,
    publisher: Publisher,
    connect: Callable[[], Awaitable[AsyncClient]],
    clock: Callable[[], datetime],
) -> FastAPI:
    """The app. `connect` may take as long as it likes: the app answers 503 meanwhile."""
    shared = shared_windows(settings.rate_limit, "ingest")
    limiter, rates, body = RateLimiter(shared), settings.rate_limit, settings.body
    admission = Admission(
        keys,
        limiter,
        Rates(rates.per_address, per_key_here=rates.requests_per_key),
        settings.trusted_proxies,
        clock,
    )
    largest = max(body.max_events, -(-body.max_body_bytes // 1024))
    route = EventsRoute(
        admission=admission,
        quota=WriteQuota(limiter, rates.events_per_key, largest),
        pace=Pace(),
        publisher=publisher,
        country_of=_country_lookup(settings),
        cardinality=Cardinality(
            settings.cardinality.max_keys, settings.cardinality.max_memory_bytes
        ),
        limits=body,
        turns=Turns(),
        budget=Budget(
            body.max_held_bytes,
            settings.http.share,
            max_waiting=body.max_waiting,
            wait_s=body.wait_s,
        ),
        clock=clock,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        database = settings.clickhouse.database
        tasks = [
            start_forever(_keep_keys(connect, database, keys)),
            start_forever(publisher.run()),
        ]
        if shared is not None:
            tasks.append(start_forever(shared.run()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await publisher.stop()

    write = Guarded(admission, Writer, route.post)
    requests = Requests("ingest", publisher.traces, keys.uses.answered)
    app = App(DirectRoute(EVENTS_PATH, write.answer, "POST", requests), lifespan)
    install_problems(app, admission.look)
    add_health(
        app,
        "ingest",
        settings.http,
        lambda: {"kafka": publisher.is_ready, "keys": keys.is_fresh},
    )
    add_openapi(app, document(EVENTS_PATH))
    take_whole_paths(app.routes)
    app.add_middleware(RequestsLog, requests=requests)
    return app


def _country_lookup(settings: Settings) -> CountryOf:
    path = settings.geoip_database
    if path is None:
        return country_by_registry
    try:
        return open_country_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        sys.stderr.write(f"RAGTIME_GEOIP_DATABASE: {error}\n")
        sys.exit(2)


async def _keep_keys(
    connect: Callable[[], Awaitable[AsyncClient]], database: str, keys: KeyStore
) -> None:
    client = await connect()
    try:
        await wait_until_applied(client, database)
        await asyncio.gather(keys.run(client), keys.uses.run(client, "ingest"))
    finally:
        await client.close()
