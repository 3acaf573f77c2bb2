"""The shared windows of the rate limits in memory, by the rules of `libs/access/take.lua`."""

from collections.abc import Sequence

from libs.access.rate_limits import Ask, StoreAwayError
from libs.access.windows import Count


class FakeStore:
    """Tests switch it away, and let it lose what it held. Its clock stands still."""

    def __init__(self) -> None:
        self.is_away = False
        self.ahead_s = 0
        self._windows: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        """It was killed, and kept nothing."""
        self._windows = {}

    async def take(self, asks: Sequence[Ask]) -> Sequence[Count]:
        if self.is_away:
            raise StoreAwayError
        now_ms = (1_000_000 + self.ahead_s) * 1000
        found = [self._found(ask, now_ms) for ask in asks]
        fits = [
            taken + ask.amount <= ask.limit.most
            for ask, (taken, _) in zip(asks, found, strict=True)
        ]
        counts = []
        for ask, (taken, reset_ms), fit in zip(asks, found, fits, strict=True):
            left = max(0, ask.limit.most - taken)
            now_taken = taken + (ask.amount if all(fits) else min(ask.fee, left))
            self._windows[ask.limit.identity] = now_taken, reset_ms
            counts.append(Count(now_taken, reset_ms, now_ms, fit))
        return counts

    def _found(self, ask: Ask, now_ms: int) -> tuple[int, int]:
        """How much of a window is taken before, and when it ends."""
        limit, known = ask.limit, ask.known
        is_known = known.reset_ms > now_ms
        taken, reset_ms = self._windows.get(limit.identity, (0, 0))
        if reset_ms <= now_ms:
            latest_ms = now_ms + limit.length_ms
            return (known.taken, min(known.reset_ms, latest_ms)) if is_known else (0, latest_ms)
        return taken + (known.untold if is_known else 0), reset_ms
