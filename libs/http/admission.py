"""Who is let in: the key, its rate, its project and scope, checked in this order.

A request without a valid key is counted by the address it comes from, one with a valid key by that
key, whatever else is wrong with it: nobody spends what belongs to a key without showing it. The
state of the limit is left in `request.state.rate_limit`, where the answer, also that of a problem,
takes its headers from.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from libs.access.api_keys import ActiveKey, Scope
from libs.access.authentication import bearer_token
from libs.access.callers import Caller
from libs.access.client_address import Address, Network, client_address, neighbourhood
from libs.access.key_store import KeyStore
from libs.access.rate_limits import RateLimiter, RateLimitState
from libs.http.headers import header_values
from libs.http.problems import Problem
from libs.telemetry.metrics import RATE_LIMITED

_KEYS_RETRY_AFTER_S = 3
_BY_KEY, _BY_ADDRESS, _BY_EVENTS = (
    RATE_LIMITED.labels(limit) for limit in ("key", "address", "events")
)

C = TypeVar("C", bound=Caller)


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute: of an address without key, and of a key that names no rate of its own.

    `per_key` None: requests with a key are not limited by their number.
    """

    per_address: int
    per_key: int | None = None


class Admission:
    """Checks the caller of a request, or raises the Problem that answers it."""

    def __init__(
        self,
        keys: KeyStore,
        limiter: RateLimiter,
        rates: Rates,
        trusted_proxies: Sequence[Network],
        clock: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._limiter = limiter
        self._rates = rates
        self._trusted_proxies = tuple(trusted_proxies)
        self._clock = clock

    async def admit(self, request: Request, project_id: str, scope: Scope) -> ActiveKey:
        """The key that the request shows, when it may do this."""
        token = bearer_token(header_values(request.scope, b"authorization"))
        key = None if token is None else self._keys.find(token, self._clock())
        if key is None:
            await self._limit_address(request, may_be_known=self._may_be_known(token))
            raise self._refusal(request, token)
        if self._rates.per_key is not None:
            rate = self._rates.per_key if key.rate_per_minute is None else key.rate_per_minute
            state = await self._count(request, f"key:{key.id}", rate)
            if not state.allowed:
                _BY_KEY.inc()
                raise _too_many(rate, state)
        if key.project_id != project_id or scope not in key.scopes:
            raise Problem(
                403, "forbidden", f"The key needs the scope {scope.value} and this project."
            )
        return key

    def _may_be_known(self, token: str | None) -> bool:
        """Whether nobody can tell: the keys have not been read since the start, or for too long."""
        return token is not None and not self._keys.can_judge

    async def _limit_address(self, request: Request, *, may_be_known: bool) -> None:
        """Count a request by its address alone; raises the Problem of one too many."""
        # Who shares the windows need not learn who called.
        caller = self._keys.pseudonym(neighbourhood(self.caller_address(request)))
        rate = self._rates.per_address
        state = await self._count(request, f"address:{caller}", rate)
        if not (state.allowed or may_be_known):
            _BY_ADDRESS.inc()
            raise _too_many(rate, state)

    async def limit_events(self, request: Request, key: ActiveKey, events: int) -> None:
        """Count the events of a request, all or none; raises the Problem of too many."""
        limit = key.events_per_minute
        if limit is None:
            return
        if events > limit:
            raise Problem(
                413,
                "too_many_events",
                f"The key may write {limit} events a minute; a request cannot bring {events}.",
            )
        state = await self._limiter.take(f"events:{key.id}", limit, events)
        if not state.allowed:
            _BY_EVENTS.inc()
            request.state.rate_limit = state
            raise Problem(
                429,
                "rate_limited",
                f"At most {limit} events a minute, of which {state.remaining} are left;"
                f" come back in {state.retry_after_s} s.",
            )

    def caller_address(self, request: Request) -> Address | None:
        """Where the request comes from, as far as our own proxies tell."""
        return client_address(
            request.client.host if request.client else None,
            header_values(request.scope, b"x-forwarded-for"),
            self._trusted_proxies,
        )

    def _refusal(self, request: Request, token: str | None) -> Problem:
        challenge = {"WWW-Authenticate": "Bearer"}
        if not header_values(request.scope, b"authorization"):
            detail = "The request needs the header `Authorization: Bearer <API key>`."
            return Problem(401, "missing_key", detail, challenge)
        if self._may_be_known(token):
            return Problem(
                503,
                "unavailable",
                "API keys cannot be checked at the moment.",
                {"Retry-After": str(_KEYS_RETRY_AFTER_S)},
            )
        return Problem(401, "invalid_key", "The API key is not valid.", challenge)

    async def _count(self, request: Request, identity: str, rate: int) -> RateLimitState:
        state = await self._limiter.take(identity, rate)
        request.state.rate_limit = state
        return state


def _too_many(rate: int, state: RateLimitState) -> Problem:
    detail = f"At most {rate} requests a minute; come back in {state.retry_after_s} s."
    return Problem(429, "rate_limited", detail)


@dataclass(frozen=True)
class Guarded(Generic[C]):
    """A route behind admission: the kind of caller that its signature names is let in, no other."""

    admission: Admission
    caller: type[C]
    route: Callable[[Request, C], Awaitable[Response]]

    async def answer(self, request: Request) -> Response:
        """The endpoint."""
        project_id = request.path_params["projectId"]
        key = await self.admission.admit(request, project_id, self.caller.scope)
        return await self.route(request, self.caller(key))
