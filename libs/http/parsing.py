"""From the bytes of a connection to requests: offers, and what a request may not be.

- A request that offers another protocol (`Upgrade: h2c`, as every Java client does) is answered as
  if it did not: the parser, which drops the body after an offer, gets it again without one.
- What comes before and after a body is held in memory, for anybody: it has limits, of lines too.
- What a parser forgives and a proxy may not (two hosts, other transfer codings) is no request.
- Trailers, which come after the body, are not headers: nothing here asks for them.
"""

import asyncio
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.http import heads
from libs.http.coalescing import CoalescingTransport
from libs.http.configuration import Configuration
from libs.http.connections import Slot
from libs.http.cycle import Cycle
from libs.http.heads import MAX_HEADER_LINES
from libs.http.problems import Problem
from libs.http.refusals import MAX_WAITING, TOO_MANY_WAIT
from libs.http.targets import RAW_TARGET, with_encoded_target


class _Faulty(Exception):  # noqa: N818 - the parser ends with any exception
    """What the parser takes for a request and nobody should."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _Answered:
    """In place of a request that has its answer."""

    response_started = response_complete = disconnected = True
    waiting_for_100_continue = False
    message_event = asyncio.Event()


_ANSWERED = _Answered()


class ParsingProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, as far as it reads."""

    config: Configuration
    slot: Slot
    transport: CoalescingTransport

    in_head = False
    is_whole = True  # no request is on its way
    is_begun = False  # the request on its way has its turn, or waits for it
    due = 0  # answers
    since = 0.0  # when what is waited for began
    received_bytes = 0
    # What the parser holds of something that has not ended; each callback tells that it has.
    _held_bytes = 0
    _holds = False  # whether all of a read belongs to it
    _is_offer = False  # whether the request on its way offers another protocol
    _trailers = 0  # lines after the body of the request on its way
    _read = b""  # what is being parsed
    _line_begun = b""  # the end of what was received before, in which a request's line may begin
    _is_other_protocol = False
    _has_raw_target = False  # the request on its way is to be refused by the app
    kept_bytes = 0  # received for requests that are not whole, or wait

    def parse(self, data: bytes) -> Problem | None:
        """Read what came; returns why it must be refused, if it must."""
        self.received_bytes += len(data)
        is_between, due = self.is_whole and not self.in_head, self.due
        problem = self._parse(data)
        if problem is not heads.INVALID_TARGET or not is_between or self.due != due:
            return problem
        encoded = with_encoded_target(data)
        if encoded is None:
            return problem
        self._has_raw_target = True
        self.parser = httptools.HttpRequestParser(self)
        return self._parse(encoded)

    def _parse(self, data: bytes) -> Problem | None:
        self._holds = not self.is_whole
        self._read = data
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserInvalidURLError:
            return heads.INVALID_TARGET
        except httptools.HttpParserError as error:
            cause = error.__context__
            return cause.problem if isinstance(cause, _Faulty) else heads.INVALID
        self._read = b""
        if self._holds:
            self._held_bytes += len(data)
            if self._held_bytes > heads.MAX_HEAD_BYTES:
                is_target = self.in_head and len(self.url) > heads.MAX_TARGET_BYTES
                return heads.TARGET_TOO_LONG if is_target else heads.TOO_LARGE
        if self.in_head or self.pipeline:
            self._keep(data)
        return None

    def let_go(self) -> None:
        """Hold nothing any longer of a request that has its answer, whoever waits for what next."""
        if self.cycle is not None and self.cycle.response_complete:
            self.cycle = _ANSWERED  # type: ignore[assignment]
            if not self.in_head:
                self.scope = self.headers = None  # type: ignore[assignment]

    def memory_of_kept(self) -> int:
        """The bytes that are taken by what came of requests that are not whole, or wait."""
        if not (self.in_head or self.pipeline):
            self.kept_bytes = 0
        if not self.kept_bytes:
            return 0
        waiting = [len(list(cycle.scope["headers"])) for cycle, _ in self.pipeline]
        lines = sum(waiting) + (len(self.headers) if self.in_head else 0)
        return self.kept_bytes + heads.LINE_BYTES * lines + heads.REQUEST_BYTES * len(waiting)

    def _keep(self, data: bytes) -> None:
        self.kept_bytes += len(data)
        if self.in_head:
            read = self._line_begun + data
            self._is_other_protocol |= heads.has_other_protocol(read)
            self._line_begun = read[-heads.LINE_BEGUN_BYTES :]

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse, and return what is still to be parsed."""
        try:
            self.parser.feed_data(data)
            return b""
        except httptools.HttpParserUpgrade as upgrade:
            if not self._is_offer:
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
        self._held_bytes = self._trailers = 0
        self._holds = self.is_whole = self.is_begun = self._is_offer = False
        self.in_head = True
        self.since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer. Blanks behind a value are no part of it (RFC 9110, 5.5).

        Uvicorn's own would be called with each of them: it costs as much as all that is done here.
        """
        if not self.in_head:
            self._on_trailer()
            return
        headers = self.headers
        if len(headers) >= MAX_HEADER_LINES:
            raise _Faulty(heads.TOO_LARGE)
        name = name.lower()
        if value[-1:] <= b" ":
            value = value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def _on_trailer(self) -> None:
        self._trailers += 1
        if self._trailers > MAX_HEADER_LINES:
            raise _Faulty(heads.TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The request starts; one with an offer starts when it comes again."""
        self._held_bytes, self._holds = 0, False
        self.in_head = False
        self.since = self.loop.time()
        self._is_offer = self._offers_upgrade()
        if not self._is_offer:
            self._check_head()
            self._complete_scope()
            self._start()
            self._line_begun, self._is_other_protocol = b"", False
            self.transport.is_receiving = self.is_begun = True
            self.due += 1

    def _complete_scope(self) -> None:
        scope, state = self.scope, self.scope["state"]
        scope["http_version"] = self.parser.get_http_version()
        scope["method"] = self.parser.get_method().decode("ascii")
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = target.path, target.query or b""
        state["connection"] = self.slot
        if self._has_raw_target:
            self._has_raw_target = False
            state["fault"] = RAW_TARGET

    def _start(self) -> None:
        """Give the request to the app, in its turn."""
        before = self.cycle
        is_kept_alive = self.scope["http_version"] != "1.0" and self.parser.should_keep_alive()
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=is_kept_alive and not self.config.is_stopping,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _check_head(self) -> None:
        """Raise what makes of this head no request, or of this request one too many."""
        fault = heads.validate_head(self.parser.get_http_version(), self.headers)
        read = self._line_begun + self._read if self._line_begun else self._read
        if self._is_other_protocol or heads.has_other_protocol(read):
            fault = heads.INVALID
        if len(self.url) > heads.MAX_TARGET_BYTES:
            fault = heads.TARGET_TOO_LONG
        if fault is None and len(self.pipeline) >= MAX_WAITING:
            fault = TOO_MANY_WAIT
        if fault is not None:
            raise _Faulty(fault)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._held_bytes, self._holds = 0, False
        cycle = self.cycle
        if cycle.response_complete or self._is_offer:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request has ended, or its head with an offer has."""
        if self._is_offer:
            return
        self._held_bytes, self._holds = 0, False
        self.is_whole = True
        self.transport.is_receiving = False
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
