"""What a connection makes of the bytes that come in; the app answers with what it got."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from libs.http.server import configuration
from libs.settings import HttpSettings

_OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    body = (await request.body()).decode()
    shown = [f"{request.method} {request.url.path}", body, request.headers.getlist("x-note")]
    await JSONResponse(shown)(scope, receive, send)


@asynccontextmanager
async def _connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = configuration(_echo, HttpSettings(port=8099))
    config.load()
    state = ServerState()
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    server, _ = await loop.connect_accepted_socket(
        lambda: config.http_protocol_class(config, state, {}),  # type: ignore[call-arg]
        ours,
    )
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        await asyncio.gather(*state.tasks)


async def _answers(*parts: bytes, count: int = 1) -> list[tuple[int, str, object]]:
    """The status, the media type and the body of each answer to these bytes."""
    async with _connection() as (reader, writer), asyncio.timeout(10):
        sending = asyncio.create_task(_send(writer, parts))
        answers = [await _answer(reader) for _ in range(count)]
        await sending
        return answers


async def _send(writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
    with suppress(ConnectionError):  # who is refused need not be heard to the end
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, object]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers["content-type"], json.loads(body)


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

    answers = await _answers(get * 1_500, count=1_500)

    assert answers == [(200, "application/json", ["GET /a", "", []])] * 1_500


async def test_trailer_is_no_header_when_it_has_the_name_of_one() -> None:
    sent = (
        b"POST /a HTTP/1.1\r\nHost: x\r\nX-Note: header\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Note: trailer\r\n\r\n"
    )

    assert await _answers(sent) == [(200, "application/json", ["POST /a", "hello", ["header"]])]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"FOO / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + _OFFER + b"Transfer-Encoding: chunked\r\n\r\nz",
    ],
)
async def test_bytes_are_refused_by_a_problem_when_they_are_no_request(sent: bytes) -> None:
    [(status, media_type, problem)] = await _answers(sent)

    assert (status, media_type) == (400, "application/problem+json")
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid_http",
        "detail": "The request is not valid HTTP/1.1.",
    }


@pytest.mark.parametrize(
    "sent", [b"GET /" + b"a" * 600_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000]
)
async def test_request_is_refused_when_its_headers_do_not_end(sent: bytes) -> None:
    [(status, media_type, problem)] = await _answers(sent)

    assert (status, media_type) == (431, "application/problem+json")
    assert isinstance(problem, dict)
    assert problem["code"] == "headers_too_large"


async def test_next_request_is_read_when_it_begins_in_the_middle_of_a_body() -> None:
    body = b"a" * 500_000
    sent = _post(body) * 3

    answers = await _answers(
        *(sent[n : n + 200_000] for n in range(0, len(sent), 200_000)), count=3
    )

    assert [status for status, _, _ in answers] == [200] * 3
