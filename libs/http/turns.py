"""Whose bytes are read next: some connections of an address in each turn of the event loop.

What comes in hundreds of connections at once would be read and answered in one turn, and whoever
else has sent something would wait for all of it. The rest of an address waits for the next turns.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

# A turn of its own costs less than a tenth of a request. As many as this answered one after another
# take milliseconds.
_READS_IN_A_TURN = 8


class Turns:
    """Reads of all connections of a process, by who holds them."""

    def __init__(self) -> None:
        self._reads: dict[Hashable, int] = {}  # in this turn
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}
        self._ends = False  # whether the end of this turn is on its way

    def try_to_take(self, holder: Hashable) -> bool:
        """Whether this holder may read in this turn; if so, it counts."""
        self._end_soon()
        reads = self._reads.get(holder, 0)
        if reads >= _READS_IN_A_TURN:
            return False
        self._reads[holder] = reads + 1
        return True

    def wait(self, holder: Hashable, read: Callable[[], None]) -> None:
        """Call this in a later turn, after those that wait already."""
        self._waiting.setdefault(holder, deque()).append(read)

    def _end_soon(self) -> None:
        if not self._ends:
            self._ends = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._ends = False
        self._reads.clear()
        try:
            for holder, waiting in list(self._waiting.items()):
                self._reads[holder] = reads = min(len(waiting), _READS_IN_A_TURN)
                for _ in range(reads):
                    waiting.popleft()()
                if not waiting:
                    del self._waiting[holder]
        finally:  # a read that meets a bug keeps the others waiting for a turn, not for ever
            if self._reads:
                self._end_soon()
