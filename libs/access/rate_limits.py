"""How much in a minute: windows that begin with the first request, here or shared by replicas.

With a store (`shared_windows`) its windows count, and what they held last is remembered here. While
the store is away each process goes on from there by itself, and tells what it let through when the
store is back: N processes let through at most N times the limit, whatever the store forgot.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from libs.access.windows import Count, Known, Limit, RateLimitState, Windows
from libs.telemetry.metrics import RATE_LIMIT_STORE_FAILURES

# Strangers choose their addresses. Where as many are known as may be, the next is counted with its
# neighbourhood, and where even those are too many with everybody who is left.
_MAX_ADDRESSES = 50_000
_MAX_NEIGHBOURHOODS = 10_000
_EVERYBODY_ELSE = "address:elsewhere"


class Ask(NamedTuple):
    """What is wanted of a window, and what this process knows of it."""

    limit: Limit
    amount: int = 1
    fee: int = 0
    known: Known = Known()


class StoreAwayError(Exception):
    """The shared windows do not answer in time."""


class Store(Protocol):
    """Windows that all replicas share."""

    async def take(self, asks: Sequence[Ask]) -> Sequence[Count]:
        """Take all amounts, or of each its fee. Raises StoreAwayError soon when it is away."""


class RateLimiter:
    """Counts by identity. An identity is an id or a digest of ours, never a secret.

    Keys and addresses have windows of their own: however many strangers ask, no key's is forgotten.
    """

    def __init__(self, store: Store | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._keys = Windows()
        self._addresses = (Windows(_MAX_ADDRESSES), Windows(_MAX_NEIGHBOURHOODS), Windows())
        self._store_is_ahead_ms = 0

    async def take(self, identity: str, most: int, amount: int = 1) -> RateLimitState:
        """Take of a key's minute; an amount of 0 tells how it stands."""
        return await self.take_all((Limit(identity, most),), amount)

    def take_all(
        self, limits: Sequence[Limit], amount: int = 1, fee: int = 0
    ) -> Awaitable[RateLimitState]:
        """Take of several windows of a key, or of each the fee where one has no room.

        The state is that of the first of them, or of the first that refused.
        """
        return self._take(self._keys, limits, amount, fee)

    def take_here(self, limits: Sequence[Limit], amount: int, fee: int) -> RateLimitState | None:
        """The same without waiting; None where a store has to be asked."""
        return None if self._store else self._keys.take(limits, amount, fee, self._now_ms())

    async def take_address(
        self, names: Iterable[str], most: int, amount: int = 1
    ) -> RateLimitState:
        """Count requests of a stranger. `names`: its address's, then its neighbourhood's."""
        now_ms = self._now_ms()
        for windows, name in zip(self._addresses, chain(names, (_EVERYBODY_ELSE,)), strict=False):
            if windows.has_room(name, now_ms):
                return await self._take(windows, (Limit(name, most),), amount, 0)
        raise AssertionError("the last of them has room for everybody")

    def refused_here(self, limit: Limit) -> RateLimitState | None:
        """Take one of a key's window in this process, whatever others let through.

        Its state where it had no room for that, else None.
        """
        return self._keys.take_one(limit, self._now_ms())

    def used_up(self, limits: Sequence[Limit]) -> RateLimitState | None:
        """A window of a key of which nothing is left, as far as is known without asking.

        Another replica may have taken the last of it: what is not used up here may be all the same.
        """
        return self._keys.used_up(limits, self._now_ms())

    async def _take(
        self, windows: Windows, limits: Sequence[Limit], amount: int, fee: int
    ) -> RateLimitState:
        if self._store is not None:
            try:
                counts = await self._take_shared(self._store, windows, limits, amount, fee)
            except StoreAwayError:
                RATE_LIMIT_STORE_FAILURES.inc()
            else:
                states = [
                    RateLimitState(limit, *count)
                    for limit, count in zip(limits, counts, strict=True)
                ]
                return next((state for state in states if not state.allowed), states[0])
        return windows.take(limits, amount, fee, self._now_ms())

    async def _take_shared(
        self, store: Store, windows: Windows, limits: Sequence[Limit], amount: int, fee: int
    ) -> Sequence[Count]:
        now_ms = self._now_ms()
        asks = [
            Ask(limit, amount, fee, windows.hand_over(limit.identity, now_ms)) for limit in limits
        ]
        try:
            counts = await store.take(asks)
        except StoreAwayError:
            for ask in asks:
                windows.take_back(ask.limit.identity, ask.known)
            raise
        self._store_is_ahead_ms = counts[0].now_ms - int(self._clock() * 1000)
        for limit, count in zip(limits, counts, strict=True):
            windows.note(limit.identity, count)
        return counts

    def _now_ms(self) -> int:
        """By the store's clock as it was seen last, so that a window ends once for all."""
        return int(self._clock() * 1000) + self._store_is_ahead_ms
