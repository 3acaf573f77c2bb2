"""One structured line and one measurement a request, and an id that leads from answer to log.

Pure ASGI: Starlette's own middleware class costs more than a request. Never a path's project, a
query, an address or a key: the line names the route's template, and a key by its public name.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fastapi.telemetry import TelemetryConfig
from msgspec import UNSET
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.http.headers import header_values
from libs.http.request_ids import request_id_of
from libs.telemetry.logs import RequestLine, log_request
from libs.telemetry.metrics import REQUEST_SECONDS, REQUESTS

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from libs.telemetry.spans import Traces

_ID_HEADER = b"x-request-id"
# FastAPI has telemetry of its own, which a variable of the environment turns on. It would tell
# queries, addresses and the texts of errors.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}

_QUIET_ROUTES = ("/healthz/live", "/healthz/ready", "/metrics")


# Told of each request with a good key: the key, the status, how many of its events were refused.
Answered = Callable[[str, int, int], None]


class Begun(NamedTuple):
    """A request that is under way; `at`: by the clock of the measurement."""

    request_id: str
    span: "Span | None"
    at: float

    @property
    def id_header(self) -> tuple[bytes, bytes]:
        """What its answer tells."""
        return _ID_HEADER, self.request_id.encode()


class Requests:
    """What is told of the requests of a service, at their begin and at their end."""

    def __init__(
        self,
        service: str,
        traces: "Traces | None" = None,
        answered: Answered | None = None,
    ) -> None:
        self._service = service
        self._traces = traces
        self._answered = answered

    def begin(self, scope: Scope) -> Begun:
        """A request has come: it gets its id, and its span where it is traced."""
        request_id = request_id_of(header_values(scope, _ID_HEADER))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        span = None if self._traces is None else self._traces.request(scope)
        if span is not None:
            state["span"] = span
        return Begun(request_id, span, time.perf_counter())

    def end(self, scope: Scope, begun: Begun, status: int) -> None:
        """It has been answered."""
        seconds = time.perf_counter() - begun.at
        state, route = scope["state"], template_of(scope)
        count, observe = _counted_by(self._service, route, status)
        count()
        observe(seconds)
        key_id = state.get("key_id", UNSET)
        if self._answered is not None and key_id is not UNSET:
            self._answered(key_id, status, state.get("rejected", 0))
        if route not in _QUIET_ROUTES:
            log_request(
                RequestLine(
                    self._service,
                    scope["method"],
                    route,
                    status,
                    round(seconds * 1000, 2),
                    begun.request_id,
                    datetime.now(UTC),
                    key_id=key_id,
                    code=state.get("code", UNSET),
                    rejected=state.get("rejected", UNSET),
                )
            )
        if self._traces is not None and begun.span is not None:
            self._traces.answered(begun.span, scope["method"], route, status)


class RequestsLog:
    """ASGI middleware around the whole app of a service."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = self._requests.begin(scope)
        status = 500  # what the server answers when the app raises

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), begun.id_header]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._requests.end(scope, begun, status)


@cache
def _counted_by(
    service: str, route: str, status: int
) -> tuple[Callable[[], None], Callable[[float], None]]:
    """What counts an answer of this kind, and what observes how long it took."""
    for other in (500, 503):  # there from the start: the first one must show as an increase
        REQUESTS.labels(service, route, str(other))
    return (
        REQUESTS.labels(service, route, str(status)).inc,
        REQUEST_SECONDS.labels(service, route).observe,
    )


def template_of(scope: Scope) -> str:
    """The path of the route that was taken, with its parameters by name."""
    if "route" in scope:
        return str(scope["route"].path)
    endpoint = scope.get("endpoint")  # all that Starlette's plain routes leave behind
    routes = () if endpoint is None else scope["app"].routes
    taken = (r.path for r in routes if getattr(r, "endpoint", None) is endpoint)
    return next(taken, "unmatched")
