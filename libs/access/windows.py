"""Windows of the rate limits in the memory of this process: how much of each is taken. Pure.

A window begins with the first request in it. What is known of one lives until it ends, and no
stranger can push it out: where there is no room for another one, it is not begun (`has_room`).
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

WINDOW_MS = 60_000
BURST_MS = 5_000
# Windows end nearly in the order in which they began; to look at the first of them each time would
# cost more than all else.
_SWEEP_MS = 1_000


class Limit(NamedTuple):
    """So much in a window of so long, for one identity."""

    identity: str
    most: int
    length_ms: int = WINDOW_MS

    def spelt(self, what: str) -> str:
        """For people: so much of what in which time."""
        window = "a minute" if self.length_ms == WINDOW_MS else f"in {self.length_ms // 1000} s"
        return f"{self.most} {what} {window}"


@lru_cache(maxsize=4_096)
def minute_and_burst(kind: str, key_id: str, limit: int, least_burst: int) -> tuple[Limit, ...]:
    """So much in a minute, and no more than a tenth of it in five seconds.

    `least_burst`: what may always be taken at once; where that is the whole limit there is no
    window of five seconds.
    """
    identity = f"{kind}:{key_id}"
    minute, burst = Limit(identity, limit), max(least_burst, limit // 10)
    if burst >= limit:
        return (minute,)
    return minute, Limit(f"{identity}:burst", burst, BURST_MS)


class Count(NamedTuple):
    """What a window holds after it was asked, by the clock that ends it.

    `allowed`: whether it had room, whatever others said that were asked with it.
    """

    taken: int
    reset_ms: int
    now_ms: int
    allowed: bool


class RateLimitState(NamedTuple):
    """What one request found: a limit, and what its window held after it, as a `Count` tells."""

    limit: Limit
    taken: int
    reset_ms: int
    now_ms: int
    allowed: bool

    @property
    def remaining(self) -> int:
        """What is left. The limit may have changed since the window began."""
        return max(0, self.limit.most - self.taken)

    @property
    def reset_at(self) -> int:
        """Unix seconds when the window ends, rounded up."""
        return -(-max(self.reset_ms, self.now_ms) // 1000)

    @property
    def retry_after_s(self) -> int:
        """Whole seconds from the whole second before now: never earlier than the reset."""
        return max(1, self.reset_at - self.now_ms // 1000)

    def headers(self) -> dict[str, str]:
        """What every answer tells; a refusal also tells when to come back."""
        headers = {
            "X-RateLimit-Limit": str(self.limit.most),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
        }
        if not self.allowed:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The same as bytes, for an answer that is made without more."""
        return [
            (b"x-ratelimit-limit", b"%d" % self.limit.most),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset_at),
        ]


class Known(NamedTuple):
    """What this process knows of a window; `untold`: how much of `taken` the store does not."""

    taken: int = 0
    untold: int = 0
    reset_ms: int = 0


class _Window:
    __slots__ = ("reset_ms", "taken", "untold")

    def __init__(self, taken: int, reset_ms: int) -> None:
        self.taken = taken
        self.reset_ms = reset_ms
        self.untold = 0


class Windows:
    """By identity. `max_windows` None: as many as there are identities that somebody gave out."""

    def __init__(self, max_windows: int | None = None) -> None:
        self._windows: dict[str, _Window] = {}
        self._max_windows = max_windows
        self._swept_ms = 0

    def __len__(self) -> int:
        return len(self._windows)

    def has_room(self, identity: str, now_ms: int) -> bool:
        """Whether this identity has a window, or may have one."""
        self._forget_ended(now_ms)
        return (
            identity in self._windows
            or self._max_windows is None
            or len(self._windows) < self._max_windows
        )

    def take(self, limits: Sequence[Limit], amount: int, fee: int, now_ms: int) -> RateLimitState:
        """Take the amount of all windows, or the fee of each where one has no room for it.

        What a refusal costs us is the caller's as well: else he could be refused as often as he
        likes. A fee is no more than what is left. The state is that of the first window, or of the
        first that had no room.
        """
        opened = []
        refused = -1
        for place, limit in enumerate(limits):
            window = self._opened(limit, now_ms)
            if window.taken + amount > limit[1] and refused < 0:
                refused = place
            opened.append(window)
        if refused >= 0:
            _charge(limits, opened, fee)
            window = opened[refused]
            return RateLimitState(limits[refused], window.taken, window.reset_ms, now_ms, False)
        for window in opened:
            window.taken += amount
            window.untold += amount
        window = opened[0]
        return RateLimitState(limits[0], window.taken, window.reset_ms, now_ms, True)

    def take_one(self, limit: Limit, now_ms: int) -> RateLimitState | None:
        """Take one of a window; its state where it had no room for that, else None."""
        window = self._opened(limit, now_ms)
        if window.taken >= limit[1]:
            return RateLimitState(limit, window.taken, window.reset_ms, now_ms, allowed=False)
        window.taken += 1
        window.untold += 1
        return None

    def used_up(self, limits: Sequence[Limit], now_ms: int) -> RateLimitState | None:
        """The state of the first window of which nothing is left, or None."""
        for limit in limits:
            window = self._windows.get(limit[0])
            if window is not None and window.taken >= limit[1] and window.reset_ms > now_ms:
                return RateLimitState(limit, window.taken, window.reset_ms, now_ms, allowed=False)
        return None

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
            self._begin(identity, _Window(count.taken, count.reset_ms), count.now_ms)
        else:
            window.taken = max(window.taken, count.taken)

    def _opened(self, limit: Limit, now_ms: int) -> _Window:
        window = self._windows.get(limit[0])
        if window is None or window.reset_ms <= now_ms:
            window = self._begin(limit.identity, _Window(0, now_ms + limit.length_ms), now_ms)
        return window

    def _begin(self, identity: str, window: _Window, now_ms: int) -> _Window:
        self._forget_ended(now_ms)
        self._windows.pop(identity, None)  # the order is that of the beginnings
        self._windows[identity] = window
        return window

    def _forget_ended(self, now_ms: int) -> None:
        if 0 <= now_ms - self._swept_ms < _SWEEP_MS:
            return
        self._swept_ms = now_ms
        windows = self._windows
        for identity in [*takewhile(lambda one: windows[one].reset_ms <= now_ms, windows)]:
            del windows[identity]


def _charge(limits: Sequence[Limit], opened: Sequence[_Window], fee: int) -> None:
    for limit, window in zip(limits, opened, strict=True):
        charged = min(fee, max(0, limit.most - window.taken))
        window.taken += charged
        window.untold += charged
