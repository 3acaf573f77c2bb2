"""A budget: who gets some of it, who waits, who is sent away."""

import asyncio

import pytest

from libs.http.budget import Budget, Reservation
from libs.http.problems import Problem


def _budget(total: int = 10, *, share: float = 1.0, waiting: int = 5, wait_s: float = 10) -> Budget:
    return Budget(total, share, max_waiting=waiting, wait_s=wait_s)


async def _acquire(reservation: Reservation, amount: int, order: list[str], name: str) -> None:
    await reservation.acquire(amount)
    order.append(name)


class Order:
    """Reservations that are asked for one after the other, and the order in which they got it."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def asks(self, name: str, reservation: Reservation, amount: int) -> None:
        self.tasks[name] = asyncio.create_task(_acquire(reservation, amount, self.order, name))
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_wait_get_in_by_age_when_something_is_free_again() -> None:
    budget, asked = _budget(), Order()
    first, second, third, fourth = (budget.reservation("a") for _ in range(4))
    await first.acquire(8)
    await asked.asks("fourth", fourth, 1)
    for name, reservation, amount in (("third", third, 4), ("second", second, 7)):
        await asked.asks(name, reservation, amount)
    assert asked.order == ["fourth"]  # what is free is given away as long as nobody waits for it

    first.release()
    await settle()
    assert asked.order == ["fourth", "second"]
    second.release()
    await settle()
    assert asked.order == ["fourth", "second", "third"]


async def test_small_one_waits_when_a_large_one_waits_before_it() -> None:
    budget, asked = _budget(), Order()
    holder, large, small = (budget.reservation("a") for _ in range(3))
    await holder.acquire(5)
    await asked.asks("large", large, 10)
    await asked.asks("small", small, 1)
    assert asked.order == []

    holder.release()
    await settle()
    assert asked.order == ["large"]
    large.release()
    await settle()
    assert asked.order == ["large", "small"]


async def test_victim_gets_in_at_once_when_an_attacker_has_all_that_it_may() -> None:
    budget, asked = _budget(share=0.5), Order()
    await budget.reservation("attacker").acquire(5)
    for number in range(2):
        await asked.asks(f"attacker {number}", budget.reservation("attacker"), 5)

    await asked.asks("victim", budget.reservation("victim"), 5)

    assert asked.order == ["victim"]
    for task in asked.tasks.values():
        task.cancel()


async def test_key_that_holds_less_is_next_when_another_has_queued_more_before_it() -> None:
    budget, asked = _budget(4, share=0.75, waiting=100), Order()
    running = [budget.reservation(key) for key in ("attacker",) * 3 + ("other",)]
    for reservation in running:
        await reservation.acquire(1)
    queued = [budget.reservation("attacker") for _ in range(30)]
    for number, reservation in enumerate(queued):
        await asked.asks(f"attacker {number}", reservation, 1)
    await asked.asks("victim", budget.reservation("victim"), 1)

    running[0].release()
    await settle()

    assert asked.order == ["victim"]
    for task in asked.tasks.values():
        task.cancel()


async def test_who_holds_something_goes_first_when_newcomers_wait_too() -> None:
    budget, asked = _budget(), Order()
    growing, holder, newcomer = (budget.reservation("a") for _ in range(3))
    await holder.acquire(6)
    await growing.acquire(4)
    await asked.asks("newcomer", newcomer, 5)
    await asked.asks("growing", growing, 2)

    holder.resize(4)
    await settle()
    assert asked.order == ["growing"]
    growing.release()
    await settle()
    assert asked.order == ["growing", "newcomer"]


async def test_more_is_free_when_a_reservation_gets_smaller() -> None:
    budget = _budget(waiting=0)
    reservation = budget.reservation("a")
    await reservation.acquire(10)
    reservation.resize(9)
    await budget.reservation("a").acquire(1)
    with pytest.raises(Problem):
        await budget.reservation("a").acquire(1)


async def test_caller_is_sent_away_when_nothing_is_free_in_time() -> None:
    budget = _budget(waiting=1, wait_s=0.01)
    reservation = budget.reservation("a")
    await reservation.acquire(10)

    with pytest.raises(Problem) as caught:
        await budget.reservation("b").acquire(1)

    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert int(caught.value.headers["Retry-After"]) >= 1
    reservation.release()
    async with budget.acquired("b", 10):
        pass


async def test_key_has_half_the_queue_alone_when_all_is_taken() -> None:
    budget, asked = _budget(share=0.5, waiting=4), Order()
    for key in ("attacker", "other"):
        await budget.reservation(key).acquire(5)
    for number in range(2):
        await asked.asks(f"attacker {number}", budget.reservation("attacker"), 1)

    with pytest.raises(Problem):
        await budget.reservation("attacker").acquire(1)
    await asked.asks("victim", budget.reservation("victim"), 1)

    assert not asked.tasks["victim"].done()
    for task in asked.tasks.values():
        task.cancel()


@pytest.mark.parametrize("is_called", [True, False])
async def test_next_one_gets_in_when_the_first_in_line_goes_away(is_called: bool) -> None:
    budget, asked = _budget(), Order()
    first, second, third = (budget.reservation("a") for _ in range(3))
    await first.acquire(10)
    await asked.asks("gone", second, 8)
    await asked.asks("patient", third, 8)

    if is_called:  # it is its turn, and it goes away before it hears of it
        first.release()
    asked.tasks["gone"].cancel()
    first.release()
    await asked.tasks["patient"]

    assert asked.order == ["patient"]
    third.release()
    async with budget.acquired("b", 10):
        pass
