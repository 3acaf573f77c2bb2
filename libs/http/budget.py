"""What requests hold at once, shared fairly by those who send them: memory, statements.

A request reserves for its project what it is about to hold, and releases it when it holds it no
longer. Who finds nothing free waits. First comes who holds something already, or those that grow
together would wait for each other; then the project that holds least, so that nobody waits behind
what another has queued; then the oldest.
"""

import asyncio
import itertools
from bisect import insort
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from libs.http.problems import Problem
from libs.http.shares import Shares

_RETRY_AFTER = {"Retry-After": "3"}
OVERLOADED = "Too many large requests or answers are on their way; send this request again."


@dataclass(eq=False, slots=True)
class _Waiter:
    """A reservation that wants to grow."""

    reservation: "Reservation"
    amount: int
    turn: asyncio.Future[None]

    @property
    def is_new(self) -> bool:
        return not self.reservation.amount

    @property
    def rank(self) -> tuple[bool, int]:
        """Among those of its holder."""
        return self.is_new, self.reservation.age


class Budget:
    """A total of bytes, or of something else that is counted, and who waits for some of it.

    `share`: see Shares; it holds for the places in the queue too. `wait_s` None: the caller has a
    deadline of its own.
    """

    def __init__(
        self, total: int, share: float, *, max_waiting: int, wait_s: float | None = None
    ) -> None:
        self._shares = Shares(total, share)
        self._places = Shares(max_waiting, share)
        self._queues: dict[Hashable, list[_Waiter]] = {}
        self._wait_s = wait_s
        self._ages = itertools.count()

    def reservation(self, holder: Hashable) -> "Reservation":
        """A reservation of nothing yet."""
        return Reservation(self, holder, next(self._ages))

    @asynccontextmanager
    async def acquired(self, holder: Hashable, amount: int) -> AsyncIterator[None]:
        """Hold so much for as long as the block takes. Raises a Problem like `acquire`."""
        reservation = self.reservation(holder)
        await reservation.acquire(amount)
        try:
            yield
        finally:
            reservation.release()

    async def acquire(self, reservation: "Reservation", amount: int) -> None:
        """Let a reservation grow, at once or in turn. Raises a Problem when that takes too long."""
        if self._queues or not self._shares.fits(reservation.holder, amount):
            await self._wait(reservation, amount)
        else:
            self._shares.take(reservation.holder, amount)

    def change(self, holder: Hashable, amount: int) -> None:
        """Let a holder have so much more, or less, at once."""
        if amount >= 0:
            self._shares.take(holder, amount)
        else:
            self._shares.give_back(holder, -amount)
            self._call_next()

    async def _wait(self, reservation: "Reservation", amount: int) -> None:
        holder = reservation.holder
        if not self._places.fits(holder, 1):
            raise Problem(503, "overloaded", OVERLOADED, _RETRY_AFTER)
        waiter = _Waiter(reservation, amount, asyncio.get_running_loop().create_future())
        insort(self._queues.setdefault(holder, []), waiter, key=lambda one: one.rank)
        self._places.take(holder, 1)
        self._call_next()
        try:
            await self._turn_of(waiter)
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            self._places.give_back(holder, 1)

    async def _turn_of(self, waiter: _Waiter) -> None:
        """Wait in turn. When that takes too long, one is sent away: not always this one."""
        while not waiter.turn.done():
            await asyncio.wait((waiter.turn,), timeout=self._wait_s)
            if not waiter.turn.done():
                self._send_away(self._last_beside(waiter))
        waiter.turn.result()

    def _last_beside(self, waiter: _Waiter) -> _Waiter:
        """Of those that grow for one holder the youngest gives way, so that the oldest end."""
        queue = self._queues[waiter.reservation.holder]
        return waiter if waiter.is_new else [one for one in queue if not one.is_new][-1]

    def _send_away(self, waiter: _Waiter) -> None:
        waiter.turn.set_exception(Problem(503, "overloaded", OVERLOADED, _RETRY_AFTER))
        self._remove(waiter)
        self._call_next()

    def _leave(self, waiter: _Waiter) -> None:
        if not waiter.turn.done():
            self._remove(waiter)
            self._call_next()
        elif waiter.turn.exception() is None:  # it had its turn, and does not hear of it any more
            self.change(waiter.reservation.holder, -waiter.amount)

    def _remove(self, waiter: _Waiter) -> None:
        queue = self._queues[waiter.reservation.holder]
        queue.remove(waiter)
        if not queue:
            del self._queues[waiter.reservation.holder]

    def _call_next(self) -> None:
        """Give what is free to those who wait.

        A holder that may have no more is passed over. A new one for which too little is free is
        waited for by all other new ones: small ones would keep a large one out for ever.
        """
        passed: set[Hashable] = set()
        while heads := [queue[0] for holder, queue in self._queues.items() if holder not in passed]:
            first = min(heads, key=self._rank)
            holder = first.reservation.holder
            if self._shares.fits(holder, first.amount):
                self._shares.take(holder, first.amount)
                self._remove(first)
                first.turn.set_result(None)
            elif first.is_new and first.amount > self._shares.free:
                return
            else:
                passed.add(holder)

    def _rank(self, waiter: _Waiter) -> tuple[bool, int, int]:
        reservation = waiter.reservation
        return waiter.is_new, self._shares.held_by(reservation.holder), reservation.age


class Reservation:
    """What one request has reserved."""

    __slots__ = ("_budget", "age", "amount", "holder")

    def __init__(self, budget: Budget, holder: Hashable, age: int) -> None:
        self._budget = budget
        self.holder = holder
        self.age = age
        self.amount = 0

    async def acquire(self, amount: int) -> None:
        """Reserve so much more. Raises a Problem when there is none in time, or too many wait."""
        await self._budget.acquire(self, amount)
        self.amount += amount

    def resize(self, amount: int) -> None:
        """Say what is really held, when it is known; it may be more than was reserved."""
        if amount != self.amount:
            self._budget.change(self.holder, amount - self.amount)
            self.amount = amount

    def release(self) -> None:
        """Nothing is held any longer."""
        if self.amount:
            self.resize(0)
