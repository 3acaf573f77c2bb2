"""Room for what is large and in memory at the same time: bodies that come, answers that go.

A large body takes a place before it is read, by the size that it announces, and keeps it until
Kafka has its events. A large answer keeps its place until it has been read. Who finds no room waits
in order. Small ones take none: their number is that of the connections.
"""

import asyncio
from collections import deque

from libs.http.problems import Problem

_RETRY_AFTER_S = "3"
OVERLOADED = "Too many large requests or answers are on their way; send this request again."


class Room:
    """A number of bytes, and who waits for some of them."""

    def __init__(self, max_bytes: int, max_waiting: int, wait_s: float) -> None:
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._taken_bytes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, size_bytes: int) -> None:
        """Take a place, at once or in turn. Raises a Problem when that takes too long.

        The last one to find room may need more than there is: else a large one might never get in.
        """
        try:
            if self._waiting or self._taken_bytes >= self._max_bytes:
                await self._wait()
            self._taken_bytes += size_bytes
        finally:
            self._call_next()

    def leave(self, size_bytes: int) -> None:
        """Give a place back, and let the next in."""
        self._taken_bytes -= size_bytes
        self._call_next()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise _overloaded()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            raise _overloaded() from None
        finally:
            self._waiting.remove(turn)

    def _call_next(self) -> None:
        """Wake the first of those who wait; it calls the next itself, whether it got in or not."""
        if self._waiting and self._taken_bytes < self._max_bytes and not self._waiting[0].done():
            self._waiting[0].set_result(None)


class Place:
    """What one request has taken of the room."""

    __slots__ = ("_room", "size_bytes")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size_bytes = 0

    async def take(self, size_bytes: int) -> None:
        """Get in, once: who is in already never waits again, or all might wait for each other."""
        if not self.size_bytes:
            await self._room.enter(size_bytes)
            self.size_bytes = size_bytes

    def resize(self, size_bytes: int) -> None:
        """Say what is really held, when it is known; it may be more than was taken."""
        self._room.leave(self.size_bytes - size_bytes)
        self.size_bytes = size_bytes

    def leave(self) -> None:
        """Get out."""
        if self.size_bytes:
            self.resize(0)


def _overloaded() -> Problem:
    return Problem(
        503,
        "overloaded",
        OVERLOADED,
        {"Retry-After": _RETRY_AFTER_S},
    )
