"""Who is let in: the key, its rate, its project and scope, checked in this order.

Ingest counts what a key writes besides: see `services/ingest/quota.py`.

A request without a valid key is counted by the address it comes from, one with a valid key by that
key, whatever else is wrong with it: nobody spends what belongs to a key without showing it. The
state of the limit is left in `request.state.rate_limit`, where the answer, also that of a problem,
takes its headers from.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from libs.access.api_keys import ActiveKey, Scope
from libs.access.authentication import bearer_token
from libs.access.callers import Caller
from libs.access.client_address import (
    Address,
    Network,
    client_address,
    is_in,
    neighbourhood,
    parse_address,
    wide_neighbourhood,
)
from libs.access.key_store import KeyStore
from libs.access.rate_limits import RateLimiter
from libs.access.windows import WINDOW_MS, Limit, RateLimitState
from libs.http.connections import count_for_project
from libs.http.headers import header_values
from libs.http.problems import Problem
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import RATE_LIMITED

_KEYS_RETRY_AFTER_S = 3
# Of the first requests each is looked at for a proxy that is not trusted, then one of so many: the
# look takes 1 µs and, where there is a proxy, 10 more; to count until the next one 0.1 µs.
_LOOKS = 256
_BY_KEY, _BY_ADDRESS, _BY_REQUESTS = (
    RATE_LIMITED.labels(limit) for limit in ("key", "address", "requests")
)

log = get_logger()

C = TypeVar("C", bound=Caller)


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute: of an address without key, and of a key that names no rate of its own.

    `per_key`: over all replicas; None: keys have no such rate. `per_key_here`: what one process
    takes of a key, whatever its own rate, by a sixth every ten seconds; 0: as many as come.
    """

    per_address: int
    per_key: int | None = None
    per_key_here: int = 0


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
        self._has_warned = False
        self._looks = self._until_look = 0

    async def admit(self, request: Request, project_id: str, scope: Scope) -> ActiveKey:
        """The key that the request shows, when it may do this."""
        token = bearer_token(header_values(request.scope, b"authorization"))
        key = None if token is None else self._keys.find(token, self._clock())
        if key is None:
            await self._limit_address(request, may_be_known=self._may_be_known(token))
            raise self._refusal(request, token)
        request.scope.setdefault("state", {})["key_id"] = key.id  # for the line in the log
        self._until_look -= 1
        if self._until_look < 0:
            self._look_for_proxy(request)
        self._limit_here(request, key)
        if self._rates.per_key is not None:
            await self._limit_key(request, key, self._rates.per_key)
        if (fault := request.scope["state"].get("fault")) is not None:  # of its head
            raise fault
        if key.project_id != project_id or scope not in key.scopes:
            raise Problem(
                403, "forbidden", f"The key needs the scope {scope.value} and this project."
            )
        return key

    async def look(self, request: Request) -> None:
        """Leave the state of the caller's limit for an answer that takes nothing of it."""
        token = bearer_token(header_values(request.scope, b"authorization"))
        key = None if token is None else self._keys.find(token, self._clock())
        if key is None:
            names = self._names(request)
            state = await self._limiter.take_address(names, self._rates.per_address, amount=0)
        elif self._rates.per_key is not None:
            state = await self._limiter.take(*_minute_of(key, self._rates.per_key), amount=0)
        else:
            return
        request.state.rate_limit = state._replace(allowed=True)

    def _may_be_known(self, token: str | None) -> bool:
        """Whether nobody can tell: the keys have not been read since the start, or for too long."""
        return token is not None and not self._keys.can_judge

    def _limit_here(self, request: Request, key: ActiveKey) -> None:
        """Count what this process takes of a key; raises the Problem of one too many."""
        if self._rates.per_key_here:
            limit = _here(key.id, self._rates.per_key_here)
            refused = self._limiter.refused_here(limit)
            if refused is not None:
                request.state.rate_limit = refused
                _BY_REQUESTS.inc()
                raise _too_many(refused)

    async def _limit_key(self, request: Request, key: ActiveKey, default: int) -> None:
        """Count a request by its key; raises the Problem of one too many."""
        state = await self._limiter.take(*_minute_of(key, default))
        request.state.rate_limit = state
        if not state.allowed:
            _BY_KEY.inc()
            raise _too_many(state)

    async def _limit_address(self, request: Request, *, may_be_known: bool) -> None:
        """Count a request by its address alone; raises the Problem of one too many."""
        rate = self._rates.per_address
        state = await self._limiter.take_address(self._names(request), rate)
        request.state.rate_limit = state
        if not (state.allowed or may_be_known):
            _BY_ADDRESS.inc()
            raise _too_many(state)

    def _names(self, request: Request) -> Iterator[str]:
        """By what an address is counted. Who shares the windows need not learn who called."""
        address = self.caller_address(request)
        for whom in (neighbourhood, wide_neighbourhood):
            yield f"address:{self._keys.pseudonym(whom(address))}"

    def caller_address(self, request: Request) -> Address | None:
        """Where the request comes from, as far as our own proxies tell."""
        peer = parse_address(request.client.host) if request.client else None
        forwarded_for = header_values(request.scope, b"x-forwarded-for")
        address = client_address(peer, forwarded_for, self._trusted_proxies)
        if forwarded_for and address is peer and not self._has_warned:
            self._warn_of_proxy(peer)
        return address

    def _look_for_proxy(self, request: Request) -> None:
        """See whether somebody forwards it: nobody asks for its address, if its events tell all."""
        self._looks += 1
        self._until_look = 0 if self._looks < _LOOKS else _LOOKS
        if header_values(request.scope, b"x-forwarded-for"):
            self.caller_address(request)

    def _warn_of_proxy(self, peer: Address | None) -> None:
        """Say once that somebody forwards requests whose word does not count: perhaps it should."""
        if peer is not None and not is_in(peer, self._trusted_proxies):
            self._has_warned = True
            log.warning("proxy.not_trusted", setting="RAGTIME_TRUSTED_PROXIES")

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
        if token is None:
            detail = "The header Authorization must be `Bearer <API key>`, once."
            return Problem(401, "invalid_key", detail, challenge)
        return Problem(401, "invalid_key", "The API key is not valid.", challenge)


def _minute_of(key: ActiveKey, default: int) -> tuple[str, int]:
    """By what a key's requests are counted over all replicas, and how many may come."""
    return f"key:{key.id}", default if key.rate_per_minute is None else key.rate_per_minute


@lru_cache(maxsize=4_096)
def _here(key_id: str, rate: int) -> Limit:
    """A sixth of the minute in ten seconds each: one window, and no minute spent at once."""
    return Limit(f"requests:{key_id}", max(1, rate // 6), WINDOW_MS // 6)


def _too_many(state: RateLimitState) -> Problem:
    detail = f"At most {state.limit.spelt('requests')}; come back in {state.retry_after_s} s."
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
        count_for_project(request.scope, key.project_id)
        return await self.route(request, self.caller(key))
