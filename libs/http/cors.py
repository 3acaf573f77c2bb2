"""Which web pages may read answers: none, unless an operator names their origins.

Without an origin's header a browser keeps an answer from the page that asked. No page can use what
a browser holds on its own, for there are no cookies here: it must know a key.
"""

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.http.headers import header_values

_VARY = (b"vary", b"origin")
_ALLOWED = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (
        b"access-control-allow-headers",
        b"authorization, content-encoding, content-type, idempotency-key, x-request-id",
    ),
    (
        b"access-control-expose-headers",
        b"retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
)


class Cors:
    """ASGI: around the whole app, where there are origins to allow."""

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = self._headers_for(header_values(scope, b"origin"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers_for(self, origins: list[str]) -> list[tuple[bytes, bytes]]:
        if len(origins) != 1 or origins[0] not in self._origins:
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origins[0].encode()), *_ALLOWED]
