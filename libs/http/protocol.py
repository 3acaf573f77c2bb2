"""HTTP/1.1 as uvicorn reads it, and what it leaves open: offers, limits, the shape of a refusal.

- A request that offers another protocol (`Upgrade: h2c`, as every Java client does) is answered as
  if it did not: the parser, which drops the body after an offer, gets it again without one.
- What comes before a body is held in memory, for anybody: it has a limit.
- A request that is no HTTP is refused by a problem like every other.
- Trailers, which come after the body, are not headers: nothing here asks for them.
"""

import asyncio

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from libs.http.gathering import GatheringTransport
from libs.http.problems import MEDIA_TYPE, Problem, body_of

# Beside the first read of a request, which is at most 256 KiB.
_MAX_HEAD_BYTES = 64 * 1024

_INVALID = Problem(400, "invalid_http", "The request is not valid HTTP/1.1.")
_TOO_LARGE = Problem(431, "headers_too_large", "The request's line and headers are too large.")


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(GatheringTransport(transport))

    def data_received(self, data: bytes) -> None:
        """Read what came, and refuse what cannot be read."""
        self._unset_keepalive_if_required()
        was_in_head = self._in_head
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError:
            self._refuse(_INVALID)
            return
        if was_in_head:
            self._head_bytes += len(data)
            if self._in_head and self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse, and return what is still to be parsed."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._offers_upgrade():
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(head)
                return memoryview(data)[upgrade.args[0] :]
        return b""  # after CONNECT comes what is no HTTP

    def _offers_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request starts; one with an offer starts when it comes again."""
        self._in_head = False
        if not self._offers_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has ended, or its head with an offer has."""
        if not self._offers_upgrade():
            super().on_message_complete()

    def _refuse(self, problem: Problem) -> None:
        self.logger.warning("Refused what is no request: %s", problem.code)
        body = msgspec.json.encode(body_of(problem))
        headers = [
            *self.server_state.default_headers,
            (b"cache-control", b"no-store"),
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + body)
        self.transport.close()
