"""How much a key may write: events by the minute, and no more than a tenth of them at once.

An event counts one, and so does each KiB of an unpacked body where that is more. What is refused
counts as well, by the KiB that were received or unpacked to find that out: else a caller could have
us unpack and read for nothing as often as he likes.
"""

from collections.abc import Sequence

from starlette.requests import Request

from libs.access.api_keys import NO_LIMIT, ActiveKey
from libs.access.rate_limits import RateLimiter
from libs.access.windows import Limit, RateLimitState, minute_and_burst
from libs.http.problems import Problem
from libs.telemetry.metrics import RATE_LIMITED
from services.ingest.bodies import Received

_REFUSED = RATE_LIMITED.labels("events")


class WriteQuota:
    """Limits of events. `default`: of keys that name none, 0 for no limit; `largest`: units that
    one request may bring.
    """

    def __init__(self, limiter: RateLimiter, default: int, largest: int) -> None:
        self._limiter = limiter
        self._default = default or NO_LIMIT
        self._least_burst = largest

    def limits_of(self, key: ActiveKey) -> Sequence[Limit]:
        """The windows that a key's events are counted in; none where it has no limit."""
        most = self._default if key.events_per_minute is None else key.events_per_minute
        if most == NO_LIMIT:
            return ()
        return minute_and_burst("events", key.id, most, self._least_burst)

    def check(self, request: Request, limits: Sequence[Limit]) -> None:
        """Before a body is read: raises the Problem of a key that has nothing left."""
        state = self._limiter.used_up(limits)
        if state is not None:
            raise _refusal(request, state)

    async def take(
        self, request: Request, limits: Sequence[Limit], events: int, received: Received
    ) -> RateLimitState | None:
        """Count a request's events, all or none; raises the Problem of too many.

        What is left of the minute goes with the answer, whatever that will be.
        """
        if not limits:
            return None
        kib = received.kib
        units = max(events, kib)
        if units > limits[0].most:
            await self.charge(request, limits, received)
            raise Problem(413, "too_many_events", _too_large(limits[0].most, events, kib))
        state = self._limiter.take_here(limits, units, kib)
        if state is None:
            state = await self._limiter.take_all(limits, units, kib)
        if not state.allowed:
            raise _refusal(request, state)
        return _tell(request, state)

    async def charge(self, request: Request, limits: Sequence[Limit], received: Received) -> None:
        """Count a request that is refused, as far as there is something left."""
        if limits:
            state = await self._limiter.take_all(limits, received.kib, received.kib)
            _tell(request, state._replace(allowed=True))


def _tell(request: Request, state: RateLimitState) -> RateLimitState:
    """Leave it where the answer takes it from (`request.state`, which costs more to ask)."""
    request.scope.setdefault("state", {})["rate_limit"] = state
    return state


def _refusal(request: Request, state: RateLimitState) -> Problem:
    _REFUSED.inc()
    _tell(request, state)
    return Problem(
        429,
        "rate_limited",
        f"At most {state.limit.spelt('events')}, of which {state.remaining} are left;"
        f" come back in {state.retry_after_s} s.",
    )


def _too_large(limit: int, events: int, kib: int) -> str:
    may = f"The key may write {limit} events a minute"
    if events > limit:
        return f"{may}; a request cannot bring {events}."
    return f"{may}, and each KiB of a body counts as one; a request cannot bring {kib} KiB."
