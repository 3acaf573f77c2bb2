"""Answers with the headers and the endings of a ClickHouse server.

An answer goes in pieces. Where a statement fails after the first of them, the status was said
already: the server writes the error behind the data, between markers with a tag that the headers
told, and breaks the connection off (`WriteBufferFromHTTPServerResponse::cancelWithException`).
"""

import asyncio
import json
import secrets
import string
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Protocol

import lz4.frame
from aiohttp import web

from deploy.local.gateway.errors import ServerError, status_of
from deploy.local.gateway.settings import Settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_TAG_LETTERS = 16
_PIECE_BYTES = 1 << 20
_MARKER = b"__exception__"
_CONTENT_TYPES = {
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
}
_EXPOSED = ",".join(
    f"X-ClickHouse-{name}"
    for name in ("Query-Id", "Summary", "Server-Display-Name", "Format", "Timezone",
                 "Exception-Code", "Exception-Tag")
)  # fmt: skip


class _Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Lz4(lz4.frame.LZ4FrameCompressor):  # type: ignore[misc] # it brings no types
    """lz4's compressor with the manners of the others: it wants to be told to begin."""

    def compress(self, data: bytes) -> bytes:
        head: bytes = b"" if self.started() else self.begin()
        return head + bytes(super().compress(data))

    def flush(self) -> bytes:
        head: bytes = b"" if self.started() else self.begin()
        return head + bytes(super().flush())


# From most to least preferred, as the server chooses.
_COMPRESSORS: dict[str, Callable[[], _Compressor]] = {
    "zstd": lambda: zstd.ZstdCompressor(3),
    "lz4": _Lz4,
    "gzip": lambda: zlib.compressobj(3, zlib.DEFLATED, 31),
    "deflate": lambda: zlib.compressobj(3),
}


def headers_of(query_id: str, fmt: str, counts: Mapping[str, int]) -> dict[str, str]:
    """The headers of an answer to a statement that went well so far. `fmt`: none without rows."""
    summary = json.dumps({name: str(count) for name, count in counts.items()})
    headers = {
        "Content-Type": _CONTENT_TYPES.get(fmt, "application/octet-stream"),
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": summary,
        "X-ClickHouse-Exception-Tag": "".join(
            secrets.choice(string.ascii_lowercase) for _ in range(_TAG_LETTERS)
        ),
    }
    return headers | ({"X-ClickHouse-Format": fmt} if fmt else {})


def common_headers(limits: Settings) -> dict[str, str]:
    """What every answer carries, errors too."""
    keep_alive = f"timeout={limits.keep_alive_timeout:g}, max={limits.max_keep_alive_requests}"
    return {
        "Access-Control-Expose-Headers": _EXPOSED,
        "X-ClickHouse-Server-Display-Name": "gateway",
        "Keep-Alive": keep_alive,
    }


def error_response(error: ServerError) -> web.Response:
    """An error before anything else was said."""
    return web.Response(
        body=f"{error}\n".encode(errors="replace"),
        status=status_of(error.code),
        headers={
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Exception-Code": str(error.code),
        },
    )


async def send(
    request: web.Request,
    headers: Mapping[str, str],
    pieces: AsyncIterator[bytes],
    limits: Settings,
    *,
    may_compress: bool,
) -> web.StreamResponse:
    """Send an answer to its end, or break it off: where the statement fails, and where nobody
    takes anything for as long as the server waits."""
    response = web.StreamResponse(headers=headers)
    method = _method(request) if may_compress else ""
    compressor = _COMPRESSORS[method]() if method else None
    if method:
        response.headers["Content-Encoding"] = method
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for piece in pieces:
            await _write(response, compressor.compress(piece) if compressor else piece, limits)
        if compressor:
            await _write(response, compressor.flush(), limits)
        await response.write_eof()
    except ServerError as error:
        text = _ending(str(error).encode(errors="replace"), headers["X-ClickHouse-Exception-Tag"])
        if compressor:
            text = compressor.compress(text) + compressor.flush()
        with suppress(TimeoutError, ConnectionError):
            await _write(response, text, limits)
        _break_off(request)
    except TimeoutError:
        _break_off(request)
    return response


def _ending(text: bytes, tag: str) -> bytes:
    size, mark = str(len(text)).encode(), tag.encode()
    return b"\r\n".join((b"", _MARKER, mark, text + b"\n" + size + b" " + mark, _MARKER, b""))


async def _write(response: web.StreamResponse, data: bytes, limits: Settings) -> None:
    for start in range(0, len(data), _PIECE_BYTES):
        async with asyncio.timeout(limits.http_send_timeout):
            await response.write(data[start : start + _PIECE_BYTES])


def _break_off(request: web.Request) -> None:
    # Without the last chunk: the client must not take it for a whole answer.
    if request.transport is not None:
        request.transport.close()


def _method(request: web.Request) -> str:
    offered = request.headers.get("Accept-Encoding", "").lower()
    return next((name for name in _COMPRESSORS if name in offered), "")
