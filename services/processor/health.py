"""The processor's own port: live, ready and metrics. aiohttp is here already, with the clients."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.http.sockets import socket_of_both_kinds
from libs.settings import HttpSettings
from libs.telemetry.checks import show_checks
from libs.telemetry.metrics import shown_by

# Two looks and the time-outs in them take a third of it.
_LOOKS_WITHIN_S = 60.0
_BACKLOG = 128


@dataclass(slots=True)
class Health:
    """What the service knows of itself; ready means that it owns its partitions and counts."""

    clickhouse: bool = False
    kafka: bool = False
    owns: bool = False
    aside: list[int] = field(default_factory=list)  # not what was counted from
    held: bool = False
    stopping: bool = False
    stuck: list[int] = field(default_factory=list)
    left_out: bool = False
    hangs: bool = False  # a take-over
    looked_at_s: float | None = None  # monotonic; of the watchdog, once it has begun

    def checks(self) -> dict[str, bool]:
        return {
            "clickhouse": self.clickhouse,
            "kafka": self.kafka,
            "partitions": self.owns,
            "topic": not self.aside,
            "dead_letters": not self.held,
            "running": not self.stopping,
        }

    def trouble(self, now_s: float) -> dict[str, object]:
        """Why only a new process helps; empty while this one may go on."""
        if self.stuck:
            return {"status": "stuck", "partitions": self.stuck}
        if self.left_out:
            return {"status": "left_out"}
        if self.hangs:
            return {"status": "take_over_hangs"}
        looked_at_s = now_s if self.looked_at_s is None or self.stopping else self.looked_at_s
        if now_s - looked_at_s > _LOOKS_WITHIN_S:
            return {"status": "unwatched"}  # nobody would find that it is stuck
        return {}


@asynccontextmanager
async def serve_health(settings: HttpSettings, health: Health) -> AsyncIterator[None]:
    """Answer /healthz/live, /healthz/ready and /metrics while the block runs."""
    show_checks(health.checks)
    shown = shown_by("processor")

    async def live(_request: web.Request) -> web.Response:
        if trouble := health.trouble(time.monotonic()):
            return web.json_response(trouble, status=503)
        return web.json_response({"status": "live"})

    async def ready(_request: web.Request) -> web.Response:
        checks = health.checks()
        is_ready = all(checks.values())
        body = {"status": "ready" if is_ready else "waiting", "checks": checks}
        return web.json_response(body, status=200 if is_ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(shown), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes([web.get("/healthz/live", live), web.get("/healthz/ready", ready)])
    if settings.metrics_port is None:
        app.add_routes([web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _site(runner, settings).start()
        yield
    finally:
        await runner.cleanup()


def _site(runner: web.AppRunner, settings: HttpSettings) -> web.BaseSite:
    own = socket_of_both_kinds(settings.host, settings.port, _BACKLOG)
    if own is not None:
        return web.SockSite(runner, own)
    return web.TCPSite(runner, settings.host, settings.port)
