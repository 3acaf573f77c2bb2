"""How quickly what one key writes goes into the topic: evenly, not at once.

A partition is counted in order, so a burst is what everybody behind it waits for. What a key may
write in a minute is no burst if it comes evenly: of a large request the later parts wait, and so
does the next request of the same key; nobody else does. A key without a limit is not held back.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from libs.access.windows import Limit
from services.ingest.publisher import Line, size_of

# Units in a second (see quota.py): three times what a key may write on average, and so many for any
# key, as the largest request goes in two seconds then.
_LEAST_PER_S = 5_000
_TIMES_THE_AVERAGE = 3
# What goes at once is that of so long: less would cost more records, more would be a burst.
_SLICE_S = 1 / 12
_LEAST_SLICE = int(_LEAST_PER_S * _SLICE_S)
_UNIT_BYTES = 1024
# Keys of which it is known when they may go on; who has nothing to wait for is forgotten then.
_MOST_KEYS = 10_000


class Pace:
    """When each key may go on. A limit is what a key may write in a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def wait_s(self, limit: Limit, units: int) -> float:
        """Let so many units of a key go next; how long they have to wait, in seconds."""
        now, key = self._clock(), limit[0]
        start = max(now, self._due.get(key, now))
        if len(self._due) >= _MOST_KEYS:
            self._due = {key: due for key, due in self._due.items() if due > now}
        self._due[key] = start + units / _per_s(limit)
        return start - now


def slices(limit: Limit, units: int, lines: Sequence[Line]) -> Iterable[tuple[Sequence[Line], int]]:
    """The lines of a request of so many units in parts that may go at once, each with its units."""
    if units <= _LEAST_SLICE:
        return ((lines, units),)
    most = int(_per_s(limit) * _SLICE_S)
    return ((lines, units),) if units <= most else _cut(lines, most)


def _per_s(limit: Limit) -> float:
    return max(_LEAST_PER_S, limit.most * _TIMES_THE_AVERAGE / 60)


def _cut(lines: Sequence[Line], most: int) -> Iterator[tuple[Sequence[Line], int]]:
    start, size_bytes = 0, 0
    for end, line in enumerate(lines):
        its_bytes = size_of(line)
        if end > start and (end - start >= most or size_bytes + its_bytes > most * _UNIT_BYTES):
            yield lines[start:end], max(end - start, size_bytes // _UNIT_BYTES)
            start, size_bytes = end, 0
        size_bytes += its_bytes
    yield lines[start:], max(len(lines) - start, size_bytes // _UNIT_BYTES)
