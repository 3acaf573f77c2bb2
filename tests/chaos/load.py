"""Producers that never give up: what is not answered 202 is sent again until it is.

The ledger is what was sent: at the end of a round each event of it has been answered 202. What
could depend on the order in which a torn request was written is the same for a whole conversation:
its language and its device.
"""

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from zlib import crc32

import httpx

from tests.e2e.model import Event, Sent
from tests.e2e.random_events import DEVICES, RandomEvents
from tests.e2e.traffic import send_patiently

_CLIENTS = 3
_CONVERSATIONS = 40
_REPEATED_SHARE = 0.2
_PAUSE_S = 0.1
_LANGUAGES = ("de", "en", "fr", None)
GIVES_UP_AFTER_S = 180.0


class Load:
    """Clients that send random events to one project while the block runs."""

    def __init__(
        self, url: str, key: str, name: str, *, patience_s: float = GIVES_UP_AFTER_S
    ) -> None:
        self._patience_s = patience_s
        self._url = url
        self._key = key
        self._name = name
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(_CLIENTS)
        self._ledgers: list[list[Event]] = [[] for _ in range(_CLIENTS)]

    def __enter__(self) -> "Load":
        self._work = [self._threads.submit(self._send, at) for at in range(_CLIENTS)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Send no new events; return when each client has been answered 202 for all of its own."""
        self._stop.set()
        self._threads.shutdown()
        for work in self._work:
            work.result()

    @property
    def accepted(self) -> int:
        """How many different events were answered 202 so far."""
        return sum(map(len, self._ledgers))

    def sent(self) -> list[Sent]:
        """The ledger: all events, those of one conversation in the order of sending."""
        return [Sent(event) for ledger in self._ledgers for event in ledger]

    def some(self, chance: random.Random) -> list[Event]:
        """Some events of the ledger, to be sent once more."""
        ledger = chance.choice(self._ledgers)
        return chance.sample(ledger, min(20, len(ledger)))

    def _send(self, at: int) -> None:
        chance = random.Random(f"{self._name}-{at}")
        source = RandomEvents(0, f"{self._name}c{at}", _CONVERSATIONS)
        ledger = self._ledgers[at]
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._stop.wait(chance.uniform(0, _PAUSE_S)):
                new = [of_one_kind(event) for event in source.make(chance.randint(1, 40))]
                repeated = chance.random() < _REPEATED_SHARE
                again = chance.sample(ledger, min(10, len(ledger))) if repeated else []
                send(http, self._url, self._key, new + again, self._patience_s)
                ledger += new


def send(
    http: httpx.Client,
    url: str,
    key: str,
    events: Sequence[Event],
    patience_s: float = GIVES_UP_AFTER_S,
) -> None:
    """Send events until they are answered 202."""
    send_patiently(http, url, key, list(events), gives_up_after_s=patience_s)


def of_one_kind(event: Event) -> Event:
    """With the language and the device of its conversation, and with names of its sources."""
    conversation = event.get("conversationId") or event["sessionId"]
    number = crc32(str(conversation).encode())
    changed = event | {
        "language": _LANGUAGES[number % len(_LANGUAGES)],
        "deviceId": (*DEVICES, None)[number // 7 % (len(DEVICES) + 1)],
    }
    if "sources" in event:
        names = [f"Name of {source['id']}" for source in event["sources"]]
        changed["sources"] = [
            source | {"name": name} for source, name in zip(event["sources"], names, strict=True)
        ]
    return changed
