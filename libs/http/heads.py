"""What a head must be beside what the parser asks for. Pure.

The parser forgives what a proxy in front may read otherwise: whose request it is and where its body
ends must be beyond doubt. And it takes any number of lines, each of which costs more memory than it
has bytes.
"""

import re
from collections.abc import Iterable

from libs.http.problems import Problem

# Of a request, those after its body included.
MAX_HEADER_LINES = 100
MAX_TARGET_BYTES = 8 * 1024
# Of a head, or of what follows the last byte of a body, beside the read that it begins in, which is
# at most 256 KiB. The parser holds a header, also one in a trailer, until it ends.
MAX_HEAD_BYTES = 64 * 1024

# What a request that waits takes beside its bytes, and each line of it: objects of Python.
REQUEST_BYTES = 3 * 1024
LINE_BYTES = 160

INVALID = Problem(400, "invalid_http", "The request is not valid HTTP/1.1.")
# To the caller the same; the parser may be given it again (see targets.py).
INVALID_TARGET = Problem(INVALID.status, INVALID.code, INVALID.detail)
TARGET_TOO_LONG = Problem(
    414, "target_too_long", f"A request's target may have {MAX_TARGET_BYTES} bytes."
)
TOO_LARGE = Problem(
    431,
    "headers_too_large",
    f"A request may have {MAX_HEADER_LINES} header lines, of {MAX_HEAD_BYTES} bytes together.",
)
_NO_HOST = Problem(400, "invalid_http", "HTTP/1.1 asks for one header Host, a name or address.")
_OTHER_CODING = Problem(400, "invalid_http", "Transfer-Encoding must be chunked, or absent.")

_HOST = re.compile(rb"[\w.:\[\]%~!$&'()*+,;=-]*\Z")
# Protocols that the parser takes too, and calls HTTP: it does not tell which it was.
_OTHER_PROTOCOL = re.compile(rb"(?:\A|\n)[A-Z_-]+ \S+ +(?:RTSP|ICE)/")
# The request's line may come in pieces: so much of it is looked at again.
LINE_BEGUN_BYTES = MAX_TARGET_BYTES + 64


def validate_head(version: str, headers: Iterable[tuple[bytes, bytes]]) -> Problem | None:
    """What is wrong with a head of this version of HTTP; the names are in lower case."""
    if version not in {"1.0", "1.1"}:
        return INVALID
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1 if _HOST.match(value) else 2
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            return _OTHER_CODING
    is_clear = hosts == 1 or (hosts == 0 and version == "1.0")
    return None if is_clear else _NO_HOST


def has_other_protocol(read: bytes) -> bool:
    """Whether a request's line in these bytes, in which a head begins or goes on, is no HTTP."""
    if b"RTSP/" in read or b"ICE/" in read:
        return _OTHER_PROTOCOL.search(read) is not None
    return False
