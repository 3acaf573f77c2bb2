"""Sessions of HTTP clients: a handle that goes from one request to the next, for one at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from deploy.local.gateway.errors import SESSION_IS_LOCKED, SESSION_NOT_FOUND, ServerError
from deploy.local.gateway.handles import Handle
from deploy.local.gateway.parameters import Session

Close = Callable[[Handle], Awaitable[None]]


class Sessions:
    """The sessions of all users, until nobody has used one for its time."""

    def __init__(self, close: Close) -> None:
        self._close = close
        self._handles: dict[tuple[str, str], Handle] = {}
        self._locked: set[tuple[str, str]] = set()
        self._ends: dict[tuple[str, str], asyncio.Task[None]] = {}

    @asynccontextmanager
    async def held(
        self, user: str, session: Session, open_one: Callable[[], Awaitable[Handle]]
    ) -> AsyncIterator[Handle]:
        """The handle of a session, which no other request gets meanwhile.

        Raises ServerError: 373 when another one has it, 372 when it must exist and does not.
        """
        key = (user, session.name)
        if key in self._locked:
            raise ServerError(
                SESSION_IS_LOCKED, f"Session {session.name} is locked by a concurrent client"
            )
        if session.must_exist and key not in self._handles:
            raise ServerError(SESSION_NOT_FOUND, f"Session {session.name} not found")
        self._locked.add(key)
        try:
            self._stop_clock(key)
            if key not in self._handles:
                self._handles[key] = await open_one()
            yield self._handles[key]
        finally:
            self._locked.discard(key)
            if key in self._handles:
                delay_s = 0 if session.closes else session.timeout_s
                self._ends[key] = asyncio.create_task(self._end(key, delay_s))

    async def close_all(self) -> None:
        """Give all handles back."""
        for key in list(self._handles):
            self._stop_clock(key)
            await self._close(self._handles.pop(key))

    async def _end(self, key: tuple[str, str], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        del self._ends[key]
        await self._close(self._handles.pop(key))

    def _stop_clock(self, key: tuple[str, str]) -> None:
        if (ending := self._ends.pop(key, None)) is not None:
            ending.cancel()
