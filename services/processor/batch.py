"""A batch between Kafka and ClickHouse: columns, not objects, so that an event costs little.

What belongs to one event stands at one index: its entry, its record, its line there. The lines stay
together in the values of their records; only the few events that something is uncertain about are
decoded one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.events.codec import InvalidLine, decode_line
from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from libs.events.window import first_appended_ms
from services.processor.dedup_index import Hashes, Mask, Partition

# An entry of libs/events/record_index.py. The upper half of `check` is that of project and mode.
ENTRY = np.dtype(
    [
        ("key", "<u8"),
        ("check", "<u8"),
        ("conversation", "<u8"),
        ("conversation_check", "<u4"),
        ("occurred_s", "<u4"),
    ]
)

EPOCH = date(1970, 1, 1)
DAY_S = 86_400
_TAG_BITS = np.uint64(32)
_LINE_BITS = 32

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the topic as Kafka gave it; `appended_at_ms` is the broker's clock.

    `first_appended`: its header of that name, where it was carried over from another topic.
    """

    partition: int
    offset: int
    appended_at_ms: int
    value: bytes | None
    index: bytes | None = None
    first_appended: bytes | None = None

    @property
    def first_appended_ms(self) -> int:
        """When Kafka took its events first."""
        return first_appended_ms(self.appended_at_ms, self.first_appended)


Line = tuple[Record, int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line (or a whole record: line None) that is no valid event, with its place and reason."""

    record: Record
    line: int | None
    value: bytes
    reason: DeadLetterReason
    detail: str


def nowhere() -> Mask:
    """A mask of a batch without events."""
    return np.zeros(0, dtype=np.bool_)


class WrongIndexError(Exception):
    """A record's index vouched for a line that is no event."""


@dataclass(slots=True)
class Batch:
    """`values`: for each record its events, a line each, as they will stand in the table.

    For each event, `record_at` is the index of its record, `line_at` that of its line in the value,
    and `line_numbers` the number of its line in the topic. Masks, one bit an event:

    - `is_counted`: it is known to have been counted before;
    - `has_begun`: a message whose conversation is known to have had one on that day;
    - `is_new`: the first message of its conversation and day that memory did not know of;
    - `first_of_day`: the first message of its conversation and day that is counted.
    """

    partitions: Mapping[int, Partition]
    records: Sequence[Record]
    values: Sequence[bytes]
    record_at: Places
    line_at: Places
    line_numbers: NDArray[np.uint32]
    entries: NDArray[Any]
    dead_letters: list[DeadLetter]
    skipped: int = 0
    duplicates: int = 0
    is_counted: Mask = field(default_factory=nowhere)
    has_begun: Mask = field(default_factory=nowhere)
    first_of_day: Mask = field(default_factory=nowhere)
    is_new: Mask = field(default_factory=nowhere)
    _lines: tuple[int, list[bytes]] = (-1, [])

    def __post_init__(self) -> None:
        self.is_counted = np.zeros(len(self), dtype=np.bool_)
        self.has_begun = np.zeros(len(self), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.entries)

    def owners(self) -> NDArray[np.int64]:
        """For each event the number of its partition."""
        numbers = np.array([record.partition for record in self.records], dtype=np.int64)
        return numbers[self.record_at]

    def partition_numbers(self) -> set[int]:
        """The partitions that its events came from."""
        return set(np.unique(self.owners()).tolist())

    def appended_s(self) -> NDArray[np.int64]:
        """For each event when Kafka appended its record, in seconds."""
        instants = np.array([record.appended_at_ms // 1000 for record in self.records], dtype=int)
        return instants[self.record_at]

    def identities(self, at: Places | Mask) -> tuple[Hashes, Hashes]:
        """Who these events are: keys and checks."""
        entries = self.entries[at]
        return entries["key"], entries["check"]

    def conversations(self, at: Places) -> tuple[Hashes, Hashes]:
        """The conversations of these messages: keys and checks."""
        entries = self.entries[at]
        tags = entries["check"] >> _TAG_BITS << _TAG_BITS
        return entries["conversation"], tags | entries["conversation_check"]

    def days(self, at: Places) -> NDArray[np.int64]:
        """The days on which these events occurred, counted from 1970."""
        return self.entries["occurred_s"][at].astype(np.int64) // DAY_S

    def project_days(self, at: Places) -> Hashes:
        """A number for project, mode and day of each of these events; its lower half is the day."""
        tags = self.entries["check"][at] >> _TAG_BITS << _TAG_BITS
        return tags | self.days(at).astype(np.uint64)

    def messages_by_day(self) -> Iterator[tuple[int, date, Places]]:
        """Where the messages stand, by partition and day."""
        entries = self.entries
        messages = np.flatnonzero(entries["conversation"] | entries["conversation_check"])
        keys = self.owners()[messages] << 32 | self.days(messages)
        for key in np.unique(keys):
            yield int(key) >> 32, day_of(int(key) & 0xFFFFFFFF), messages[keys == key]

    def event(self, at: int) -> AnyEvent:
        """One event, decoded. Raises WrongIndexError when it is none."""
        record = int(self.record_at[at])
        if self._lines[0] != record:
            self._lines = record, self.values[record].split(b"\n")
        event = decode_line(0, self._lines[1][self.line_at[at]])
        if isinstance(event, InvalidLine):
            raise WrongIndexError
        return event

    def leave_out(self, left_out: Mask) -> None:
        """Go on without these events."""
        kept = ~left_out
        self.record_at = self.record_at[kept]
        self.line_at = self.line_at[kept]
        self.line_numbers = self.line_numbers[kept]
        self.entries = self.entries[kept]
        self.is_counted = self.is_counted[kept]
        self.has_begun = self.has_begun[kept]

    def refuse(self, lines: Mapping[Line, str]) -> None:
        """Make dead letters of these lines; what ClickHouse said is told."""
        if not lines:
            return
        numbers = {record: at for at, record in enumerate(self.records)}
        found = [(record, line) for record, line in lines if record in numbers]
        places = self.record_at.astype(np.int64) << _LINE_BITS | self.line_numbers
        refused = [numbers[record] << _LINE_BITS | line for record, line in found]
        self.leave_out(np.isin(places, refused))
        self.dead_letters += [
            DeadLetter(
                record,
                line,
                (record.value or b"").split(b"\n")[line],
                DeadLetterReason.REFUSED_BY_CLICKHOUSE,
                lines[record, line],
            )
            for record, line in found
        ]

    def line(self, at: int) -> Line:
        """Where an event stands: its record, and the number of its line there."""
        return self.records[int(self.record_at[at])], int(self.line_numbers[at])


def day_of(number: int) -> date:
    """The day with this number from 1970."""
    return EPOCH + timedelta(days=number)
