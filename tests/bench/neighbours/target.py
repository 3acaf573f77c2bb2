"""Whom A attacks and what it may use for that, as its process is told; and what it tells."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count

import msgspec

# Where A comes from: B comes from 127.0.0.1.
ADDRESS = "127.0.0.2"


@dataclass(frozen=True)
class Target:
    """The services, and A's project with its keys, which have no limits of their own."""

    host: str
    ingest_port: int
    query_port: int
    project: str
    keys: Sequence[str]
    seconds: float

    @property
    def events_path(self) -> str:
        return f"/api/v1/projects/{self.project}/events"

    @property
    def analytics_path(self) -> str:
        return f"/api/v1/projects/{self.project}/analytics"

    def as_json(self) -> str:
        """For the environment of A's process."""
        return msgspec.json.encode(asdict(self)).decode()


def target_of(text: str) -> Target:
    """What `as_json` made."""
    return msgspec.json.decode(text, type=Target)


@dataclass
class Run:
    """The time that A has, and what it has been answered.

    `told`: answers by status; what else happened under words of its own. `accepted`: events.
    """

    seconds: float
    accepted: int = 0
    told: Counter[str] = field(default_factory=Counter)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: float = 0.0
    _numbers: "count[int]" = field(default_factory=count)

    def begin(self) -> None:
        """Let the time run: all that will be sent has been made."""
        self._ends = time.monotonic() + self.seconds
        self.begun.set()

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self._ends

    def next_number(self) -> int:
        """A number that no other request of this run has."""
        return next(self._numbers)


@dataclass(frozen=True)
class Report:
    """What A has achieved."""

    seconds: float
    accepted: int
    told: dict[str, int]
    cpu_s: float

    @property
    def accepted_per_s(self) -> float:
        return self.accepted / self.seconds

    @property
    def refused(self) -> int:
        """Requests that were answered by a refusal."""
        return sum(times for status, times in self.told.items() if status[0] in "45")
