"""What a program is told to send, and what it tells of the answer: a line of JSON each."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_PART_BYTES = 64 * 1024


@dataclass(frozen=True)
class Command:
    """A request. Of `event`, `text` and `blanks` at most one is given.

    `query`: parameters, which the client writes into the URL. `event`: sent as JSON, by what the
    client has for that. `text`: sent as it is. `blanks`: so many bytes are sent. `gzip`: the client
    packs. `chunked`: it sends what it knows no length of. `expect`: it asks before it sends.
    """

    method: str
    url: str
    headers: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    event: dict[str, Any] | None = None
    text: str = ""
    blanks: int = 0
    gzip: bool = False
    chunked: bool = False
    expect: bool = False

    @property
    def body(self) -> bytes:
        return self.text.encode() or b" " * self.blanks

    def parts(self) -> Iterator[bytes]:
        """The body, as somebody sends it who does not have all of it yet."""
        body = self.body
        for start in range(0, len(body), _PART_BYTES):
            yield body[start : start + _PART_BYTES]

    def headers_by_hand(self) -> dict[str, str]:
        """Those that a client needs which neither packs nor asks by itself."""
        packed = {"Content-Encoding": "gzip"} if self.gzip else {}
        return self.headers | packed | ({"Expect": "100-continue"} if self.expect else {})

    def body_by_hand(self) -> bytes | Iterator[bytes] | None:
        """What such a client is given to send, where that is no event."""
        if self.gzip:
            return gzip.compress(self.body)
        return self.parts() if self.chunked else self.body or None


@dataclass(frozen=True)
class Answer:
    """What came, with headers in lower case, and the body as the client unpacks and reads it."""

    status: int
    headers: dict[str, str]
    body: Any

    def __post_init__(self) -> None:
        lower = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lower)


def obey(send: Callable[[Command], Answer]) -> None:
    """Send what each line says until there are no more. What goes wrong is told as well."""
    for line in sys.stdin:
        try:
            told = vars(send(Command(**json.loads(line))))
        except Exception as error:  # noqa: BLE001 - whatever the client raises is its answer
            told = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()
