"""A batch between Kafka and ClickHouse: columns, not objects, so that an event costs little.

What belongs to one event stands at one index: its mark, its record, its line there. The lines stay
together in the values of their records; only the few events that something is uncertain about are
decoded one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from libs.events.codec import InvalidLine, decode_line
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from services.processor.memory import Hashes, Partition

# One of libs/events/digest.py.
MARK = np.dtype([("id", "<u8"), ("conversation", "<u8"), ("check", "<u8"), ("occurred_s", "<u4")])

EPOCH = date(1970, 1, 1)
_DAY_S = 86_400

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the topic as Kafka gave it; `appended_at_ms` is the broker's clock."""

    partition: int
    offset: int
    appended_at_ms: int
    value: bytes | None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line (or a whole record: line None) that is no valid event, with its place and reason."""

    record: Record
    line: int | None
    value: bytes
    reason: DeadLetterReason
    detail: str


Identity = tuple[int, str, str]


class Suspect(NamedTuple):
    """An event whose hash was seen before. Its identity is (partition, project, id)."""

    identity: Identity
    appended_at_ms: int


# A conversation on a day in a partition: (partition, day, project, is_live, conversation id).
ConversationDay = tuple[int, date, str, bool, str]


@dataclass(frozen=True, slots=True)
class Known:
    """What the table answered about a batch, where the memory could not decide alone.

    `counted_at_ms`: identity → when the event with this id was appended.
    `conversations`: days older than the memory on which a conversation already had a message.
    """

    counted_at_ms: Mapping[Identity, int] = field(default_factory=dict)
    conversations: frozenset[ConversationDay] = frozenset()


class WrongDigestError(Exception):
    """A record's digest vouched for a line that is no event."""


@dataclass(slots=True)
class Batch:
    """`values`: for each record its events, a line each, as they will stand in the table.

    For each event, `record_at` is the index of its record, `line_at` that of its line in the value,
    and `line_numbers` the number of its line in the topic.
    """

    partitions: Mapping[int, Partition]
    records: Sequence[Record]
    values: Sequence[bytes]
    record_at: Places
    line_at: Places
    line_numbers: NDArray[np.uint32]
    marks: NDArray[Any]
    suspected: Mask
    dead_letters: Sequence[DeadLetter] = ()
    skipped: int = 0
    repeated: int = 0
    known: Known = field(default_factory=Known)
    first_of_day: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    is_new: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    _lines: tuple[int, list[bytes]] = (-1, [])

    def __len__(self) -> int:
        return len(self.marks)

    def owners(self) -> NDArray[np.int64]:
        """For each event the number of its partition."""
        numbers = np.array([record.partition for record in self.records], dtype=np.int64)
        return numbers[self.record_at]

    def partition_numbers(self) -> set[int]:
        """The partitions that its events came from."""
        return set(np.unique(self.owners()).tolist())

    def conversations(self, at: Places) -> tuple[Hashes, Hashes]:
        """The hashes and checks of the conversations of these events."""
        marks = self.marks[at]
        return marks["conversation"], marks["check"]

    def messages_by_day(self) -> Iterator[tuple[int, date, Places]]:
        """Where the messages stand, by partition and day."""
        messages = np.flatnonzero(self.marks["conversation"] | self.marks["check"])
        days = self.marks["occurred_s"][messages].astype(np.int64) // _DAY_S
        keys = self.owners()[messages] << 32 | days
        for key in np.unique(keys):
            day = EPOCH + timedelta(days=int(key) & 0xFFFFFFFF)
            yield int(key) >> 32, day, messages[keys == key]

    def event(self, at: int) -> AnyEvent:
        """One event, decoded. Raises WrongDigestError when it is none."""
        record = int(self.record_at[at])
        if self._lines[0] != record:
            self._lines = record, self.values[record].split(b"\n")
        event = decode_line(0, self._lines[1][self.line_at[at]])
        if isinstance(event, InvalidLine):
            raise WrongDigestError
        return event

    def suspect(self, at: int) -> Suspect:
        """One event as what may be a repeat."""
        record, event = self.records[self.record_at[at]], self.event(at)
        return Suspect((record.partition, event.project_id, event.id), record.appended_at_ms)

    def conversation_day(self, at: int) -> ConversationDay:
        """Which conversation on which day a message belongs to."""
        event = self.event(at)
        day = EPOCH + timedelta(days=int(self.marks["occurred_s"][at]) // _DAY_S)
        conversation_id = getattr(event, "conversation_id", "")
        partition = self.records[self.record_at[at]].partition
        return partition, day, event.project_id, event.is_live, conversation_id

    def leave_out(self, places: Sequence[int]) -> None:
        """Go on without these events."""
        kept = np.ones(len(self), dtype=np.bool_)
        kept[places] = False
        self.record_at = self.record_at[kept]
        self.line_at = self.line_at[kept]
        self.line_numbers = self.line_numbers[kept]
        self.marks = self.marks[kept]
        self.suspected = self.suspected[kept]
