"""How much in a minute: windows that begin with the first request, here or shared by replicas.

With a store (`shared_windows`) its windows count, and what they held last is remembered here. While
the store is away each process goes on from there by itself, and tells what it let through when the
store is back: N processes let through at most N times the limit, whatever the store forgot.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from libs.telemetry.metrics import RATE_LIMIT_STORE_FAILURES

WINDOW_MS = 60_000
# Strangers choose their addresses, so the number of windows in memory has a bound.
_MAX_WINDOWS = 100_000


@dataclass(frozen=True, slots=True)
class Count:
    """What a window holds after it was asked, by the clock that ends it."""

    taken: int
    reset_ms: int
    now_ms: int
    allowed: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What this process knows of a window; `untold`: how much of `taken` the store does not."""

    taken: int = 0
    untold: int = 0
    reset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """May this identity take so much more?"""

    identity: str
    limit: int
    amount: int
    known: Known


class StoreAwayError(Exception):
    """The shared windows do not answer in time."""


class Store(Protocol):
    """Windows that all replicas share."""

    async def take(self, ask: Ask) -> Count:
        """Take, or refuse. Raises StoreAwayError soon when the store does not answer."""


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """What one request found. `reset_at`: Unix seconds when the window ends, rounded up."""

    limit: int
    remaining: int
    reset_at: int
    allowed: bool
    retry_after_s: int

    def headers(self) -> dict[str, str]:
        """What every answer tells; a refusal also tells when to come back."""
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
        }
        if not self.allowed:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers


def state_of(count: Count, limit: int) -> RateLimitState:
    """What a caller is told. The limit may have changed since the window began."""
    reset_at = -(-max(count.reset_ms, count.now_ms) // 1000)
    return RateLimitState(
        limit=limit,
        remaining=max(0, limit - count.taken),
        reset_at=reset_at,
        allowed=count.allowed,
        # Whole seconds from the whole second before now: never earlier than the reset.
        retry_after_s=max(1, reset_at - count.now_ms // 1000),
    )


@dataclass(slots=True)
class _Window:
    taken: int
    reset_ms: int
    untold: int = 0


class Windows:
    """The windows of this process. They end nearly in the order in which they began."""

    def __init__(self, max_windows: int = _MAX_WINDOWS) -> None:
        self._windows: dict[str, _Window] = {}
        self._max_windows = max_windows

    def take(self, identity: str, limit: int, amount: int, now_ms: int) -> Count:
        """Take, or refuse and take nothing."""
        window = self._windows.get(identity)
        if window is None or window.reset_ms <= now_ms:
            window = self._begin(identity, now_ms, _Window(0, now_ms + WINDOW_MS))
        allowed = window.taken + amount <= limit
        if allowed:
            window.taken += amount
            window.untold += amount
        return Count(window.taken, window.reset_ms, now_ms, allowed)

    def hand_over(self, identity: str, now_ms: int) -> Known:
        """What the store has to be told; it is told once."""
        window = self._windows.get(identity)
        if window is None or window.reset_ms <= now_ms:
            return Known()
        known = Known(window.taken, window.untold, window.reset_ms)
        window.untold = 0
        return known

    def take_back(self, identity: str, known: Known) -> None:
        """The store could not be told."""
        window = self._windows.get(identity)
        if window is not None and window.reset_ms == known.reset_ms:
            window.untold += known.untold

    def note(self, identity: str, count: Count) -> None:
        """Remember what the store's window holds: this process may have to go on from there."""
        window = self._windows.get(identity)
        if window is None or window.reset_ms != count.reset_ms:
            self._begin(identity, count.now_ms, _Window(count.taken, count.reset_ms))
        else:
            window.taken = max(window.taken, count.taken)

    def _begin(self, identity: str, now_ms: int, window: _Window) -> _Window:
        windows = self._windows
        windows.pop(identity, None)
        while windows:
            oldest = next(iter(windows))
            if windows[oldest].reset_ms > now_ms and len(windows) < self._max_windows:
                break
            del windows[oldest]
        windows[identity] = window
        return window


class RateLimiter:
    """Counts by identity. An identity is an id or a digest of ours, never a secret."""

    def __init__(self, store: Store | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._windows = Windows()
        self._store_is_ahead_ms = 0

    async def take(self, identity: str, limit: int, amount: int = 1) -> RateLimitState:
        """Take so much of the minute, or nothing where it would be too much."""
        if self._store is not None:
            try:
                return state_of(
                    await self._take_shared(self._store, identity, limit, amount), limit
                )
            except StoreAwayError:
                RATE_LIMIT_STORE_FAILURES.inc()
        return state_of(self._windows.take(identity, limit, amount, self._now_ms()), limit)

    async def _take_shared(self, store: Store, identity: str, limit: int, amount: int) -> Count:
        known = self._windows.hand_over(identity, self._now_ms())
        try:
            count = await store.take(Ask(identity, limit, amount, known))
        except StoreAwayError:
            self._windows.take_back(identity, known)
            raise
        self._store_is_ahead_ms = count.now_ms - int(self._clock() * 1000)
        self._windows.note(identity, count)
        return count

    def _now_ms(self) -> int:
        """By the store's clock as it was seen last, so that a window ends once for all."""
        return int(self._clock() * 1000) + self._store_is_ahead_ms
