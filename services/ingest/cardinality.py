"""How many different keys a project may have of a category on a day; the others count as `other`.

Each key makes rows in the rollup, which live for ever: a producer that made a new one with each
event would slow down everybody. What is seen is remembered by this process alone, so several let
through as many each, and so does a new one. That bounds the rollup all the same, and nothing has to
be looked up. What was decided goes with the event.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from sys import getsizeof

from libs.telemetry.metrics import OTHER_KEYS

# Of one category of a project and day: a set while there are few, then a Bloom filter.
_FEW = 1_000
_BITS_A_KEY = 16
_PROBES = 4
_LOW = 0xFFFFFFFF
_BYTES_A_KEY = 40  # in a set, beside its own
_BYTES_A_SCOPE = 600

# Project, mode, category, and the day on which the event occurred.
Scope = tuple[str, bool, str, int]


@dataclass(slots=True)
class _Seen:
    """The keys of a scope. Many go by Python's own hash: no producer knows its seed."""

    count: int = 0
    size_bytes: int = _BYTES_A_SCOPE
    few: set[str] = field(default_factory=set)
    bits: bytearray | None = None

    def holds(self, key: str) -> bool:
        """Whether it was added, or, of many, looks as if."""
        bits = self.bits
        if bits is None:
            return key in self.few
        size = len(bits) * 8
        place, step = _place_and_step(key)
        for _ in range(_PROBES):  # the first of them tells of most that were not added
            at = place % size
            if not bits[at >> 3] >> (at & 7) & 1:
                return False
            place += step
        return True

    def add(self, key: str, most: int) -> int:
        """Add a key; how much more memory it takes then, in bytes."""
        before = self.size_bytes
        self.count += 1
        if self.bits is not None:
            self._mark(self.bits, key)
            return 0
        self.few.add(key)
        self.size_bytes += _BYTES_A_KEY + getsizeof(key)
        if len(self.few) > _FEW:
            self.bits = bytearray(most * _BITS_A_KEY // 8)
            for one in self.few:
                self._mark(self.bits, one)
            self.few = set()
            self.size_bytes = _BYTES_A_SCOPE + len(self.bits)
        return self.size_bytes - before

    @staticmethod
    def _mark(bits: bytearray, key: str) -> None:
        size = len(bits) * 8
        place, step = _place_and_step(key)
        for _ in range(_PROBES):
            at = place % size
            bits[at >> 3] |= 1 << (at & 7)
            place += step


def _place_and_step(key: str) -> tuple[int, int]:
    hashed = hash(key)
    return hashed & _LOW, hashed >> 32 | 1


class Cardinality:
    """Decides which keys count by their name.

    `max_keys`: of a category, for a project and day. `max_bytes`: about what may be remembered; the
    scopes that were not used for longest are forgotten beyond it, and may have as many again.
    """

    def __init__(self, max_keys: int, max_bytes: int) -> None:
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        # What was used since the last turn, and before: to order all by their use costs more.
        self._new: dict[Scope, _Seen] = {}
        self._old: dict[Scope, _Seen] = {}
        self._new_bytes = 0

    def others(self, scope: Scope, keys: Collection[str]) -> tuple[str, ...]:
        """Those of these keys that count as `other`, each once."""
        seen = self._new.get(scope) or self._seen(scope)
        if seen.few.issuperset(keys):  # as a rule
            return ()
        others: dict[str, None] = {}
        for key in keys:
            if seen.holds(key):
                continue
            if seen.count < self._max_keys:
                self._new_bytes += seen.add(key, self._max_keys)
            else:
                others[key] = None
        if others:
            OTHER_KEYS.labels(scope[2]).inc(len(others))
        return tuple(others)

    def _seen(self, scope: Scope) -> _Seen:
        if self._new_bytes > self._max_bytes // 2:
            self._old, self._new, self._new_bytes = self._new, {}, 0
        seen = self._old.pop(scope, None) or _Seen()
        self._new_bytes += seen.size_bytes
        self._new[scope] = seen
        return seen
