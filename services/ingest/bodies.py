"""From a request's body to the bytes of its events: media type, compression, limits, splitting.

What concerns the body as a whole is a Problem here; what concerns one event is left to the verdict
on it. Work that grows with the body lets others at the event loop every few milliseconds.
"""

import asyncio
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from itertools import islice

import msgspec

from libs.http.problems import Problem
from services.ingest.verdicts import explain_syntax

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_STEP_BYTES = 256 * 1024

# Frames in one body: each repeats a copy of the rest, so their number is bounded.
_MAX_FRAMES = 100

# RFC 8878 asks for 8 MiB of every reader, and a larger window costs its size in memory.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}

# Text, and half of a surrogate pair that is escaped alone, with what follows it in its string:
# JavaScript writes that for a cut emoji. Bounded, so that no single search takes long.
_TEXT_AND_HALF = re.compile(
    rb"((?:[^\\]++|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F]).){0,1024}+)"
    rb"(\\u[dD][89a-fA-F][0-9a-fA-F]{2}(?:[^\"\\]++|\\.){0,1024}+)?+",
    re.DOTALL,
)
_BYTES_IN_A_TURN = 64 * 1024

# The blanks before a line as well: to try each as its beginning takes five times as long.
_LINE = re.compile(rb"\s*+(\S.*|\Z)")

# An array of more bytes could have so many elements that to list them all takes too much memory.
_LISTED_BYTES = 256 * 1024

_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


RawEvent = bytes | msgspec.Raw

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_JSON = re.compile(r"application/[a-z0-9!#$&^_.*-]+\+json")


class MediaType(Enum):
    """How a body carries events."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"


_NAMES_OF_NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}


class Compression(Enum):
    """What a body is packed with."""

    NONE = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(slots=True)
class Received:
    """The bytes of a body as far as they came, and as far as they were unpacked."""

    packed_bytes: int = 0
    plain_bytes: int = 0

    @property
    def kib(self) -> int:
        """Begun KiB of whichever is more, one at least."""
        return -(-max(1, self.packed_bytes, self.plain_bytes) // 1024)


@lru_cache(maxsize=64)
def media_type_of(content_type: str) -> MediaType:
    """How the media type in a Content-Type header carries events; parameters do not matter."""
    name = content_type.partition(";")[0].strip().lower()
    if name == "application/json" or _OTHER_JSON.fullmatch(name):
        return MediaType.JSON
    if name in _NAMES_OF_NDJSON:
        return MediaType.NDJSON
    raise Problem(
        415,
        "unsupported_media_type",
        "Content-Type must be application/json or application/x-ndjson.",
    )


@lru_cache(maxsize=64)
def compression_of(content_encoding: str) -> Compression:
    """The one compression in a Content-Encoding header; an empty header is none."""
    name = content_encoding.strip().lower() or "identity"
    try:
        return Compression("gzip" if name == "x-gzip" else name)
    except ValueError:
        raise Problem(
            415,
            "unsupported_content_encoding",
            "Content-Encoding must be gzip, zstd or identity.",
            headers={"Accept-Encoding": "gzip, zstd, identity"},
        ) from None


async def decompress(
    body: bytes, compression: Compression, max_bytes: int, received: Received
) -> bytes:
    """The plain body, unpacked in steps and given up as soon as it is over the limit."""
    if compression is Compression.NONE:
        return body
    unpack = _gunzip if compression is Compression.GZIP else _unzstd
    plain = bytearray()
    paused_at = 0
    try:
        for step in unpack(memoryview(body)):
            plain += step
            received.plain_bytes = len(plain)
            if len(plain) > max_bytes:
                raise body_too_large(max_bytes)
            if len(plain) - paused_at >= _STEP_BYTES:
                paused_at = len(plain)
                await asyncio.sleep(0)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise Problem(
            400, "broken_compression", f"The body is not valid {compression.value}."
        ) from error
    return bytes(plain)


def _gunzip(body: memoryview) -> Iterator[bytes]:
    """Given in pieces, as what a member leaves over is copied."""
    at = 0
    for _ in range(_MAX_FRAMES):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = body[at : at + _STEP_BYTES]
            step = member.decompress(piece, _STEP_BYTES)
            taken = len(piece) - len(member.unconsumed_tail) - len(member.unused_data)
            if not (step or taken or member.eof):
                raise EOFError
            at += taken
            yield step
        if at == len(body):
            return
    raise EOFError


def _unzstd(body: memoryview) -> Iterator[bytes]:
    at = 0
    for _ in range(_MAX_FRAMES):
        frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        while not frame.eof:
            piece = body[at : at + _STEP_BYTES] if frame.needs_input else b""
            step = frame.decompress(piece, _STEP_BYTES)
            at += len(piece)
            if frame.needs_input and not (piece or step or frame.eof):
                raise EOFError
            yield step
        at -= len(frame.unused_data)
        if at == len(body):
            return
    raise EOFError


async def split_events(body: bytes, media_type: MediaType, max_events: int) -> list[RawEvent]:
    """The bytes of each event. They need not be valid, or objects: each gets a verdict of its own.

    Raises Problem where the body as a whole is no JSON, holds nothing, or too much.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    ndjson = media_type is MediaType.NDJSON
    events = _lines(body, max_events) if ndjson else await _elements(body, max_events)
    if len(events) > max_events:
        raise Problem(413, "too_many_events", f"A request may bring at most {max_events} events.")
    if not events:
        raise Problem(400, "empty_body", "The body must bring at least one event.")
    return events


def _lines(body: bytes, max_events: int) -> list[RawEvent]:
    """What is not blank, up to one line more than is allowed."""
    lines = filter(None, (found[1] for found in _LINE.finditer(body)))
    return [*islice(lines, max_events + 1)]


async def _elements(body: bytes, max_events: int) -> list[RawEvent]:
    start = body.lstrip()
    if not start:
        return []
    try:
        if start.startswith(b"["):
            return [*await _array(body, max_events)]
        return [msgspec.json.decode(body, type=msgspec.Raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = explain_syntax(error)
        raise Problem(400, "invalid_json", f"The body is {detail}.") from error


async def _array(body: bytes, max_events: int) -> Sequence[msgspec.Raw]:
    """The elements; what makes one of them unreadable, not the array, is left to its verdict."""
    decode = _decode_array if len(body) <= _LISTED_BYTES else partial(_decode_long, max_events)
    try:
        return decode(body)
    except msgspec.DecodeError:
        marked = await _without_halves(body)
        if marked == body:
            raise
    return decode(marked)


def _decode_long(max_events: int, body: bytes) -> Sequence[msgspec.Raw]:
    """The elements up to one more than are allowed: the others are passed over, not listed."""
    elements = msgspec.json.decode(body, type=_first_elements(max_events + 1))
    return [element for element in msgspec.structs.astuple(elements) if element is not None]


@lru_cache(maxsize=1)
def _first_elements(number: int) -> type[msgspec.Struct]:
    """An array as a struct with a field an element: msgspec skips what it has no field for.

    A list with a maximal length would be refused as well, but only after all of it was made.
    """
    fields = [(f"element_{index}", msgspec.Raw, None) for index in range(number)]
    return msgspec.defstruct("FirstElements", fields, array_like=True, gc=False)


async def _without_halves(body: bytes) -> bytes:
    """The body with a byte that is no UTF-8 in each string that holds half of a surrogate pair."""
    marked = bytearray()
    end = paused_at = 0
    while (found := _TEXT_AND_HALF.match(body, end)) and found.end() > end:
        marked += found[1]
        if found[2]:
            marked += b"\xff"
        end = found.end()
        if end - paused_at >= _BYTES_IN_A_TURN:
            paused_at = end
            await asyncio.sleep(0)
    return bytes(marked + body[end:])


def body_too_large(max_bytes: int) -> Problem:
    """The body is over the limit, as it came or after decompression."""
    return Problem(
        413,
        "body_too_large",
        f"A body may have at most {max_bytes} bytes, before and after decompression.",
    )
