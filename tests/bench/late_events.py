"""A project whose table is full, and events of it to send: fresh ones, late ones, late repeats.

The server makes the rows itself (`late_events.sql`); each can be made here as well, to be sent
again.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path

from clickhouse_connect.driver.client import Client

from libs.events.partitions import partition_of
from services.ingest.publisher import Line
from tests.bench.events import Event
from tests.bench.records import MadeRecord, lines_of, record_of

PROJECT = "late"
A_SESSION = 10
_SQL = (Path(__file__).parent / "late_events.sql").read_text("utf-8")
_PLANTED = "planted"
_PORTION = 1_000_000
_A_RECORD = 500
_ENCODED_AT_ONCE = 5_000
_SESSIONS_MS, _STEP_MS, _DAY_MS = 86_000_000, 20_000, 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shape:
    """So many rows over so many whole days, the last of them the day before yesterday.

    `rows`: a multiple of ten times the days. `topic`, `partitions`: what the rows say of Kafka.
    """

    rows: int
    days: int
    first_day: int
    topic: str
    partitions: int

    @property
    def sessions(self) -> int:
        """Of ten events each."""
        return self.rows // A_SESSION

    def load(self, database: Client) -> None:
        """Insert all rows, in order of time, a million an insert."""
        parameters = {
            "project": PROJECT,
            "sessions": self.sessions,
            "days": self.days,
            "first_day": self.first_day,
            "topic": self.topic,
            "partitions": self.partitions,
        }
        for first in range(0, self.rows, _PORTION):
            rows = min(_PORTION, self.rows - first)
            database.command(
                _SQL,
                parameters=parameters | {"first": first, "rows": rows},
                settings={"max_insert_threads": 1, "max_partitions_per_insert_block": 0},
            )

    def repeats(self, events: int, seed: int) -> Iterator[Event]:
        """Rows of the table, of sessions that are drawn from all days."""
        for session in random.Random(seed).sample(range(self.sessions), events // A_SESSION):
            yield from self._session(_PLANTED, session, self._begins_ms(session))

    def new(self, events: int, name: str) -> Iterator[Event]:
        """Late events that nobody has sent, of the same days. `name`: of these alone."""
        chance = random.Random(name)
        for session in range(events // A_SESSION):
            begins_ms = self._begins_ms(chance.randrange(self.sessions))
            yield from self._session(name, session, begins_ms)

    def fresh(self, events: int, name: str) -> Iterator[Event]:
        """Events of now. `name`: of these alone."""
        begins_ms = (datetime.now(UTC) - _EPOCH) // timedelta(milliseconds=1) - 600_000
        for session in range(events // A_SESSION):
            yield from self._session(name, session, begins_ms)

    def _begins_ms(self, session: int) -> int:
        a_day = self.sessions // self.days
        day, number = divmod(session, a_day)
        return (self.first_day + day) * _DAY_MS + number * _SESSIONS_MS // a_day

    def _session(self, name: str, session: int, begins_ms: int) -> Iterator[Event]:
        names = {"sessionId": _hex(f"{name}-session-{session}")}
        talk = _hex(f"{name}-talk-{session}")
        for place in range(A_SESSION):
            occurred = _EPOCH + timedelta(milliseconds=begins_ms + place * _STEP_MS)
            yield {
                "id": _hex(f"{name}-event-{session * A_SESSION + place}"),
                "occurredAt": occurred.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                **names,
                **_kind(place, talk),
            }


def shape(rows: int, days: int, topic: str, partitions: int) -> Shape:
    """One whose last day is over for more than the window."""
    today = (datetime.now(UTC) - _EPOCH).days
    return Shape(rows, days, today - 1 - days, topic, partitions)


def _kind(place: int, talk: str) -> Event:
    if place == 0:
        return {"type": "session.started"}
    if place < 5:
        role = "user" if place % 2 else "assistant"
        return {"type": "chat.message", "role": role, "conversationId": talk}
    return {"type": "chat.action", "action": f"action-{place}", "conversationId": talk}


def _hex(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def records(events: Iterable[Event], partitions: int) -> list[MadeRecord]:
    """The events as ingest would write them, in records of 500 or what there is of a partition."""
    waiting: defaultdict[int, list[Line]] = defaultdict(list)
    for line in _lines(list(events)):
        waiting[partition_of(line.key, partitions)].append(line)
    return [
        record_of(partition, lines[at : at + _A_RECORD])
        for at in range(0, max(map(len, waiting.values())), _A_RECORD)
        for partition, lines in waiting.items()
        if at < len(lines)
    ]


def _lines(events: Sequence[Event]) -> Iterator[Line]:
    for at in range(0, len(events), _ENCODED_AT_ONCE):
        yield from lines_of(PROJECT, events[at : at + _ENCODED_AT_ONCE])
