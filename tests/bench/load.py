"""`python -m tests.bench.load`: send events, as fast as they are taken or at a rate; say what came.

No event is sent twice: all ids are new, those of sessions and conversations too. It costs little
beside what it loads: requests are encoded before the first is sent, each in pieces around the part
of its ids that differs from one time to the next, and answers are looked at no closer than need be.

The API keys come in the environment, one for each URL: no list of processes shows them.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, pairwise
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import msgspec
import uvloop

from tests.bench.events import SEED, Event, Sessions, as_row
from tests.bench.measure import percentile
from tests.e2e.processes import CHECKOUT

_KEYS = "BENCH_KEYS"
_MARK = "@" * 12
_PREPARED_EVENTS = 20_000
_RETRY_S = 0.1
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What to send: each client sends its next request when its last one is answered.

    `urls`: of projects' events, which the clients share out. Ends after so many seconds or events.
    `rate`: events a second, of all clients together; None: as fast as they are taken. `as_rows`:
    the events are named as the topic's lines are, for a receiver that does not translate.
    """

    urls: Sequence[str]
    keys: Sequence[str]
    a_request: int
    clients: int
    seconds: float | None = None
    events: int | None = None
    rate: float | None = None
    as_rows: bool = False


@dataclass(frozen=True)
class Report:
    """What was answered. `again`: requests that were sent once more, after an answer of 5xx.

    Latency: milliseconds from when a request was due to its 202. `cpu_s`: of the sender itself.
    """

    requests: int
    accepted: int
    again: int
    seconds: float
    cpu_s: float
    latency_ms: dict[str, float]


def send(load: Load) -> Report:
    """Send it from a process of its own."""
    options = {"a-request": load.a_request, "clients": load.clients, "seconds": load.seconds}
    options |= {"events": load.events, "rate": load.rate}
    command = [sys.executable, "-m", "tests.bench.load", *load.urls]
    command += [f"--{name}={value}" for name, value in options.items() if value is not None]
    command += ["--as-rows"] if load.as_rows else []
    environment = os.environ | {_KEYS: ",".join(load.keys)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return Report(**json.loads(done.stdout))


def requests_of(
    url: SplitResult, key: str, a_request: int, seed: int, *, as_rows: bool
) -> Iterator[bytes]:
    """Endless requests for one project: the same few again and again, under new ids each time."""
    events = [_marked(event) for event in Sessions(seed).events(max(_PREPARED_EVENTS, a_request))]
    if as_rows:
        events = [as_row(f"project-{seed}", event) for event in events]
    bounds = pairwise(range(0, len(events) + 1, a_request))
    return _renewed([_request(url, key, events[start:end]) for start, end in bounds])


def _renewed(requests: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
    run = secrets.token_hex(3)
    for times in count():
        mark = f"{run}{times:06x}".encode()
        for pieces in requests:
            yield mark.join(pieces)


def _marked(event: Event) -> Event:
    """The event with a mark in each of its ids, where a part of the same length will stand."""
    marked = event | {"id": f"{_MARK}-{event['id'][len(_MARK) + 1 :]}"}
    for name in ("sessionId", "conversationId"):
        if name in event:
            marked[name] = f"{event[name]}-{_MARK}"
    return marked


def _request(url: SplitResult, key: str, events: Sequence[Event]) -> list[bytes]:
    body = json.dumps(events if len(events) > 1 else events[0], separators=(",", ":"))
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode().split(_MARK.encode())


class Run:
    """What all clients share: when the next request is due, and what was answered."""

    def __init__(self, load: Load) -> None:
        self.latencies_s = array("d")
        self.accepted = self.again = 0
        self._started = time.monotonic()
        seconds = float("inf") if load.seconds is None else load.seconds
        self._ends = self._started + seconds
        self._events_left = float("inf") if load.events is None else load.events
        self._a_request = load.a_request
        self._interval_s = 0 if load.rate is None else load.a_request / load.rate
        self._taken = 0

    def next_due(self) -> float | None:
        """When the next request is to be sent, which may have passed; None when all are."""
        now = time.monotonic()
        due = self._started + self._taken * self._interval_s if self._interval_s else now
        if max(due, now) >= self._ends or self._events_left <= 0:
            return None
        self._taken += 1
        self._events_left -= self._a_request
        return due


class Verdicts(msgspec.Struct):
    """What is read of an answer."""

    accepted: int


_verdicts = msgspec.json.Decoder(Verdicts).decode


class Client(asyncio.Protocol):
    """A connection with one request under way."""

    def __init__(self, run: Run, requests: Iterator[bytes]) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._run = run
        self._requests = requests
        self._received = b""
        self._request = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._go_on()

    def _go_on(self) -> None:
        due = self._run.next_due()
        if due is None:
            self.finished.set_result(None)
            self._transport.close()
            return
        self._due, self._request = due, next(self._requests)
        wait_s = due - time.monotonic()
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """When the answer is complete, count it and send the next request."""
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is not None and len(body) == int(length[1]):
            self._received = b""
            self._note(int(head[9:12]), body)

    def _note(self, status: int, body: bytes) -> None:
        if status >= 500:
            self._run.again += 1
            asyncio.get_running_loop().call_later(_RETRY_S, self._send)
        elif status == 202:
            self._run.latencies_s.append(time.monotonic() - self._due)
            self._run.accepted += _verdicts(body).accepted
            self._go_on()
        else:
            self._transport.close()
            self.finished.set_exception(RuntimeError(f"{status}: {body[:500]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it: it must not as long as there are requests."""
        if not self.finished.done():
            self.finished.set_exception(exc or ConnectionError("the server closed the connection"))


async def run(load: Load) -> Report:
    """Send it from this process."""
    asyncio.get_running_loop().set_exception_handler(_exit)
    urls = [urlsplit(url) for url in load.urls]
    sources = [
        requests_of(url, key, load.a_request, SEED + number, as_rows=load.as_rows)
        for number, (url, key) in enumerate(zip(urls, load.keys, strict=True))
    ]
    shared = Run(load)
    started, cpu_s = time.monotonic(), time.process_time()
    ways = list(zip(urls, sources, strict=True))
    clients = [_connect(*ways[number % len(ways)], shared) for number in range(load.clients)]
    await asyncio.gather(*clients)
    seconds = time.monotonic() - started
    return Report(
        requests=len(shared.latencies_s),
        accepted=shared.accepted,
        again=shared.again,
        seconds=seconds,
        cpu_s=time.process_time() - cpu_s,
        latency_ms=_latency_ms(shared.latencies_s),
    )


def _exit(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A callback that fails leaves its client waiting for ever.
    loop.default_exception_handler(context)
    os._exit(1)


async def _connect(url: SplitResult, requests: Iterator[bytes], shared: Run) -> None:
    loop = asyncio.get_running_loop()
    host, port = url.hostname or "127.0.0.1", url.port or 80
    _, client = await loop.create_connection(lambda: Client(shared, requests), host, port)
    await client.finished


def _latency_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: percentile(latencies_s, share) * 1000 for name, share in shares.items()}


def main() -> None:
    """Send, and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("urls", nargs="+", metavar="URL", help="of a project's events")
    parser.add_argument("--a-request", type=int, default=500, help="events a request")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, help="send for so long")
    parser.add_argument("--events", type=int, help="send so many")
    parser.add_argument("--as-rows", action="store_true", help="name fields as the topic does")
    parser.add_argument("--rate", type=float, help="events a second; else as fast as possible")
    keys = os.environ.get(_KEYS, "").split(",")
    load = Load(keys=keys, **vars(parser.parse_args()))
    report = uvloop.run(run(load))
    sys.stdout.write(f"{json.dumps(asdict(report))}\n")


if __name__ == "__main__":
    main()
