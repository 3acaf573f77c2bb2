"""What a partition remembers: hashes of the ids it counted, and of the conversations of each day.

Both are functions of the table `events` and are rebuilt from it by recovery. Hashes lie in sorted
arrays, merged like the levels of a log-structured tree: 8 bytes an id, 16 a conversation, and a
look-up costs a binary search in each array instead of a Python object in a set.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64
Hashes = NDArray[np.uint64]
Run = tuple[Hashes, Hashes]

WINDOW_MS = 24 * 3600 * 1000
BUCKET_MS = 4 * 3600 * 1000
_MAX_OLD_CONVERSATIONS = 1_000_000
# A run of so many is merged no more: all else waits meanwhile, a tenth of a second at most.
_MERGED = 4_000_000


@dataclass(slots=True)
class HashRuns:
    """A growing set of hashes in sorted runs; `checks`, if used, are 64 more bits beside each."""

    runs: list[Run] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self.runs)

    def contains(self, keys: Hashes, checks: Hashes) -> NDArray[np.bool_]:
        """For each key (with its check) whether it was added."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for run_keys, run_checks in self.runs:
            at = np.minimum(np.searchsorted(run_keys, keys), len(run_keys) - 1)
            hit = run_keys[at] == keys
            if len(run_checks):
                hit &= run_checks[at] == checks
            found |= hit
        return found

    def add(self, keys: Hashes, checks: Hashes) -> None:
        """Add hashes that are not in it yet; `checks` is empty where 64 bits are enough."""
        if not len(keys):
            return
        self.runs.append(_sorted(keys, checks))
        while len(self.runs) > 1 and self._merges_last():
            self.runs.append(_merged(self.runs.pop(), self.runs.pop()))

    def _merges_last(self) -> bool:
        # Merging a run only into one of its own size keeps the cost of adding at O(log n) a hash.
        before, last = (len(keys) for keys, _ in self.runs[-2:])
        return before < min(2 * last, _MERGED)


def _sorted(keys: Hashes, checks: Hashes) -> Run:
    if not len(checks):
        return np.sort(keys), checks
    order = np.argsort(keys)
    return keys[order], checks[order]


def _merged(a: Run, b: Run) -> Run:
    # A stable sort is numpy's merge sort: it finds the two runs, and takes a tenth of the time.
    keys, checks = (np.concatenate(columns) for columns in zip(a, b, strict=True))
    if not len(checks):
        keys.sort(kind="stable")
        return keys, checks
    order = np.argsort(keys, kind="stable")
    return keys[order], checks[order]


NO_CHECKS: Hashes = np.empty(0, dtype=U64)


@dataclass(slots=True)
class SeenIds:
    """The ids counted in the window, in buckets of append time, so that old ones can go."""

    buckets: dict[int, HashRuns] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets.values())

    def suspects(self, hashes: Hashes) -> NDArray[np.bool_]:
        """For each hash whether an id with this hash was counted, perhaps another id."""
        found = np.zeros(len(hashes), dtype=np.bool_)
        for bucket in self.buckets.values():
            found |= bucket.contains(hashes, NO_CHECKS)
        return found

    def add(self, hashes: Hashes, appended_at_ms: int) -> None:
        """Remember ids that were appended at this time, and forget what has left the window."""
        bucket = appended_at_ms // BUCKET_MS
        self.buckets.setdefault(bucket, HashRuns()).add(hashes, NO_CHECKS)
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
    days: dict[date, HashRuns] = field(default_factory=dict)

    def contains(self, day: date, keys: Hashes, checks: Hashes) -> NDArray[np.bool_]:
        """For each conversation whether it is known to have had a message that day."""
        runs = self.days.get(day)
        return np.zeros(len(keys), dtype=np.bool_) if runs is None else runs.contains(keys, checks)

    def add(self, day: date, keys: Hashes, checks: Hashes) -> None:
        """Remember conversations of a day."""
        self.days.setdefault(day, HashRuns()).add(keys, checks)

    def advance(self, today: date) -> None:
        """Keep today and yesterday; older days may stay while they are few."""
        self.complete_from = max(self.complete_from, today - timedelta(days=1))
        old = [day for day in self.days if day < self.complete_from]
        if sum(len(self.days[day]) for day in old) > _MAX_OLD_CONVERSATIONS:
            for day in old:
                del self.days[day]


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last record of a partition that left a row in the table."""

    offset: int
    appended_at_ms: int


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
