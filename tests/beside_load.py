"""`pytest --beside-load`: another project's events come to the shared stack while the tests run.

Half of them are repeats. What a test asserts must not change by it: it reads nothing that a
neighbour moves, too. At the end each event that was accepted must have been counted once.

`python -m tests.beside_load URL --rate 100` is the process that sends until it gets SIGTERM. Its
API key comes in the environment: no list of processes shows it.
"""

import argparse
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.processes import CHECKOUT
from tests.e2e.stack import Stack

DEFAULT_RATE = 100.0
_KEY = "BESIDE_LOAD_KEY"
_A_REQUEST = 25
_A_CONVERSATION = 10
_RETRY_S = 0.2
_COUNTED_WITHIN_S = 120.0
_ENDS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Sent:
    """What the load has sent: different events, each answered 202, and how many of them again."""

    events: int
    repeated: int


@contextmanager
def beside_load(stack: Stack, rate: float) -> Iterator[list[Sent]]:
    """Send while the block runs; what was sent is in the list afterwards, and has been counted."""
    (project,) = stack.new_projects(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.beside_load", stack.events_url(project.id), f"--rate={rate}"],
        cwd=CHECKOUT,
        env=os.environ | {_KEY: project.live_key},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    told: list[Sent] = []
    try:
        yield told
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=_ENDS_WITHIN_S)
    assert process.returncode in (0, -signal.SIGTERM), "the load beside the tests failed"
    # One that was ended before it had begun says nothing.
    told.append(Sent(**json.loads(said)) if said else Sent(0, 0))
    stack.wait_until_counted(_COUNTED_WITHIN_S)
    assert stack.rows_of(project) == told[0].events, told


class Sender:
    """Sends a batch of new events and the one before it once more, in turn, at a rate."""

    def __init__(self, url: str, key: str, rate: float) -> None:
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._interval_s = _A_REQUEST / rate
        self._run = secrets.token_hex(4)
        self._connection: http.client.HTTPConnection | None = None
        self._ends = False
        self.events = self.repeated = 0

    def end(self) -> None:
        """Send nothing new; what is under way is still brought to its end."""
        self._ends = True

    def run(self) -> Sent:
        """Send until it is to end."""
        due, batch = time.monotonic(), b""
        while not self._ends:
            if batch:
                self._send(batch)
                self.repeated += _A_REQUEST
            batch = self._new_batch()
            self._send(batch)
            self.events += _A_REQUEST
            due = max(due + 2 * self._interval_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        return Sent(self.events, self.repeated)

    def _new_batch(self) -> bytes:
        numbers = range(self.events, self.events + _A_REQUEST)
        return json.dumps([self._event(number) for number in numbers]).encode()

    def _event(self, number: int) -> dict[str, Any]:
        talk = f"{self._run}-{number // _A_CONVERSATION}"
        return {
            "id": f"{self._run}-{number}",
            "type": "chat.message",
            "role": ("user", "assistant")[number % 2],
            "sessionId": talk,
            "conversationId": talk,
        }

    def _send(self, body: bytes) -> None:
        """Send until it is answered 202: the outcome of any other answer is unknown."""
        while self._status(body) != 202:
            time.sleep(_RETRY_S)

    def _status(self, body: bytes) -> int:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._url.netloc, timeout=30)
            self._connection.request("POST", self._url.path, body, self._headers)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection = None
            return 0
        return response.status


def main() -> None:
    """Send until SIGTERM, and print what was sent as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="of a project's events")
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE, help="events a second")
    arguments = parser.parse_args()
    sender = Sender(arguments.url, os.environ[_KEY], arguments.rate)
    signal.signal(signal.SIGTERM, lambda *_: sender.end())
    sys.stdout.write(json.dumps(asdict(sender.run())))


if __name__ == "__main__":
    main()
