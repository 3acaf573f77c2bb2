"""The id of a request: it stands in the answer's header, in a problem's body, and in the log."""

import re
from collections.abc import Sequence
from random import Random

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
# They are names, no secrets: to ask the system for each took a fiftieth of a small request.
_random = Random()  # noqa: S311


def new_request_id() -> str:
    """An id that nobody else has."""
    return f"{_random.getrandbits(128):032x}"


def request_id_of(given: Sequence[str]) -> str:
    """The caller's request id when it is one that is safe to repeat, else a new one."""
    if given and _SAFE.match(given[0]):
        return given[0]
    return new_request_id()
