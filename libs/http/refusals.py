"""What is answered in place of the app, when a request cannot be read or must not go on. Pure."""

from collections.abc import Iterable, Mapping

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from libs.http.heads import INVALID, TARGET_TOO_LONG, TOO_LARGE
from libs.http.problems import MEDIA_TYPE, Problem, body_of

# Requests that wait for the answer to one before them, in one connection.
MAX_WAITING = 8

TOO_MANY_WAIT = Problem(
    503,
    "too_many_waiting",
    f"At most {MAX_WAITING} requests may wait for their turn in one connection.",
    {"Retry-After": "1"},
)
TOO_MANY = Problem(
    503, "too_many_connections", "Too many are connected at the moment.", {"Retry-After": "3"}
)
TOO_SLOW = Problem(408, "request_timeout", "The request did not arrive in time.")
STOPPING = Problem(
    503, "unavailable", "The service was stopped meanwhile; try again.", {"Retry-After": "3"}
)
# What any request may be answered before its key, and often its path, is looked at.
EARLY = (INVALID, TOO_SLOW, TARGET_TOO_LONG, TOO_LARGE, TOO_MANY, TOO_MANY_WAIT)


def refusal_bytes(
    problem: Problem, request_id: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """A whole answer, after which the connection ends. `headers`: of every answer."""
    body = msgspec.json.encode(body_of(problem, request_id))
    own: Mapping[str, str] = {
        **problem.headers,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "connection": "close",
    }
    pairs = [*headers, *((name.encode(), value.encode()) for name, value in own.items())]
    lines = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
    return STATUS_LINE[problem.status] + lines + b"\r\n" + body
