"""Which web pages may read answers: none, unless an operator names their origins.

Without an origin's header a browser keeps an answer from the page that asked. No page can use what
a browser holds on its own, for there are no cookies here: it must know a key.
"""

from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY = b"*"

_VARY = (b"vary", b"origin")
_ALLOWED = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-encoding, content-type, idempotency-key, traceparent, tracestate,"
        b" x-request-id",
    ),
    (
        b"access-control-expose-headers",
        b"retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
)

RawHeaders = Sequence[tuple[bytes, bytes]]


class Origins:
    """Those that an operator has named, as browsers write them; `*`: all of them."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = ((b"access-control-allow-origin", ANY), *_ALLOWED)

    def headers_for(self, asked: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        """What an answer to a request with these headers carries; their names in lower case."""
        if not self._origins:
            return ()
        if ANY in self._origins:
            return self._any
        origins = [value for name, value in asked if name == b"origin"]
        if len(origins) != 1 or origins[0] not in self._origins:
            return (_VARY,)
        return (_VARY, (b"access-control-allow-origin", origins[0]), *_ALLOWED)


class Cors:
    """ASGI: around the whole app, where there are origins to allow."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = self._origins.headers_for(scope["headers"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
