"""What a head must be beside what the parser asks for. Pure.

The parser forgives what a proxy in front may read otherwise: whose request it is and where its body
ends must be beyond doubt.
"""

import re
from collections.abc import Iterable

from libs.http.problems import Problem

INVALID = Problem(400, "invalid_http", "The request is not valid HTTP/1.1.")
_NO_HOST = Problem(400, "invalid_http", "HTTP/1.1 asks for one header Host, a name or address.")
_OTHER_CODING = Problem(400, "invalid_http", "Transfer-Encoding must be chunked, or absent.")

_HOST = re.compile(rb"[\w.:\[\]%~!$&'()*+,;=-]*\Z")


def fault_of_head(version: str, headers: Iterable[tuple[bytes, bytes]]) -> Problem | None:
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
