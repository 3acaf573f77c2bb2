"""Days of projects that were read whole, as many late events were asked about in them.

Late is what occurred before the days that a partition remembers. A few such events are asked about
by their ids; each such question looks through all of their days. Where they are many, their days of
their project are read once, a few for each batch, and answer from then on. It stays right because
nobody but this process inserts into its partitions.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from services.processor.batch import Batch, Places
from services.processor.dedup_index import BYTES_AN_IDENTITY, IdentityRuns

# By project and mode (the tag of an identity), and the number of the day from 1970.
DayKey = tuple[int, int]

# A day is read when so many of its events were asked about, unless it holds more than so many.
_ASKED = 300
MAX_EVENTS = 500_000
_MAX_COUNTERS = 100_000
# Of a day that was read and had to go again so many events are asked about for each of its rows,
# before it is read once more: else more days than memory holds would be read for every batch.
_ASKED_A_ROW = 1 / 16


@dataclass(slots=True)
class LateDay:
    """What was counted of a project's day."""

    ids: IdentityRuns = field(default_factory=IdentityRuns)
    conversations: IdentityRuns = field(default_factory=IdentityRuns)

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        return (len(self.ids) + len(self.conversations)) * BYTES_AN_IDENTITY


class LateDays:
    """The days that were read, the latest used last; the first ones go when memory is short."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._days: OrderedDict[DayKey, LateDay] = OrderedDict()
        self._asked: dict[DayKey, int] = {}

    @property
    def size_bytes(self) -> int:
        """The memory that they take."""
        return sum(day.size_bytes for day in self._days.values())

    def get(self, key: DayKey) -> LateDay | None:
        """The day, if it was read."""
        if key in self._days:
            self._days.move_to_end(key)
        return self._days.get(key)

    def is_worth_reading(self, key: DayKey, asked: int) -> bool:
        """Whether a day should be read now that so many more are asked about in it."""
        if len(self._asked) >= _MAX_COUNTERS:
            self._asked.clear()
        self._asked[key] = total = self._asked.get(key, 0) + asked
        return total >= _ASKED

    def put(self, key: DayKey, day: LateDay) -> None:
        """Answer from this day from now on, as long as there is room."""
        self._days[key] = day
        while len(self._days) > 1 and self.size_bytes > self._max_bytes:
            gone, read = self._days.popitem(last=False)
            self._asked[gone] = -int(len(read.ids) * _ASKED_A_ROW)

    def never_read(self, key: DayKey) -> None:
        """The day is too large."""
        self._asked[key] = -(1 << 60)

    def clear(self) -> None:
        """Forget all: what is in the table is not known any more."""
        self._days.clear()
        self._asked.clear()

    def learn(self, batch: Batch) -> None:
        """Add what a batch has counted. Call it once that is inserted."""
        if not self._days:
            return
        everywhere = np.arange(len(batch))
        keys = batch.project_days(everywhere)
        for (tag, number), day in self._days.items():
            at = np.flatnonzero(keys == np.uint64(tag << 32 | number))
            if len(at):
                day.ids.add(*batch.identities(at))
                new: Places = at[batch.first_of_day[at]]
                day.conversations.add(*batch.conversations(new))


def by_day(batch: Batch, at: Places) -> dict[DayKey, Places]:
    """These events by project, mode and day."""
    keys = batch.project_days(at)
    return {(int(key) >> 32, int(key) & 0xFFFFFFFF): at[keys == key] for key in np.unique(keys)}
