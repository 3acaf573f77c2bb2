"""The shared windows of the rate limits in memory, by the rules of `libs/access/take.lua`."""

from libs.access.rate_limits import WINDOW_MS, Ask, Count, StoreAwayError


class FakeStore:
    """Tests switch it away, and let it lose what it held. Its clock stands still."""

    def __init__(self) -> None:
        self.is_away = False
        self.ahead_s = 0
        self._windows: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        """It was killed, and kept nothing."""
        self._windows = {}

    async def take(self, ask: Ask) -> Count:
        if self.is_away:
            raise StoreAwayError
        now_ms = (1_000_000 + self.ahead_s) * 1000
        known = ask.known
        is_known = known.reset_ms > now_ms
        taken, reset_ms = self._windows.get(ask.identity, (0, 0))
        if reset_ms <= now_ms:
            taken = known.taken if is_known else 0
            reset_ms = min(known.reset_ms if is_known else now_ms + WINDOW_MS, now_ms + WINDOW_MS)
        elif is_known:
            taken += known.untold
        allowed = taken + ask.amount <= ask.limit
        taken += ask.amount if allowed else 0
        self._windows[ask.identity] = taken, reset_ms
        return Count(taken, reset_ms, now_ms, allowed)
