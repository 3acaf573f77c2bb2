"""Whether a service lives, whether it is ready, and its metrics."""

from collections.abc import Callable, Mapping

import msgspec
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response


def add_health(app: FastAPI, checks: Callable[[], dict[str, bool]]) -> None:
    """Add /healthz/live, /healthz/ready and /metrics. `checks` answers at once, from memory.

    `app.state.is_stopping` is set by the server when it was told to stop.
    """
    app.state.is_stopping = False

    async def live() -> Response:
        return _json({"status": "live"}, 200)

    async def ready() -> Response:
        results = checks() | {"running": not app.state.is_stopping}
        is_ready = all(results.values())
        body = {"status": "ready" if is_ready else "waiting", "checks": results}
        return _json(body, 200 if is_ready else 503)

    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (
        ("/healthz/live", live),
        ("/healthz/ready", ready),
        ("/metrics", metrics),
    ):
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def _json(body: Mapping[str, object], status: int) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
