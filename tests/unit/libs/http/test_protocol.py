"""What a connection makes of the bytes that come in; the app answers with what it got."""

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from libs.http import requests_log
from libs.http.configuration import Configuration
from libs.http.problems import answer_nobody
from libs.http.protocol import Protocol
from libs.http.refusals import MAX_WAITING
from libs.http.requests_log import Requests, RequestsLog
from libs.http.server import configuration
from libs.settings import DoorSettings
from libs.telemetry.logs import RequestLine
from tests.polling import until

_OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    body = (await request.body()).decode()
    shown = [f"{request.method} {request.url.path}", body, request.headers.getlist("x-note")]
    await JSONResponse(shown)(scope, receive, send)


async def _much(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse("a" * 10_000_000)(scope, receive, send)


@dataclass
class Connection:
    """Both ends of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "CountingProtocol"

    def later(self, seconds: float) -> None:
        """Let the server look at the connection as if so much time had passed."""
        self.server.cut_if_slow(asyncio.get_running_loop().time() + seconds)

    async def arrives(self, sent: bytes) -> None:
        """Send, and return when the server has read it."""
        before = self.server.received
        self.writer.write(sent)
        await until(lambda: self.server.received >= before + len(sent))


class CountingProtocol(Protocol):
    """The protocol, and how many bytes it has got."""

    received = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received += len(data)


@dataclass
class Server:
    """What connections have in common."""

    config: Configuration
    state: ServerState


def _server(app: ASGIApp = _echo, **door: Any) -> Server:
    config = configuration(app, DoorSettings(port=8099, **door))
    config.load()
    state = ServerState()
    state.default_headers = config.encoded_headers  # what the server does every second
    return Server(config, state)


@asynccontextmanager
async def _connection(
    app: ASGIApp = _echo, server: Server | None = None, **door: Any
) -> AsyncIterator[Connection]:
    common = server or _server(app, **door)
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_accepted_socket(
        lambda: CountingProtocol(common.config, common.state, {}), ours
    )
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    try:
        yield Connection(reader, writer, protocol)
    finally:
        writer.close()
        transport.close()
        await asyncio.gather(*common.state.tasks)


async def _answers(*parts: bytes, count: int = 1) -> list[tuple[int, str, object]]:
    """The status, the media type and the body of each answer to these bytes."""
    async with _connection() as connection, asyncio.timeout(10):
        sending = asyncio.create_task(_send(connection.writer, parts))
        answers = [await _answer(connection.reader) for _ in range(count)]
        await sending
        return [(status, headers["content-type"], body) for status, headers, body in answers]


async def _send(writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
    with suppress(ConnectionError):  # who is refused need not be heard to the end
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], object]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, json.loads(body)


def _code(answer: tuple[int, dict[str, str], object]) -> object:
    assert isinstance(answer[2], dict)
    return answer[2]["code"]


def _get() -> bytes:
    return b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def _post(body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /a HTTP/1.1\r\nHost: x\r\n%b%b\r\n%b" % (length, headers, body)


@pytest.mark.parametrize("size", [1, 20, 10_000])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_body_is_read_when_its_request_offers_another_protocol(
    body: bytes, size: int
) -> None:
    sent = b"POST /a HTTP/1.1\r\nHost: x\r\n" + _OFFER + body + _post(b"next")
    parts = [sent[start : start + size] for start in range(0, len(sent), size)]

    answers = await _answers(*parts, count=2)

    assert [body for _, _, body in answers] == [["POST /a", "hello", []], ["POST /a", "next", []]]


async def test_every_request_is_answered_when_each_offers_another_protocol() -> None:
    get = b"GET /a HTTP/1.1\r\nHost: x\r\n" + _OFFER + b"\r\n"

    answers = await _answers(get * MAX_WAITING, count=MAX_WAITING)

    assert answers == [(200, "application/json", ["GET /a", "", []])] * MAX_WAITING


@pytest.mark.parametrize("blank", [b" ", b"  "])
async def test_blanks_behind_a_value_do_not_matter(blank: bytes) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x%b\r\nX-Note: a%b\r\nTransfer-Encoding: chunked%b\r\n\r\n"

    [answer] = await _answers(head % (blank, blank, blank) + b"5\r\nhello\r\n0\r\n\r\n")

    assert answer == (200, "application/json", ["POST /a", "hello", ["a"]])


async def test_trailer_is_no_header_when_it_has_the_name_of_one() -> None:
    sent = (
        b"POST /a HTTP/1.1\r\nHost: x\r\nX-Note: header\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Note: trailer\r\n\r\n"
    )

    assert await _answers(sent) == [(200, "application/json", ["POST /a", "hello", ["header"]])]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n" + _OFFER + b"Transfer-Encoding: chunked\r\n\r\nz",
        b"GET /a RTSP/1.0\r\nHost: x\r\n\r\n",
        b"POST /a RTSP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na",
        b"SOURCE /a ICE/1.0\r\nHost: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
async def test_bytes_are_refused_by_a_problem_when_they_are_no_request(
    sent: bytes, size: int
) -> None:
    parts = [sent[start : start + size] for start in range(0, len(sent), size)]

    [(status, media_type, problem)] = await _answers(*parts)

    assert (status, media_type) == (400, "application/problem+json")
    assert isinstance(problem, dict)
    assert len(problem.pop("requestId")) == 32
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid_http",
        "detail": "The request is not valid HTTP/1.1.",
    }


_MANY_LINES = b"a:\r\n" * 102  # the last is not told before the next begins


@pytest.mark.parametrize(
    ("sent", "status", "code", "limit"),
    [
        (b"GET /" + b"a" * 600_000, 414, "target_too_long", "8192"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "target_too_long", "8192"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 600_000, 431, "headers_too_large", "65536"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + _MANY_LINES, 431, "headers_too_large", "100"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + _MANY_LINES,
            431,
            "headers_too_large",
            "100",
        ),
    ],
    ids=["endless target", "long target", "endless header", "header lines", "trailer lines"],
)
async def test_request_is_refused_by_a_limit_that_is_named_when_its_head_is_too_large(
    sent: bytes, status: int, code: str, limit: str
) -> None:
    async with _connection(_read) as connection, asyncio.timeout(10):
        reading = asyncio.create_task(_answer(connection.reader))
        await _send(connection.writer, [sent])
        answer = await reading

    assert (answer[0], answer[1]["content-type"]) == (status, "application/problem+json")
    assert _code(answer) == code
    assert isinstance(answer[2], dict)
    assert limit in answer[2]["detail"]


async def test_page_may_read_why_its_request_was_refused_before_it_was_whole() -> None:
    origin = b"Origin: https://dashboard.example\r\n"
    door: dict[str, Any] = {"cors_origins": ("https://dashboard.example",)}
    async with _connection(_read, **door) as connection, asyncio.timeout(10):
        reading = asyncio.create_task(_answer(connection.reader))
        head = b"GET / HTTP/1.1\r\nHost: x\r\n" + origin
        await _send(connection.writer, [head + _MANY_LINES])
        status, headers, _ = await reading

    assert status == 431
    assert headers["access-control-allow-origin"] == "https://dashboard.example"


async def test_request_is_answered_when_it_has_as_many_header_lines_as_are_allowed() -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(99))

    [(status, _, _)] = await _answers(b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")

    assert status == 200


@pytest.mark.parametrize("offer", [b"", _OFFER], ids=["plain", "offer"])
async def test_connection_ends_after_some_answers_when_too_many_requests_wait(
    offer: bytes,
) -> None:
    get = b"GET /a HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n"
    async with _connection() as connection, asyncio.timeout(10):
        connection.writer.write(get * 1_000)
        answers = [await _answer(connection.reader) for _ in range(MAX_WAITING + 2)]
        assert await connection.reader.read() == b""

    assert [status for status, _, _ in answers] == [200] * (MAX_WAITING + 1) + [503]
    assert answers[-1][1]["retry-after"] == "1"
    assert _code(answers[-1]) == "too_many_waiting"


async def test_nothing_is_read_when_requests_wait_for_their_turn() -> None:
    goes_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # what is waited for here is not in the way of the next
        await goes_on.wait()
        await JSONResponse({})(scope, receive, send)

    async with _connection(slow) as connection, asyncio.timeout(10):
        await connection.arrives(_get() * 3)
        connection.writer.write(_get() * 3)
        await asyncio.sleep(0.05)
        assert connection.server.received == 3 * len(_get())
        goes_on.set()
        assert [(await _answer(connection.reader))[0] for _ in range(6)] == [200] * 6


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz",
    ],
)
@pytest.mark.parametrize("before", [1, 3])
async def test_answers_keep_their_order_when_what_follows_is_no_request(
    bad: bytes, before: int
) -> None:
    goes_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await _echo(scope, receive, send)

    async with _connection(slow) as connection, asyncio.timeout(10):
        await connection.arrives(_post(b"one") * before + bad)
        connection.later(1_000)
        goes_on.set()
        answers = [await _answer(connection.reader) for _ in range(before + 1)]
        assert await connection.reader.read() == b""

    assert [status for status, _, _ in answers] == [200] * before + [400]
    assert _code(answers[-1]) == "invalid_http"


@pytest.mark.parametrize(
    "endless",
    [b"0\r\nX-Note: ", b"0\r\nX", b"5;note="],
    ids=["value of a trailer", "name of a trailer", "extension of a chunk"],
)
async def test_request_is_refused_when_what_is_no_body_does_not_end(endless: bytes) -> None:
    sent = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + endless

    async with _connection(_read) as connection, asyncio.timeout(10):
        reading = asyncio.create_task(_answer(connection.reader))
        await _send(connection.writer, [sent, *([b"a" * 50_000] * 3)])
        answer = await reading

    assert (answer[0], _code(answer)) == (431, "headers_too_large")


async def test_connection_ends_without_a_word_when_a_refused_body_is_broken_too() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 413)(scope, receive, send)

    async with _connection(refuse) as connection, asyncio.timeout(10):
        connection.writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        assert (await _answer(connection.reader))[0] == 413
        connection.writer.write(b"zz")

        assert await connection.reader.read() == b""


async def test_connection_ends_without_a_word_when_a_body_is_broken_after_its_answer_began() -> (
    None
):
    goes_on = asyncio.Event()

    async def begin(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": 200, "headers": [(b"content-length", b"9")]}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await goes_on.wait()

    async with _connection(begin) as connection, asyncio.timeout(10):
        connection.writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        assert (await connection.reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200 ")
        connection.writer.write(b"zz")

        assert await connection.reader.read() == b""
        goes_on.set()


async def test_next_request_is_read_when_it_begins_in_the_middle_of_a_body() -> None:
    body = b"a" * 500_000
    sent = _post(body) * 3

    answers = await _answers(
        *(sent[n : n + 200_000] for n in range(0, len(sent), 200_000)), count=3
    )

    assert [status for status, _, _ in answers] == [200] * 3


async def _read(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await _echo(scope, receive, send)
    except ClientDisconnect:
        await answer_nobody(Request(scope))(scope, receive, send)


async def test_answer_arrives_when_the_connection_is_to_be_closed_and_the_body_goes_on() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 413)(scope, receive, send)

    async with _connection(refuse) as connection, asyncio.timeout(10):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
        await connection.arrives(head)
        await until(connection.server.transport.is_closing)
        for _ in range(10):
            connection.writer.write(b"a" * 100_000)
            await connection.writer.drain()
        status, headers, _ = await _answer(connection.reader)
        connection.writer.close()
        await until(lambda: connection.server not in connection.server.connections)

    assert (status, headers["connection"]) == (413, "close")


async def test_nothing_of_a_request_is_held_when_it_was_answered() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 401)(scope, receive, send)

    async with _connection(refuse) as connection, asyncio.timeout(10):
        for _ in range(2):
            await connection.arrives(_post(b"a" * 100_000, b"X-Note: %b\r\n" % (b"b" * 40_000)))
            assert (await _answer(connection.reader))[0] == 401
            held = gc.get_referents(connection.server.cycle, vars(connection.server))
            assert all(len(one) < 1_000 for one in held if isinstance(one, (bytes, bytearray)))
            assert connection.server.scope is None


async def test_rest_is_thrown_away_for_a_while_when_a_request_was_refused() -> None:
    async with _connection() as connection, asyncio.timeout(10):
        await connection.arrives(b"nonsense\r\n\r\n")
        assert (await _answer(connection.reader))[0] == 400
        assert await connection.reader.read() == b""
        for _ in range(10):  # with a closed socket an answer on its way would be lost
            connection.writer.write(b"a" * 100_000)
            await connection.writer.drain()
        connection.later(4)
        assert connection.server in connection.server.connections
        connection.later(6)

        await until(lambda: connection.server not in connection.server.connections)


@pytest.mark.parametrize("closes", [False, True])
async def test_rest_is_thrown_away_as_long_as_it_comes_and_not_for_ever(*, closes: bool) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 413)(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    async with _connection(refuse) as connection, asyncio.timeout(10):
        server = connection.server
        await connection.arrives(head + (b"Connection: close\r\n\r\n" if closes else b"\r\n"))
        assert (await _answer(connection.reader))[0] == 413
        for _ in range(3):
            server.since -= 4  # it takes its time
            await connection.arrives(b"a" * 1_000)
            connection.later(4)
            assert server.transport.is_closing() == closes
            assert server in server.connections
        server._thrown_until -= 60
        server.since -= 4
        await connection.arrives(b"a" * 1_000)
        connection.later(4)
        if not closes:
            assert server.transport.is_closing()
            server._thrown_until = 0.0
            connection.later(6)

        await until(lambda: server not in server.connections)


async def test_connection_is_closed_without_a_word_when_it_brings_nothing() -> None:
    async with _connection(head_timeout_s=10) as connection:
        connection.later(9)
        assert not connection.server.transport.is_closing()
        connection.later(11)

        assert await connection.reader.read() == b""


async def test_request_is_refused_when_its_headers_come_too_slowly() -> None:
    async with _connection(head_timeout_s=10) as connection:
        await connection.arrives(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        connection.later(9)
        assert not connection.server.transport.is_closing()
        connection.later(11)
        status, headers, problem = await _answer(connection.reader)

        assert await connection.reader.read() == b""
    assert (status, headers["connection"]) == (408, "close")
    assert isinstance(problem, dict)
    assert problem["code"] == "request_timeout"
    assert problem["requestId"] == headers["x-request-id"]


async def test_request_is_refused_and_logged_when_its_body_comes_too_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[RequestLine] = []
    monkeypatch.setattr(requests_log, "log_request", lines.append)
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: slow-1\r\nContent-Length: 9\r\n\r\nabc"
    async with _connection(RequestsLog(_read, Requests("test")), body_window_s=20) as connection:
        await connection.arrives(sent)
        await asyncio.sleep(0)
        connection.later(19)
        assert not connection.server.transport.is_closing()
        connection.later(21)
        status, headers, problem = await _answer(connection.reader)

        assert await connection.reader.read() == b""
    assert (status, headers["x-request-id"]) == (408, "slow-1")
    assert isinstance(problem, dict)
    assert problem["requestId"] == "slow-1"
    assert [(line.status, line.request_id) for line in lines] == [(408, "slow-1")]


async def test_body_may_take_long_when_it_comes_at_the_least_rate() -> None:
    async with _connection(_read, body_window_s=20, min_body_bytes_per_s=512) as connection:
        await connection.arrives(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 55000\r\n\r\n")
        await asyncio.sleep(0)
        for window in range(1, 6):
            await connection.arrives(b"a" * 11_000)
            connection.later(21 * window)

        assert (await _answer(connection.reader))[0] == 200


async def test_body_is_refused_when_its_rate_falls_below_the_least_later_on() -> None:
    async with _connection(_read, body_window_s=20, min_body_bytes_per_s=512) as connection:
        await connection.arrives(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 55000\r\n\r\n")
        await connection.arrives(b"a" * 30_000)
        connection.later(21)
        assert not connection.server.transport.is_closing()
        await connection.arrives(b"a" * 10_000)
        connection.later(42)

        assert (await _answer(connection.reader))[0] == 408


async def test_sender_is_not_blamed_when_its_body_is_not_asked_for() -> None:
    goes_on = asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await _echo(scope, receive, send)

    async with _connection(late, body_window_s=20) as connection, asyncio.timeout(10):
        body = b"a" * 300_000
        connection.writer.write(_post(body))
        await until(lambda: connection.server.flow.read_paused)
        connection.later(1_000)
        goes_on.set()

        assert (await _answer(connection.reader))[0] == 200


async def test_connection_stays_when_the_answer_takes_long() -> None:
    goes_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await _echo(scope, receive, send)

    async with _connection(slow) as connection:
        await connection.arrives(
            _post(b"one") + b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        )
        connection.later(1_000)
        goes_on.set()

        assert (await _answer(connection.reader))[0] == 200


async def test_connection_is_closed_when_only_line_ends_come_after_an_answer() -> None:
    async with _connection() as connection:
        await connection.arrives(_post(b"one"))
        await _answer(connection.reader)
        await connection.arrives(b"\r\n")
        connection.later(64)
        assert not connection.server.transport.is_closing()
        connection.later(66)

        assert await connection.reader.read() == b""


async def test_connection_is_closed_when_a_refused_body_goes_on_and_on() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({}, 413)(scope, receive, send)

    async with _connection(refuse) as connection:
        await connection.arrives(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert (await _answer(connection.reader))[0] == 413
        connection.later(4)
        assert not connection.server.transport.is_closing()
        connection.later(6)

        assert await connection.reader.read() == b""


async def test_connection_ends_when_the_answer_is_never_read() -> None:
    async with _connection(_much) as connection, asyncio.timeout(10):
        await connection.arrives(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: not connection.server.due)
        connection.later(66)
        assert connection.server.transport.is_closing()
        assert connection.server in connection.server.connections
        connection.later(72)

        await until(lambda: connection.server not in connection.server.connections)


async def test_connection_ends_when_another_answer_waits_for_one_that_is_never_read() -> None:
    async with _connection(_much) as connection, asyncio.timeout(10):
        await connection.arrives(_get() * 2)
        await until(lambda: connection.server.flow.write_paused)
        await until(lambda: not connection.server.pipeline)
        connection.later(64)
        assert not connection.server.transport.is_closing()
        connection.later(66)
        assert connection.server.transport.is_closing()
        connection.later(72)

        await until(lambda: connection.server not in connection.server.connections)


async def test_longest_silent_connection_makes_room_when_there_are_too_many() -> None:
    server = _server(max_connections=2)
    async with _connection(server=server) as first, _connection(server=server) as second:
        await first.arrives(_post(b"one"))
        await _answer(first.reader)
        async with _connection(server=server) as third:
            assert await second.reader.read() == b""
            await third.arrives(_post(b"three"))
            assert (await _answer(third.reader))[0] == 200
            await first.arrives(_post(b"again"))
            assert (await _answer(first.reader))[0] == 200


async def test_connection_makes_room_at_once_when_its_answers_are_not_read() -> None:
    server = _server(_much, max_connections=1)
    async with _connection(server=server) as first:
        await first.arrives(_get() * 2)
        await until(lambda: first.server.flow.write_paused)
        async with _connection(server=server) as second, asyncio.timeout(10):
            await until(lambda: first.server not in server.state.connections)
            await second.arrives(_get())
            assert await second.reader.readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_slow_request_is_told_why_when_it_makes_room(sent: bytes) -> None:
    server = _server(_read, max_connections=1)
    async with _connection(server=server) as first, asyncio.timeout(10):
        await first.arrives(sent)
        await asyncio.sleep(0)
        async with _connection(server=server) as second:
            answer = await _answer(first.reader)
            await second.arrives(_post(b"two"))
            assert (await _answer(second.reader))[0] == 200

    assert (answer[0], _code(answer)) == (503, "too_many_connections")


async def test_newest_connection_is_refused_when_all_others_are_at_work() -> None:
    goes_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await _echo(scope, receive, send)

    server = _server(slow, max_connections=1)
    async with _connection(server=server) as first:
        await first.arrives(_post(b"one"))
        async with _connection(server=server) as second:
            status, headers, problem = await _answer(second.reader)
            goes_on.set()

        assert (await _answer(first.reader))[0] == 200
    assert (status, int(headers["retry-after"])) == (503, 3)
    assert isinstance(problem, dict)
    assert problem["code"] == "too_many_connections"


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_every_answer_is_private_and_names_no_server(sent: bytes) -> None:
    async with _connection() as connection:
        await connection.arrives(sent)
        _, headers, _ = await _answer(connection.reader)

    assert headers["cache-control"] == "private, no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


async def test_head_is_answered_like_get_without_a_body() -> None:
    async with _connection() as connection:
        await connection.arrives(b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await connection.reader.readuntil(b"\r\n\r\n")
        await connection.arrives(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, _ = await _answer(connection.reader)

    assert b"200 OK" in head
    assert f"content-length: {int(headers['content-length']) + 1}".encode() in head
    assert status == 200


async def test_victim_has_its_turn_before_the_rest_of_what_an_attacker_sent_at_once() -> None:
    served: list[str] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["path"])
        await _echo(scope, receive, send)

    server = _server(note)
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        opened = [await stack.enter_async_context(_connection(server=server)) for _ in range(41)]
        victim, *attackers = opened
        for number, attacker in enumerate(attackers):
            attacker.server.slot.holder = "attacker"
            attacker.server.data_received(f"GET /{number} HTTP/1.1\r\nHo".encode())
            attacker.server.data_received(b"st: x\r\n\r\n")
        victim.server.data_received(b"GET /victim HTTP/1.1\r\nHost: x\r\n\r\n")

        answers = [await _answer(one.reader) for one in opened]

        assert [answer[0] for answer in answers] == [200] * 41
        await attackers[-1].arrives(_get())
        assert (await _answer(attackers[-1].reader))[0] == 200, "it is read as before"
    in_order = [path for path in served if path != "/victim"]
    assert in_order[:40] == [f"/{number}" for number in range(40)]
    assert served.index("/victim") < 10


async def test_connection_that_waits_for_its_turn_is_not_blamed_for_silence() -> None:
    server = _server()
    async with AsyncExitStack() as stack, asyncio.timeout(10):
        opened = [await stack.enter_async_context(_connection(server=server)) for _ in range(9)]
        for one in opened:
            one.server.slot.holder = "attacker"
            one.server.data_received(_get())
        waiting = opened[-1]
        waiting.later(66)

        assert waiting.server.is_at_work
        assert (await _answer(waiting.reader))[0] == 200
