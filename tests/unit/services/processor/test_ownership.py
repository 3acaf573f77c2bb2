"""The lease: when it is granted, how long it lasts, and what a new owner waits for."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from libs.telemetry.metrics import LEASES_LOST
from services.processor.ownership import Ownership, StoppedError

LEASE_S = 10.0
SERVER = datetime(2026, 3, 25, 12, tzinfo=UTC)


class World:
    """A clock that only moves when somebody waits, and a coordinator that answers as it is told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wanted = True
        self.answers: list[bool] = []
        self.answer_takes_s = 0.0
        self.ownership = Ownership(
            LEASE_S, self.confirm, lambda: self.wanted, lambda: self.now, self.sleep
        )
        self.ownership.given()
        self.ownership.server_time(SERVER.timestamp())

    async def confirm(self, _offsets: Mapping[int, int]) -> bool:
        self.now += self.answer_takes_s
        return self.answers.pop(0)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def world() -> World:
    return World()


async def test_lease_begins_when_the_coordinator_was_asked(world: World) -> None:
    world.answers = [True]
    world.answer_takes_s = 3.0
    assert await world.ownership.lease({0: 5}) == SERVER + timedelta(seconds=LEASE_S)


async def test_lease_is_asked_for_anew_when_half_of_it_is_over(world: World) -> None:
    world.answers = [True, True]
    await world.ownership.lease({0: 5})
    world.now += LEASE_S / 2 - 0.1
    assert await world.ownership.lease({0: 5}) == SERVER + timedelta(seconds=LEASE_S)
    world.now += 0.1
    assert await world.ownership.lease({0: 5}) == SERVER + timedelta(seconds=1.5 * LEASE_S)
    assert world.answers == []


async def test_lease_is_not_asked_for_when_a_commit_confirmed_it(world: World) -> None:
    world.ownership.confirmed(world.now - 1)
    assert await world.ownership.lease({0: 5}) == SERVER + timedelta(seconds=LEASE_S - 1)


async def test_lease_is_refused_when_the_partitions_are_not_wanted(world: World) -> None:
    world.wanted = False
    with pytest.raises(StoppedError):
        await world.ownership.lease({0: 5})


async def test_lease_is_tried_again_until_the_coordinator_answers(world: World) -> None:
    world.answers = [False, False, True]
    lease = await world.ownership.lease({0: 5})
    assert lease == SERVER + timedelta(seconds=LEASE_S + 2 * 0.5)


async def test_lease_is_asked_for_anew_when_the_answer_came_late(world: World) -> None:
    # It was frozen between question and answer: what was confirmed then may not hold now.
    world.answers = [True, True]
    world.answer_takes_s = 6.0
    with pytest.raises(IndexError):  # each answer is late; the world has no third
        await world.ownership.lease({0: 5})


async def test_new_owner_waits_a_whole_lease(world: World) -> None:
    world.now += 2
    await world.ownership.wait_for_others()
    assert world.now == pytest.approx(1000 + LEASE_S)


async def test_owner_waits_for_its_own_lease_when_an_outcome_is_unknown(world: World) -> None:
    world.now += 100
    world.ownership.confirmed(world.now)
    world.now += 1
    await world.ownership.wait_for_others()
    assert world.now == pytest.approx(1100 + LEASE_S)


async def test_waiting_ends_when_the_partitions_are_not_wanted_any_more(world: World) -> None:
    world.wanted = False
    with pytest.raises(StoppedError):
        await world.ownership.wait_for_others()


async def test_confirmation_is_worth_nothing_when_partitions_were_given_anew(world: World) -> None:
    world.ownership.confirmed(world.now)
    world.ownership.given()
    world.answers = [False, True]
    before = LEASES_LOST.labels("not_confirmed")._value.get()
    await world.ownership.lease({0: 5})
    assert world.answers == []
    assert LEASES_LOST.labels("not_confirmed")._value.get() == before + 1


async def test_new_owner_waits_a_whole_lease_when_a_late_answer_confirms_what_was_before(
    world: World,
) -> None:
    asked_at = world.now
    world.now += 4
    world.ownership.given()
    world.ownership.confirmed(asked_at)
    await world.ownership.wait_for_others()
    assert world.now == pytest.approx(asked_at + 4 + LEASE_S)
