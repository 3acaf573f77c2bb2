"""How quickly what one key writes goes into the topic: evenly, not at once.

A partition is counted in order, so a burst is what everybody behind it waits for. What a key may
write in a minute is no burst if it comes evenly: of a large request the later parts wait, and so
does the next request of the same key; nobody else does. A key without a limit is not held back.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from libs.access.windows import Limit
from services.ingest.publisher import Line, size_of

# Units in a second (see quota.py): three times what a key may write on average, and so many for any
# key, as the largest request goes in two seconds then.
_LEAST_PER_S = 5_000
_MINUTES_A_SECOND = 3 / 60
# What goes at once: fewer would cost more records, more would be a burst.
_SLICE_UNITS = 500
_SLICE_BYTES = _SLICE_UNITS * 1024
# Keys of which it is known when they may go on; who has nothing to wait for is forgotten then.
_MOST_KEYS = 10_000


class Pace:
    """When each key may go on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    async def turn(self, limit: Limit, lines: Sequence[Line]) -> None:
        """Wait until these lines may go. `limit`: what their key may write in a minute."""
        wait_s = self.wait_s(limit, max(len(lines), sum(map(size_of, lines)) // 1024))
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def wait_s(self, limit: Limit, units: int) -> float:
        """Let so many units of a key go next; how long they have to wait, in seconds."""
        now = self._clock()
        start = max(now, self._due.get(limit.identity, now))
        if len(self._due) >= _MOST_KEYS:
            self._due = {key: due for key, due in self._due.items() if due > now}
        self._due[limit.identity] = start + units / max(
            _LEAST_PER_S, limit.most * _MINUTES_A_SECOND
        )
        return start - now


def slices(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """A request's lines in parts that may go at once, in order."""
    start, size_bytes = 0, 0
    for end, line in enumerate(lines):
        size_bytes += size_of(line)
        if end - start >= _SLICE_UNITS or size_bytes > _SLICE_BYTES:
            if end > start:
                yield lines[start:end]
            start, size_bytes = end, size_of(line)
    yield lines[start:]
