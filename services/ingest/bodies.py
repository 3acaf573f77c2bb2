"""From a request's body to the bytes of its events: media type, compression, limits, splitting.

What concerns the body as a whole is a Problem here; what concerns one event is left to the verdict
on it.
"""

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

# Text up to half of a surrogate pair that is escaped alone: JavaScript writes it for a cut emoji.
_TEXT_BEFORE_HALF = re.compile(
    rb"((?:[^\\]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F]).)*+)"
    rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)

_LINE = re.compile(rb"\S.*")

# An array of more bytes could have so many elements that to list them all takes too much memory.
_LISTED_BYTES = 256 * 1024

_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


RawEvent = bytes | msgspec.Raw


class MediaType(Enum):
    """How a body carries events."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"


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
    """The media type in a Content-Type header; parameters do not matter."""
    try:
        return MediaType(content_type.partition(";")[0].strip().lower())
    except ValueError:
        raise Problem(
            415,
            "unsupported_media_type",
            "Content-Type must be application/json or application/x-ndjson.",
        ) from None


@lru_cache(maxsize=64)
def compression_of(content_encoding: str) -> Compression:
    """The one compression in a Content-Encoding header; an empty header is none."""
    try:
        return Compression(content_encoding.strip().lower() or "identity")
    except ValueError:
        raise Problem(
            415,
            "unsupported_content_encoding",
            "Content-Encoding must be gzip, zstd or identity.",
            headers={"Accept-Encoding": "gzip, zstd, identity"},
        ) from None


def decompress(body: bytes, compression: Compression, max_bytes: int, received: Received) -> bytes:
    """The plain body, unpacked in steps and given up as soon as it is over the limit."""
    if compression is Compression.NONE:
        return body
    unpack = _gunzip if compression is Compression.GZIP else _unzstd
    plain = bytearray()
    try:
        for step in unpack(body):
            plain += step
            received.plain_bytes = len(plain)
            if len(plain) > max_bytes:
                raise body_too_large(max_bytes)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise Problem(
            400, "broken_compression", f"The body is not valid {compression.value}."
        ) from error
    return bytes(plain)


def _gunzip(body: bytes) -> Iterator[bytes]:
    for _ in range(_MAX_FRAMES):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            step = member.decompress(body, _STEP_BYTES)
            body = member.unconsumed_tail
            if not (step or body or member.eof):
                raise EOFError
            yield step
        body = member.unused_data
        if not body:
            return
    raise EOFError


def _unzstd(body: bytes) -> Iterator[bytes]:
    for _ in range(_MAX_FRAMES):
        frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        while not frame.eof:
            step = frame.decompress(body, _STEP_BYTES)
            body = b""
            if frame.needs_input and not (step or frame.eof):
                raise EOFError
            yield step
        body = frame.unused_data
        if not body:
            return
    raise EOFError


def split_events(body: bytes, media_type: MediaType, max_events: int) -> list[RawEvent]:
    """The bytes of each event. They need not be valid, or objects: each gets a verdict of its own.

    Raises Problem where the body as a whole is no JSON, holds nothing, or too much.
    """
    ndjson = media_type is MediaType.NDJSON
    events = _lines(body, max_events) if ndjson else _elements(body, max_events)
    if len(events) > max_events:
        raise Problem(413, "too_many_events", f"A request may bring at most {max_events} events.")
    if not events:
        raise Problem(400, "empty_body", "The body must bring at least one event.")
    return events


def _lines(body: bytes, max_events: int) -> list[RawEvent]:
    """What is not blank, up to one line more than is allowed."""
    return [line[0] for line in islice(_LINE.finditer(body), max_events + 1)]


def _elements(body: bytes, max_events: int) -> list[RawEvent]:
    start = body.lstrip()
    if not start:
        return []
    try:
        if start.startswith(b"["):
            return [*_array(body, max_events)]
        return [msgspec.json.decode(body, type=msgspec.Raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = explain_syntax(error)
        raise Problem(400, "invalid_json", f"The body is {detail}.") from error


def _array(body: bytes, max_events: int) -> Sequence[msgspec.Raw]:
    """The elements; what makes one of them unreadable, not the array, is left to its verdict."""
    decode = _decode_array if len(body) <= _LISTED_BYTES else partial(_decode_long, max_events)
    try:
        return decode(body)
    except msgspec.DecodeError:
        marked = _without_halves(body)
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


def _without_halves(body: bytes) -> bytes:
    """The body with a byte that is no UTF-8 in place of each half of a surrogate pair."""
    marked = bytearray()
    end = 0
    while text := _TEXT_BEFORE_HALF.match(body, end):
        marked += text[1] + b"\xff"
        end = text.end()
    return bytes(marked + body[end:])


def body_too_large(max_bytes: int) -> Problem:
    """The body is over the limit, as it came or after decompression."""
    return Problem(
        413,
        "body_too_large",
        f"A body may have at most {max_bytes} bytes, before and after decompression.",
    )
