"""`python -m tests.bench.ask URL`: ask the same again and again, as many readers do; say how long.

Each reader has a connection of its own and asks anew when it is answered. It costs little beside
what it measures: an answer's bytes are counted, and not looked at. The API key comes in the
environment: no list of processes shows it.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, urlsplit

import uvloop

from tests.bench.measure import percentile
from tests.e2e.processes import CHECKOUT

KEY = "BENCH_KEY"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
# What a process and its connections do for the first time is not what is measured.
_WARM_UP_S = 0.5


@dataclass(frozen=True)
class Times:
    """How long answers took, in milliseconds."""

    answers: int
    p50_ms: float
    p99_ms: float


def times_of(command: Sequence[str], environment: dict[str, str], timeout_s: float) -> Times:
    """What a process that asks has found out."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=CHECKOUT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        timeout=timeout_s,
        check=True,
    )
    answered_ms = json.loads(done.stdout)
    return Times(len(answered_ms), percentile(answered_ms, 0.5), percentile(answered_ms, 0.99))


class Pace:
    """Until when readers ask, and how long each answer after the first moments took."""

    def __init__(self, seconds: float) -> None:
        self.answered_ms: list[float] = []
        self._counts_from = time.monotonic() + _WARM_UP_S
        self._ends = self._counts_from + seconds

    def note(self, asked: float) -> bool:
        """An answer has come to what was asked then; whether to ask again."""
        now = time.monotonic()
        if asked >= self._counts_from:
            self.answered_ms.append(round((now - asked) * 1000, 3))
        return now < self._ends


class Reader(asyncio.Protocol):
    """A connection with one request under way."""

    def __init__(self, request: bytes, pace: Pace) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._pace = pace
        self._head = b""
        self._missing: int | None = None
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._ask()

    def _ask(self) -> None:
        self._head, self._missing = b"", None
        self._asked = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """When the answer is complete, ask again."""
        if self._missing is None:
            self._head += data
            self._missing = _missing(self._head)
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._end()

    def _end(self) -> None:
        if not self._head.startswith(b"HTTP/1.1 200 "):
            self._transport.close()
            self.finished.set_exception(RuntimeError(repr(self._head[:500])))
        elif self._pace.note(self._asked):
            self._ask()
        else:
            self._transport.close()
            self.finished.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it: it must not as long as there are requests."""
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("the server closed the connection"))


def _missing(received: bytes) -> int | None:
    """How many bytes are still to come; None as long as the head has not ended."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return None
    length = _LENGTH.search(head)
    assert length is not None, head
    return int(length[1]) - len(body)


async def ask(url: SplitResult, key: str, readers: int, seconds: float) -> list[float]:
    """Milliseconds of each answer."""
    target = f"{url.path}?{url.query}" if url.query else url.path
    head = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    pace = Pace(seconds)
    loop = asyncio.get_running_loop()
    address = url.hostname or "127.0.0.1", url.port or 80

    async def read() -> None:
        _, reader = await loop.create_connection(lambda: Reader(head.encode(), pace), *address)
        await reader.finished

    await asyncio.gather(*(read() for _ in range(readers)))
    return pace.answered_ms


def main() -> None:
    """Ask, and print the milliseconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="of the analytics, with parameters")
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    url = urlsplit(arguments.url)
    work = ask(url, os.environ[KEY], arguments.readers, arguments.seconds)
    sys.stdout.write(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
