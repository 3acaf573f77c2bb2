"""Load as producers make it: concurrent clients, batches, and some events sent twice."""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import httpx

from tests.e2e.model import Event, Sent
from tests.e2e.random_events import RandomEvents

CLIENTS = 4
A_REQUEST = 500
REPEATED_SHARE = 0.05
_EVENTS_A_CONVERSATION = 10
_RETRY_S = 0.05
_GIVES_UP_AFTER_S = 60.0

Batch = list[Event]


@dataclass(frozen=True)
class Traffic:
    """The requests of each client in order. A conversation is one client's, so is a repeat."""

    clients: list[list[Batch]]
    repeated: int

    def sent(self) -> list[Sent]:
        """All events; those of one conversation are in the order of sending."""
        batches = chain.from_iterable(self.clients)
        return [Sent(event) for event in chain.from_iterable(batches)]


def make_traffic(seed: int, events: int) -> Traffic:
    """So many different events for four clients, and 5 % of them once more."""
    chance = random.Random(seed)
    each = events // CLIENTS
    clients: list[list[Batch]] = []
    for number in range(CLIENTS):
        new = RandomEvents(seed, f"client{number}", each // _EVENTS_A_CONVERSATION).make(each)
        clients.append(_batches(_with_repeats(new, chance)))
    sent = sum(len(batch) for batches in clients for batch in batches)
    return Traffic(clients, repeated=sent - CLIENTS * each)


def _with_repeats(new: list[Event], chance: random.Random) -> list[Event]:
    """Each repeat stands somewhere behind its original: in the same request or in a later one."""
    places = [(float(at), event) for at, event in enumerate(new)]
    twice = chance.sample(range(len(new)), round(REPEATED_SHARE * len(new)))
    places += [(chance.uniform(at, len(new)), new[at]) for at in twice]
    return [event for _, event in sorted(places, key=lambda place: place[0])]


def _batches(events: Sequence[Event]) -> list[Batch]:
    return [list(events[at : at + A_REQUEST]) for at in range(0, len(events), A_REQUEST)]


def send_traffic(url: str, key: str, traffic: Traffic) -> int:
    """Send all of it, the clients at once; returns how many events were accepted."""
    with ThreadPoolExecutor(len(traffic.clients)) as threads:
        return sum(threads.map(lambda batches: _send_all(url, key, batches), traffic.clients))


def _send_all(url: str, key: str, batches: Sequence[Batch]) -> int:
    with httpx.Client(timeout=30, trust_env=False) as http:
        return sum(send_patiently(http, url, key, batch) for batch in batches)


def send_patiently(
    http: httpx.Client,
    url: str,
    key: str,
    events: Batch,
    *,
    gives_up_after_s: float = _GIVES_UP_AFTER_S,
    idempotency_key: str | None = None,
) -> int:
    """Send a batch until it is answered 202, as a producer does; returns how many were accepted."""
    body = json.dumps(events)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    deadline = time.monotonic() + gives_up_after_s
    while time.monotonic() < deadline:
        try:
            response = http.post(url, content=body, headers=headers)
        except httpx.TransportError:
            time.sleep(_RETRY_S)  # the service is being restarted; the outcome is unknown
            continue
        if response.status_code == 202:
            accepted: int = response.json()["accepted"]
            assert accepted == len(events), response.text
            return accepted
        assert response.status_code == 503, response.text
        time.sleep(_RETRY_S)
    raise AssertionError(f"not accepted within {gives_up_after_s:g} s")


class Repeatedly:
    """Does something again and again in a thread of its own, until the block ends."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self.times = 0

    @property
    def has_failed(self) -> bool:
        """Whether it ended by itself; the end of the block raises what it raised."""
        return self._work.done()

    def __enter__(self) -> "Repeatedly":
        self._work = self._threads.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        self._work.result()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._do()
            self.times += 1
