"""Whether a service lives, whether it is ready, and its metrics where they have no other port."""

from collections.abc import Callable, Mapping

import msgspec
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from libs.settings import HttpSettings
from libs.telemetry.checks import show_checks
from libs.telemetry.metrics import shown_by


def add_health(
    app: FastAPI, service: str, settings: HttpSettings, checks: Callable[[], dict[str, bool]]
) -> None:
    """Add /healthz/live, /healthz/ready and /metrics. `checks` answers at once, from memory.

    `app.state.is_stopping` is set by the server when it was told to stop.
    """
    app.state.is_stopping = False
    shown = shown_by(service)

    def all_checks() -> dict[str, bool]:
        return checks() | {"running": not app.state.is_stopping}

    show_checks(all_checks)

    async def live() -> Response:
        return _json({"status": "live"}, 200)

    async def ready() -> Response:
        results = all_checks()
        is_ready = all(results.values())
        body = {"status": "ready" if is_ready else "waiting", "checks": results}
        return _json(body, 200 if is_ready else 503)

    async def metrics() -> Response:
        return Response(generate_latest(shown), media_type=CONTENT_TYPE_LATEST)

    endpoints = {"/healthz/live": live, "/healthz/ready": ready}
    if settings.metrics_port is None:
        endpoints["/metrics"] = metrics
    for path, endpoint in endpoints.items():
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def _json(body: Mapping[str, object], status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
