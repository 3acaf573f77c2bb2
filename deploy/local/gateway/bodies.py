"""Request bodies: decompressed in bounded steps, every frame to its end; a cut one is an error."""

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import lz4.frame
from aiohttp import web

from deploy.local.gateway.errors import (
    LZ4_DECODER_FAILED,
    SOCKET_TIMEOUT,
    SYNTAX_ERROR,
    UNKNOWN_COMPRESSION_METHOD,
    ZLIB_INFLATE_FAILED,
    ZSTD_DECODER_FAILED,
    ServerError,
)
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.statements import insert_with_data

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 64 << 10
_STEP = 1 << 20
# An INSERT's SQL at the head of a body must end within so many bytes, a statement within so many.
_MAX_HEAD = 1 << 18
_MAX_SQL = 4 << 20


class _Frame(Protocol):
    """A compressed frame: `decompress` gives at most so many bytes, and more when asked again."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """zlib's decompressor with the manners of the others."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        plain = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(plain) < max_length
        return plain


_FRAMES: dict[str, Callable[[], _Frame]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
}
_FAILED = {"zstd": ZSTD_DECODER_FAILED, "lz4": LZ4_DECODER_FAILED}


class _Frames:
    """Compressed frames, one behind the other."""

    def __init__(self, make: Callable[[], _Frame]) -> None:
        self._make = make
        self._frame: _Frame | None = None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data or self._frame is not None:
            frame = self._frame = self._frame or self._make()
            yield frame.decompress(data, _STEP)
            data = b""
            if frame.eof:
                data, self._frame = frame.unused_data, None
            elif frame.needs_input:
                return

    def check_end(self) -> None:
        """Raises EOFError in the middle of a frame."""
        if self._frame is not None:
            raise EOFError("the data are cut")


async def decoded(request: web.Request, limits: Settings) -> AsyncIterator[bytes]:
    """The plain body in pieces. Raises ServerError when it is broken, cut or stalls."""
    timeout_s = limits.http_receive_timeout
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        async for chunk in _received(request, _STEP, timeout_s):
            yield chunk
        return
    if encoding not in _FRAMES:
        raise ServerError(UNKNOWN_COMPRESSION_METHOD, f"Unknown compression method {encoding}")
    frames = _Frames(_FRAMES[encoding])
    try:
        async for chunk in _received(request, _CHUNK, timeout_s):
            for piece in frames.unpack(chunk):
                yield piece
        frames.check_end()
    except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
        code = _FAILED.get(encoding, ZLIB_INFLATE_FAILED)
        raise ServerError(code, f"Cannot decompress the body: {error}") from None


async def _received(request: web.Request, size: int, timeout_s: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                chunk = await request.content.read(size)
        except TimeoutError:
            raise ServerError(SOCKET_TIMEOUT, "Timeout exceeded while reading") from None
        if not chunk:
            return
        yield chunk


async def read_head(body: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """As much of a body as holds the head of an INSERT, or of what else it is; and is that all."""
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) >= _MAX_HEAD or insert_with_data(bytes(read), is_whole=False):
            return bytes(read), False
    return bytes(read), True


async def read_sql(head: bytes, body: AsyncIterator[bytes]) -> bytes:
    """A statement whose end is the end of the body. Raises ServerError when it is too long."""
    read = bytearray(head)
    async for chunk in body:
        read += chunk
        if len(read) > _MAX_SQL:
            raise ServerError(SYNTAX_ERROR, f"Max query size of {_MAX_SQL} bytes exceeded")
    return bytes(read)
