"""`python -m tests.e2e.rolling --rounds N`: everything restarted in turn under load, N times.

Two processes each of ingest, query and processor; producers and readers that never stop. Fails
unless each event that was answered 202 is counted once, no reader saw an error, no producer another
answer than 202 and 503 with Retry-After, the counts never fell, and every process ended with 0.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos.load import of_one_kind
from tests.e2e.asking import bearer
from tests.e2e.fleet import REPLICAS, ROLES, Balancer, Fleet, running_fleet
from tests.e2e.model import Event, Sent, answer
from tests.e2e.random_events import DEVICES, RandomEvents
from tests.e2e.stack import Project
from tests.servers import servers

_PRODUCERS, _READERS = 3, 2
_CONVERSATIONS = 40
_PAUSE_S = 0.05
_RETRY_S = 0.1
_COUNTED_WITHIN_S = 60.0


@dataclass
class Seen:
    """What producers and readers were told. Transport errors are noted by their kind."""

    written: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    without_retry_after: int = 0
    fallen: list[tuple[int, int]] = field(default_factory=list)
    # The longest time in which the counts did not grow, in seconds.
    longest_gap_s: float = 0.0


class Load:
    """Producers and readers, in threads of their own, until the block ends."""

    def __init__(self, project: Project, ingest: Balancer, query: Balancer) -> None:
        self.seen = Seen()
        self._project = project
        self._ingest = ingest
        self._query = query
        self._ends = threading.Event()
        self._threads = ThreadPoolExecutor(_PRODUCERS + _READERS)
        self._ledgers: list[list[Event]] = [[] for _ in range(_PRODUCERS)]
        self._noting = threading.Lock()

    def __enter__(self) -> "Load":
        self._work: list[Future[None]] = [
            *(self._threads.submit(self._forever, self._produce(at)) for at in range(_PRODUCERS)),
            *(self._threads.submit(self._forever, self._reader()) for _ in range(_READERS)),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._threads.shutdown()
        for work in self._work:
            work.result()

    def sent(self) -> list[Sent]:
        """The events that were answered 202; those of a conversation in the order of sending."""
        return [Sent(event) for ledger in self._ledgers for event in ledger]

    def _forever(self, step: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._ends.wait(_PAUSE_S):
                step(http)

    def _produce(self, at: int) -> Callable[[httpx.Client], None]:
        chance = random.Random(at)
        source = RandomEvents(0, f"producer{at}", _CONVERSATIONS)
        ledger = self._ledgers[at]

        def step(http: httpx.Client) -> None:
            new = [of_one_kind(event) for event in source.make(chance.randint(1, 40))]
            again = chance.sample(ledger, min(5, len(ledger)))
            self._send(http, new + again)
            ledger.extend(new)

        return step

    def _send(self, http: httpx.Client, events: list[Event]) -> None:
        """Send events until they are answered 202, as the documents ask producers to do."""
        path = f"/api/v1/projects/{self._project.id}/events"
        headers = bearer(self._project.live_key)
        while True:
            try:
                told = http.post(self._ingest.url() + path, json=events, headers=headers)
            except httpx.TransportError as error:
                self.seen.written[type(error).__name__] += 1
                time.sleep(_RETRY_S)
                continue
            with self._noting:
                self.seen.written[str(told.status_code)] += 1
                self.seen.without_retry_after += (
                    told.status_code == 503 and "Retry-After" not in told.headers
                )
            if told.status_code == 202:
                assert told.json() == {"accepted": len(events), "rejected": []}
                return
            assert told.status_code == 503, told.text
            time.sleep(_RETRY_S)

    def _reader(self) -> Callable[[httpx.Client], None]:
        path = f"/api/v1/projects/{self._project.id}/analytics?live=false&category=usage"
        headers = bearer(self._project.live_key)
        most, grew_at = 0, time.monotonic()

        def step(http: httpx.Client) -> None:
            nonlocal most, grew_at
            try:
                told = http.get(self._query.url() + path, headers=headers)
            except httpx.TransportError as error:
                self.seen.read[type(error).__name__] += 1
                return
            with self._noting:
                self.seen.read[str(told.status_code)] += 1
            if told.status_code != 200:
                return
            total = sum(row["value"] for row in told.json()["stats"])
            if total < most:
                self.seen.fallen.append((most, total))
            if total > most:
                now = time.monotonic()
                self.seen.longest_gap_s = max(self.seen.longest_gap_s, now - grew_at)
                most, grew_at = total, now

        return step


def roll(fleet: Fleet, rounds: int) -> tuple[Seen, list[Sent]]:
    """Restart all of them so many times under load, and compare. Raises AssertionError."""
    (project,) = fleet.stack.new_projects(1)
    for _ in range(REPLICAS - 1):
        fleet.add(*ROLES)
    with ExitStack() as balancing:
        ingest = balancing.enter_context(Balancer(fleet.replicas["ingest"]))
        query = balancing.enter_context(Balancer(fleet.replicas["query"]))
        with Load(project, ingest, query) as load:
            for _ in range(rounds):
                for role in ROLES:
                    for _ in range(REPLICAS):
                        fleet.replace(role)
    fleet.stack.wait_until_counted(_COUNTED_WITHIN_S)
    sent = load.sent()
    for device in (None, *DEVICES):
        got = fleet.stack.analytics(project, live="false", deviceId=device)
        assert got["stats"] == answer(sent, live_only=False, device=device)
    fleet.stack.ragtime("audit", "--every-record")
    return load.seen, sent


def check(seen: Seen) -> None:
    """What callers may have been told, and what not."""
    assert set(seen.read) == {"200"}, seen.read
    assert {code for code in seen.written if code.isdecimal()} <= {"202", "503"}, seen.written
    assert not seen.without_retry_after
    assert not seen.fallen, seen.fallen


def main() -> None:
    """Start everything on free ports, roll, say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lease", type=float, default=5.0, help="RAGTIME_BATCH__LEASE_S")
    arguments = parser.parse_args()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-rolling-") as folder,
        servers() as real,
        running_fleet(real, Path(folder), arguments.lease) as fleet,
    ):
        seen, sent = roll(fleet, arguments.rounds)
        check(seen)
        restarts = sum(map(len, fleet.stop_seconds.values()))
        lines = [
            f"{restarts} restarts in {time.monotonic() - started:.0f} s, every exit code 0",
            f"{len(sent)} events answered 202, each counted once; audit of every record: exact",
            f"producers were told {dict(seen.written)}",
            f"readers were told {dict(seen.read)}; the counts never fell",
            f"longest time in which the counts did not grow: {seen.longest_gap_s:.1f} s",
        ] + [
            f"{role} stopped in {min(took):.1f} to {max(took):.1f} s"
            for role, took in fleet.stop_seconds.items()
        ]
        sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
