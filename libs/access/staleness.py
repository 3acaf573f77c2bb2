"""How long what a service holds has not been read again, and what follows from that. Pure."""

import math
from collections.abc import Callable

from libs.settings import AccessSettings

# A service that is not ready gets no new requests from a load balancer; what comes all the same is
# refused when the keys have not been read for so many times as long.
_REFUSES_AFTER = 10


class Staleness:
    """Notes each attempt to read. `clock`: seconds that never go back."""

    def __init__(self, settings: AccessSettings, clock: Callable[[], float]) -> None:
        self._max_unread_s = settings.max_unread_s
        self._max_outage_s = settings.max_outage_s
        self._clock = clock
        self._read_at: float | None = None
        self._refused_since: float | None = None
        self._fresh_until = self._bearable_until = math.inf

    def read(self) -> None:
        """The last attempt succeeded."""
        self._read_at = self._clock()
        self._refused_since = None
        self._reckon()

    def failed(self, *, answers: bool) -> None:
        """The last attempt failed. `answers`: whether the server answered something else then."""
        if not answers:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = self._clock()
        self._reckon()

    def _reckon(self) -> None:
        """Until when it lasts, unless it is read before: each request asks that."""
        borne_until = math.inf if self._read_at is None else self._read_at + self._max_outage_s
        since = math.inf if self._refused_since is None else self._refused_since
        self._fresh_until = min(borne_until, since + self._max_unread_s)
        self._bearable_until = min(borne_until, since + self._max_unread_s * _REFUSES_AFTER)

    @property
    def age_s(self) -> float | None:
        """Since the last attempt that succeeded; None before the first."""
        return None if self._read_at is None else self._clock() - self._read_at

    @property
    def is_fresh(self) -> bool:
        """Whether what is held may be shown as what there is."""
        return self._clock() < self._fresh_until

    @property
    def is_bearable(self) -> bool:
        """Whether it may still be judged by what is held."""
        return self._clock() < self._bearable_until
