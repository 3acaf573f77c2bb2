"""How many requests a minute: fixed windows that begin with the first request.

The counting is the library's (`limits`), in the memory of this process.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage


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


def state_of_count(count: int, limit: int, reset_at: float, now: float) -> RateLimitState:
    """The state after the `count`-th request of a window that ends at `reset_at`."""
    reset = math.ceil(max(reset_at, now))
    return RateLimitState(
        limit=limit,
        remaining=max(0, limit - count),
        reset_at=reset,
        allowed=count <= limit,
        # Whole seconds from the whole second before now: never earlier than the reset.
        retry_after_s=max(1, reset - math.floor(now)),
    )


class RateLimiter:
    """Counts requests by identity. An identity is an id of ours, never a secret."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._storage = MemoryStorage()
        self._clock = clock

    async def hit(self, identity: str, rate_per_minute: int) -> RateLimitState:
        """Count a request and tell whether it is allowed."""
        item = RateLimitItemPerMinute(rate_per_minute)
        key = item.key_for(identity)
        # One counter, read as it is raised: concurrent requests see each its own number.
        count = await self._storage.incr(key, item.get_expiry())
        reset_at = await self._storage.get_expiry(key)
        return state_of_count(count, rate_per_minute, reset_at, self._clock())
