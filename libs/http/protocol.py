"""HTTP/1.1 as uvicorn reads it, and what it leaves open: offers, limits, the shape of a refusal.

- A request that offers another protocol (`Upgrade: h2c`, as every Java client does) is answered as
  if it did not: the parser, which drops the body after an offer, gets it again without one.
- What comes before and after a body is held in memory, for anybody: it has a limit.
- A request that is no HTTP is refused by a problem like every other, after the answers to those
  before it. What a parser forgives and a proxy may not (two hosts, other transfer codings) is none.
- Requests sent before the answer to another wait unread; beyond a few the connection is closed.
- Whoever is slow with headers, a body or the reading of an answer is cut off after a while.
- Connections have a number; beyond it the one that has been silent longest makes room.
- A service that was told to stop tells each connection with its next answer; a request that has
  begun to come is still answered.
- Trailers, which come after the body, are not headers: nothing here asks for them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httptools
import msgspec
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from libs.http.gathering import GatheringTransport
from libs.http.heads import INVALID, fault_of_head
from libs.http.problems import MEDIA_TYPE, Problem, body_of
from libs.http.request_ids import new_request_id
from libs.settings import DoorSettings
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import CONNECTIONS_CUT

# The server adds them to whatever is answered, refusals below included.
EVERY_ANSWER = [("cache-control", "private, no-store"), ("x-content-type-options", "nosniff")]

# Of a head, or of what follows the last byte of a body, beside the read that it begins in, which is
# at most 256 KiB. The parser holds a header, also one in a trailer, until it ends.
_MAX_HELD_BYTES = 64 * 1024

# Requests that wait for the answer to one before them, in one connection.
_MAX_WAITING = 32

# How long the rest of a body is thrown away that was refused, and how long a closed connection has.
_LINGER_S = 5.0

# Who has not read on for so long is no longer at work: another may have the place.
_UNREAD_S = 10.0

_TOO_LARGE = Problem(431, "headers_too_large", "The request's line and headers are too large.")
_TOO_MANY_WAIT = Problem(
    503,
    "too_many_waiting",
    f"At most {_MAX_WAITING} requests may wait for their turn in one connection.",
    {"Retry-After": "1"},
)
_TOO_SLOW = Problem(408, "request_timeout", "The request did not arrive in time.")
_TOO_MANY = Problem(
    503, "too_many_connections", "Too many are connected at the moment.", {"Retry-After": "3"}
)
_STOPPING = Problem(
    503, "unavailable", "The service was stopped meanwhile; try again.", {"Retry-After": "3"}
)
# What any request may be answered before its key, and often its path, is looked at.
EARLY = (INVALID, _TOO_SLOW, _TOO_LARGE, _TOO_MANY, _TOO_MANY_WAIT)

log = get_logger()


class Configuration(uvicorn.Config):
    """Uvicorn's, with ours beside it."""

    door: DoorSettings
    is_stopping = False


class _Faulty(Exception):  # noqa: N818 - the parser ends with any exception
    """What the parser takes for a request and nobody should."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _Flow(FlowControl):
    """Uvicorn's, but for this: nothing more is read while requests wait for their turn."""

    def __init__(self, protocol: "Protocol") -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        """Take from the socket again."""
        if not (self._protocol.pipeline or self._protocol.last_word):
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """One connection."""

    _in_head = False
    _held_bytes = 0
    _holds = False  # whether all of a read belongs to what the parser holds
    _is_whole = True  # no request is on its way
    _is_begun = False  # the request on its way has its turn, or waits for it
    _due = 0  # answers
    last_word: Problem | None = None  # to be said after the answers that are still due
    since = 0.0  # when what is waited for began

    def __init__(
        self,
        config: Configuration,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._door = config.door
        self._ours = config

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(GatheringTransport(transport))
        self.flow = _Flow(self)
        self.since = self.loop.time()
        if len(self.connections) > self._door.max_connections:
            self._make_room()

    def _make_room(self) -> None:
        others = (one for one in self.connections if isinstance(one, Protocol) and one is not self)
        silent = [one for one in others if one.is_idle or one.is_unread]
        if silent:
            min(silent, key=lambda one: one.since).cut(_TOO_MANY.code)
        else:
            self._refuse(_TOO_MANY)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self._due == 0

    @property
    def is_unread(self) -> bool:
        """Whether an answer has been there for a while, and nobody goes on reading it."""
        return self.flow.write_paused and self.loop.time() - self.since > _UNREAD_S

    def cut_if_slow(self, now: float) -> None:
        """Cut the connection off when the other side has taken too long for what it does."""
        limit_s = self._limit_s()
        if limit_s is None or now - self.since < limit_s:
            return
        if self.transport.is_closing():
            self.transport.abort()  # it does not read what it was answered
        elif self.flow.write_paused:
            self.cut("slow_reader")
        elif self._in_head or not (self.is_idle or self.cycle.response_started):
            self._refuse(_TOO_SLOW)
        else:
            self.cut("idle")

    def _limit_s(self) -> float | None:
        """How long the other side may take for what it does now; None: it waits for us."""
        if self.transport.is_closing():
            return _LINGER_S
        if self.flow.write_paused:  # also when another answer waits for that: it is not begun
            return self.timeout_keep_alive
        if not self.is_idle:
            waits_for_body = self._due == 1 and self._is_begun and not self._is_whole
            return self._door.body_window_s if waits_for_body else None
        if self._in_head or self.cycle is None:
            return self._door.head_timeout_s
        return self.timeout_keep_alive if self._is_whole else _LINGER_S

    def shutdown(self) -> None:
        """The server ends: close when nothing is under way, else after the answer."""
        if not self._in_head:
            super().shutdown()

    def give_up(self) -> None:
        """The server waits no longer for what is under way here."""
        if self.transport.is_closing():
            self.transport.abort()
        elif self._in_head and self.is_idle:
            self._refuse(_STOPPING)
        elif self._due == 1 and not (self._in_head or self.cycle.response_started):
            self._say(_STOPPING, self.scope["state"])
        else:
            self.cut("stopping")

    def cut(self, reason: str) -> None:
        """Close the connection; what was written is still sent."""
        CONNECTIONS_CUT.labels(reason).inc()
        self.since = self.loop.time()
        self.transport.close()

    def pause_writing(self) -> None:
        """What was written is not read as fast as it comes."""
        super().pause_writing()
        self.since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Read what came, and refuse what cannot be read."""
        self._unset_keepalive_if_required()
        if self.last_word:
            return
        self._holds = not self._is_whole
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.problem if isinstance(cause, _Faulty) else INVALID)
            return
        if self._holds:
            self._held_bytes += len(data)
            if self._held_bytes > _MAX_HELD_BYTES:
                self._refuse(_TOO_LARGE)

    def _moved_on(self) -> None:
        """Something came to its end: the parser holds nothing of before."""
        self._holds, self._held_bytes = False, 0

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse, and return what is still to be parsed."""
        try:
            self.parser.feed_data(data)
            return b""
        except httptools.HttpParserUpgrade as upgrade:
            if not self._offers_upgrade():
                return b""  # after CONNECT comes what is no HTTP
            end: int = upgrade.args[0]
        head = self._head_without_offer()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(head)
        return memoryview(data)[end:]

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
        self._moved_on()
        self._in_head, self._is_whole, self._is_begun = True, False, False
        self.since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request starts; one with an offer starts when it comes again."""
        self._moved_on()
        self._in_head = False
        self.since = self.loop.time()
        if not self._offers_upgrade():
            self._check_head()
            super().on_headers_complete()
            if self._ours.is_stopping and self.cycle is not None:
                self.cycle.keep_alive = False
            self._is_begun = True
            self._due += 1

    def _check_head(self) -> None:
        """Raise what makes of this head no request, or of this request one too many."""
        fault = fault_of_head(self.parser.get_http_version(), self.headers)
        if fault is None and len(self.pipeline) >= _MAX_WAITING:
            fault = _TOO_MANY_WAIT
        if fault is not None:
            raise _Faulty(fault)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._moved_on()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has ended, or its head with an offer has."""
        if not self._offers_upgrade():
            self._moved_on()
            self._is_whole = True
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request has been answered."""
        self.since = self.loop.time()
        self._due -= 1
        super().on_response_complete()
        if self.last_word and not self._due and not self.transport.is_closing():
            self._say(self.last_word, {})

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the app, and close; those before get their answers first."""
        is_own = self._is_begun and not self._is_whole
        if is_own and self.cycle.response_complete:
            self.cut(problem.code)  # it has its answer: this was the rest of its body
        elif is_own and self._due == 1:
            self._say(problem, self.scope["state"])
        elif self._due:
            self._say_later(problem, is_own=is_own)
        else:
            self._say(problem, {})

    def _say_later(self, problem: Problem, *, is_own: bool) -> None:
        if is_own:
            self.pipeline.popleft()  # the newest is at the left: it waited, and nobody knows of it
            self._is_begun = False
            self._due -= 1
        self.last_word = problem
        self.flow.pause_reading()

    def _say(self, problem: Problem, state: dict[str, Any]) -> None:
        """Answer and close; whoever works on the request with this state learns why."""
        request_id = state.get("request_id") or new_request_id()
        state["cut_with"] = problem.status
        log.warning("connection.refused", code=problem.code, request_id=request_id)
        self.transport.write(self._answer_of(problem, request_id))
        self.cut(problem.code)

    def _answer_of(self, problem: Problem, request_id: str) -> bytes:
        body = msgspec.json.encode(body_of(problem, request_id))
        own: Mapping[str, str] = {
            **problem.headers,
            "content-type": MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "connection": "close",
        }
        headers = [(name.encode(), value.encode()) for name, value in own.items()]
        pairs = [*self.server_state.default_headers, *headers]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
        return STATUS_LINE[problem.status] + lines + b"\r\n" + body
