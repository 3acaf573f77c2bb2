"""Who holds how much of something limited, and who may take more. Pure.

One rule for connections, requests, memory and statements: with a share of a half, a holder may hold
as much as it leaves free for all others. One alone gets a half, two get a third each, and whoever
comes next finds as much free as the largest holds. Switches share their packet memory this way
("dynamic thresholds").
"""

from collections.abc import Hashable


class Shares:
    """A total, and what each holder has of it. `share`: of one holder alone, above 0, at most 1."""

    __slots__ = ("_held", "_share", "_total", "used")

    def __init__(self, total: int, share: float) -> None:
        self._total = total
        self._share = share
        self._held: dict[Hashable, int] = {}
        self.used = 0

    def held_by(self, holder: Hashable) -> int:
        """What the holder has."""
        return self._held.get(holder, 0)

    @property
    def free(self) -> int:
        """What nobody has; below zero where somebody was given more than there was."""
        return self._total - self.used

    def fits(self, holder: Hashable, amount: int) -> bool:
        """Whether the holder may take so much more.

        The first amount of a holder may be more than its share, or it might never get one; where
        nobody has anything it may even be more than the total.
        """
        free = self._total - self.used - amount
        held = self._held.get(holder)
        if held is None:
            return free >= 0 or (not self.used and self._total > 0)
        return free >= 0 and self._is_within(held + amount, free)

    def try_to_take(self, holder: Hashable, amount: int) -> bool:
        """Give so much to a holder if it fits; whether it did."""
        if not self.fits(holder, amount):
            return False
        self.take(holder, amount)
        return True

    def exceeds(self, holder: Hashable) -> bool:
        """Whether the holder has more than it may, as what it has may grow without being asked."""
        return not self._is_within(self.held_by(holder), max(self.free, 0))

    def _is_within(self, held: int, free: int) -> bool:
        return (1 - self._share) * held <= self._share * free

    def take(self, holder: Hashable, amount: int) -> None:
        """Give so much to a holder, whether it fits or not."""
        self.used += amount
        self._held[holder] = self._held.get(holder, 0) + amount

    def give_back(self, holder: Hashable, amount: int) -> None:
        """Take so much from a holder."""
        self.used -= amount
        left = self._held[holder] - amount
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]
