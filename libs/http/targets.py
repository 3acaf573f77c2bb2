"""Targets with bytes beyond ASCII, as sloppy callers write them (`?category=usagé`). Pure.

The parser refuses them before anybody knows whose request it is. Those of a project's path are
percent-encoded and refused behind admission: so the refusal counts against the key that was shown,
and tells its limit like every other answer.
"""

import re
from urllib.parse import quote_from_bytes

from libs.http.heads import MAX_TARGET_BYTES
from libs.http.problems import Problem

RAW_TARGET = Problem(
    400, "invalid_http", "Bytes beyond ASCII in a URL must be percent-encoded, as UTF-8."
)

_OF_A_PROJECT = re.compile(
    rb"\A([A-Z]{1,16} )(/api/v\d+/projects/[^\x00-\x20\x7f]{0,%d})(?= HTTP/1\.)" % MAX_TARGET_BYTES
)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def with_encoded_target(read: bytes) -> bytes | None:
    """The same read, in whose first line the target of a project has no byte beyond ASCII.

    None where this is not the line of such a request, or has no such byte.
    """
    line = _OF_A_PROJECT.match(read)
    if line is None or line[2].isascii():
        return None
    return line[1] + quote_from_bytes(line[2], _ASCII).encode() + read[line.end() :]
