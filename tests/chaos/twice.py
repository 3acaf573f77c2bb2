"""Requests that are sent twice, in each way that must not count twice, or that must.

- The same events by the live key and by the test key: two modes, so each counts once in each.
- Events that Kafka took before the window that memory holds: only the table knows of them.
- Events without ids under an `Idempotency-Key`, unchanged under the same key.
"""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from tests.chaos.load import GIVES_UP_AFTER_S, of_one_kind
from tests.e2e.earlier import write_earlier
from tests.e2e.model import Event, Sent
from tests.e2e.random_events import RandomEvents
from tests.e2e.stack import Project
from tests.e2e.topics import Topics
from tests.e2e.traffic import send_patiently

_CONVERSATIONS = 20
_PAUSE_S = 0.2
_AGAIN_SHARE = 0.4
# The window and one of the parts in which memory forgets it, and more.
_LONG_AGO = timedelta(hours=30)
_EARLIER_REQUESTS, _EARLIER_EVENTS = 6, 20


@dataclass(frozen=True)
class _Request:
    """What was sent. `name`: its `Idempotency-Key`; then its events bear no ids."""

    events: list[Event]
    by_test_key: bool
    name: str | None = None

    def sent(self) -> list[Sent]:
        """Its events, with ids by which they can be told from all others."""
        named = (
            event if self.name is None else event | {"id": f"{self.name}:{at}"}
            for at, event in enumerate(self.events)
        )
        return [Sent(event, by_test_key=self.by_test_key) for event in named]


class Twice:
    """Sends one request after another by both keys of a project, and some of them again."""

    def __init__(self, http: httpx.Client, url: str, project: Project, name: str) -> None:
        self._http = http
        self._url = url
        self._project = project
        self._name = f"{name}t"
        self._chance = random.Random(self._name)
        self._source = RandomEvents(0, self._name, _CONVERSATIONS)
        self._requests: list[_Request] = []
        self._earlier: list[_Request] = []

    def begin_earlier(self, topics: Topics) -> None:
        """Let Kafka have taken some requests long ago. While all is well: nobody writes again."""
        taken_at = datetime.now(UTC) - _LONG_AGO
        source = RandomEvents(0, f"{self._name}e", _CONVERSATIONS)
        for at in range(_EARLIER_REQUESTS):
            events = [of_one_kind(one) for one in source.make(_EARLIER_EVENTS)]
            request = _Request(
                [one for one in events if Sent(one).occurred_at < taken_at], at % 2 > 0
            )
            write_earlier(topics, self._project.id, request.sent(), taken_at)
            self._earlier.append(request)

    def step(self) -> None:
        """A new request or two, or an old one once more, and a pause."""
        if self._requests and self._chance.random() < _AGAIN_SHARE:
            self.repeat_one(self._chance)
        else:
            for request in self._new():
                self._send(request)
                self._requests.append(request)
        time.sleep(self._chance.uniform(0, _PAUSE_S))

    def repeat_one(self, chance: random.Random) -> None:
        """Send one of the requests once more, as it was: half of them are of long ago."""
        self._send(chance.choice(chance.choice((self._requests, self._earlier))))

    def sent(self) -> list[Sent]:
        """All events, in the order in which they were sent first."""
        return [one for request in self._earlier + self._requests for one in request.sent()]

    def _new(self) -> list[_Request]:
        events = [of_one_kind(one) for one in self._source.make(self._chance.randint(1, 20))]
        if self._chance.random() < 0.3:
            for event in events:
                del event["id"]
            by_test_key = self._chance.random() < 0.5
            return [_Request(events, by_test_key, f"{self._name}-{len(self._requests)}")]
        both = [_Request(events, by_test_key) for by_test_key in (False, True)]
        self._chance.shuffle(both)
        return both

    def _send(self, request: _Request) -> None:
        key = self._project.test_key if request.by_test_key else self._project.live_key
        send_patiently(
            self._http,
            self._url,
            key,
            request.events,
            gives_up_after_s=GIVES_UP_AFTER_S,
            idempotency_key=request.name,
        )
