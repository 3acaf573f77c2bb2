"""What a partition remembers: which events it counted, and which conversations each day had.

Both are functions of the table `events` and are rebuilt from it by recovery. Identities lie in
sorted arrays, merged like the levels of a log-structured tree: 16 bytes each, and a look-up costs a
binary search in each array instead of a Python object in a set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from libs.kafka.last_record import LastRecord
from services.processor.id_filter import IdFilter

U64 = np.uint64
Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Run = tuple[Hashes, Hashes]

WINDOW_MS = 24 * 3600 * 1000
BUCKET_MS = 4 * 3600 * 1000
BYTES_AN_IDENTITY = 16
_MAX_OLD_CONVERSATIONS = 1_000_000
# A run of so many is merged no more: all else waits meanwhile, a tenth of a second at most.
_MERGED = 4_000_000


@dataclass(slots=True)
class IdentityRuns:
    """A growing set of identities in sorted runs. An identity is two numbers: a key and a check."""

    runs: list[Run] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self.runs)

    def contains(self, keys: Hashes, checks: Hashes) -> Mask:
        """For each identity whether it was added."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for run in self.runs:
            found |= _contains(run, keys, checks)
        return found

    def add(self, keys: Hashes, checks: Hashes) -> None:
        """Add identities that are not in it yet."""
        if not len(keys):
            return
        order = np.argsort(keys)
        self.runs.append((keys[order], checks[order]))
        while len(self.runs) > 1 and self._merges_last():
            self.runs.append(_merged(self.runs.pop(), self.runs.pop()))

    def _merges_last(self) -> bool:
        # Merging a run only into one of its own size keeps the cost of adding at O(log n) a hash.
        before, last = (len(keys) for keys, _ in self.runs[-2:])
        return before < min(2 * last, _MERGED)


def _contains(run: Run, keys: Hashes, checks: Hashes) -> Mask:
    run_keys, run_checks = run
    found = np.zeros(len(keys), dtype=np.bool_)
    at = np.searchsorted(run_keys, keys)
    asked = np.flatnonzero(run_keys[np.minimum(at, len(run_keys) - 1)] == keys)
    at = at[asked]
    while len(asked):  # again only where several identities have one key
        found[asked] = hit = run_checks[at] == checks[asked]
        at, asked = at[~hit] + 1, asked[~hit]
        goes_on = (at < len(run_keys)) & (
            run_keys[np.minimum(at, len(run_keys) - 1)] == keys[asked]
        )
        at, asked = at[goes_on], asked[goes_on]
    return found


def _merged(a: Run, b: Run) -> Run:
    # A stable sort is numpy's merge sort: it finds the two runs, and takes a tenth of the time.
    keys, checks = (np.concatenate(columns) for columns in zip(a, b, strict=True))
    order = np.argsort(keys, kind="stable")
    return keys[order], checks[order]


@dataclass(slots=True)
class Identities:
    """Exact identities, and filters of those that memory was too small for."""

    exact: IdentityRuns = field(default_factory=IdentityRuns)
    filters: list[IdFilter] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.exact) + sum(map(len, self.filters))

    @property
    def exact_bytes(self) -> int:
        """The memory of the exact ones."""
        return len(self.exact) * BYTES_AN_IDENTITY

    @property
    def size_bytes(self) -> int:
        """The memory of all."""
        return self.exact_bytes + sum(one.size_bytes for one in self.filters)

    def may_contain(self, keys: Hashes, checks: Hashes) -> Mask:
        """For each identity whether a filter has it, perhaps wrongly: the table decides."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for one in self.filters:
            found |= one.may_contain(keys, checks)
        return found

    def compact(self) -> None:
        """Keep a filter of what is exact now, at an eighth of the memory."""
        self.filters += [IdFilter.of(keys, checks) for keys, checks in self.exact.runs]
        self.exact = IdentityRuns()


@dataclass(slots=True)
class SeenIds:
    """The events counted in the window, in buckets of append time, so that old ones can go."""

    buckets: dict[int, Identities] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def contains(self, keys: Hashes, checks: Hashes) -> Mask:
        """For each event whether it is known to have been counted."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for bucket in self.buckets.values():
            found |= bucket.exact.contains(keys, checks)
        return found

    def may_contain(self, keys: Hashes, checks: Hashes) -> Mask:
        """For each event whether a filter has it, perhaps wrongly: the table decides."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for bucket in self.buckets.values():
            found |= bucket.may_contain(keys, checks)
        return found

    def add(self, keys: Hashes, checks: Hashes, appended_at_ms: int) -> None:
        """Remember events that were appended at this time, and forget what has left the window."""
        bucket = appended_at_ms // BUCKET_MS
        self.buckets.setdefault(bucket, Identities()).exact.add(keys, checks)
        oldest = (appended_at_ms - WINDOW_MS) // BUCKET_MS
        for gone in [number for number in self.buckets if number < oldest]:
            del self.buckets[gone]


@dataclass(slots=True)
class SeenConversations:
    """The conversations that had a counted message, by day of the message.

    Complete for days from `complete_from` on. For older days only what was asked or inserted since:
    what is missing there is asked of the table.
    """

    complete_from: date
    days: dict[date, Identities] = field(default_factory=dict)

    def contains(self, day: date, keys: Hashes, checks: Hashes) -> Mask:
        """For each conversation whether it is known to have had a message that day."""
        return self.days.get(day, _NONE).exact.contains(keys, checks)

    def may_contain(self, day: date, keys: Hashes, checks: Hashes) -> Mask:
        """For each conversation whether a filter of that day has it, perhaps wrongly."""
        return self.days.get(day, _NONE).may_contain(keys, checks)

    def add(self, day: date, keys: Hashes, checks: Hashes) -> None:
        """Remember conversations of a day."""
        self.days.setdefault(day, Identities()).exact.add(keys, checks)

    def advance(self, today: date) -> None:
        """Keep today and yesterday; older days may stay while they are few."""
        self.complete_from = max(self.complete_from, today - timedelta(days=1))
        old = [day for day in self.days if day < self.complete_from]
        if sum(len(self.days[day]) for day in old) > _MAX_OLD_CONVERSATIONS:
            for day in old:
                del self.days[day]


_NONE = Identities()


@dataclass(slots=True)
class Partition:
    """What the owner of a Kafka partition knows. Records below `next_offset` are counted.

    `last_record`: the last record that is known to have left a row.
    """

    number: int
    next_offset: int
    ids: SeenIds
    conversations: SeenConversations
    last_record: LastRecord | None = None

    def older(self) -> Iterator[tuple[int, Identities]]:
        """The identities of buckets that nothing is added to any more, by the bucket's number."""
        newest = max(self.ids.buckets, default=0)
        return ((number, ids) for number, ids in self.ids.buckets.items() if number < newest)

    def remembered(self) -> Iterator[Identities]:
        """All that it remembers."""
        yield from self.ids.buckets.values()
        yield from self.conversations.days.values()
