"""How long what a service holds has not been read again, and what follows from that. Pure."""

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

    def read(self) -> None:
        """The last attempt succeeded."""
        self._read_at = self._clock()
        self._refused_since = None

    def failed(self, *, answers: bool) -> None:
        """The last attempt failed. `answers`: whether the server answered something else then."""
        if not answers:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = self._clock()

    @property
    def age_s(self) -> float | None:
        """Since the last attempt that succeeded; None before the first."""
        return None if self._read_at is None else self._clock() - self._read_at

    @property
    def is_fresh(self) -> bool:
        """Whether what is held may be shown as what there is."""
        return self._is_within(self._max_unread_s)

    @property
    def is_bearable(self) -> bool:
        """Whether it may still be judged by what is held."""
        return self._is_within(self._max_unread_s * _REFUSES_AFTER)

    def _is_within(self, max_refused_s: float) -> bool:
        since = self._refused_since
        if since is not None and self._clock() - since >= max_refused_s:
            return False
        return (self.age_s or 0.0) < self._max_outage_s
