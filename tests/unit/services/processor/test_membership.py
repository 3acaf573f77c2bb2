"""Which partitions are ours, when rebalances follow each other closely."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.types import TP

from services.processor.membership import Membership, instance_id


class Consumer:
    """Faust's consumer: commits what is assigned, and says yes to the rest without asking."""

    def __init__(self) -> None:
        self.assigned = {TP("events", 0)}
        self.committed: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return self.assigned

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.committed |= {tp: at for tp, at in offsets.items() if tp in self.assigned}
        return True


@pytest.fixture
def app() -> Any:
    return SimpleNamespace(
        rebalancing_count=1, consumer_generation_id=7, should_stop=False, consumer=Consumer()
    )


@pytest.fixture
def membership(app: Any) -> Membership:
    return Membership(cast("faust.App", app), "events")


def test_partitions_are_wanted_until_the_next_rebalance_begins(
    app: Any, membership: Membership
) -> None:
    membership.given()
    membership.begin()
    assert membership.is_wanted()
    app.rebalancing_count += 1
    assert not membership.is_wanted()


def test_partitions_are_not_wanted_when_the_next_rebalance_began_before_the_take_over(
    app: Any, membership: Membership
) -> None:
    membership.given()
    app.rebalancing_count += 1
    membership.begin()
    assert not membership.is_wanted()


async def test_membership_is_not_confirmed_for_partitions_that_went_elsewhere(
    app: Any, membership: Membership
) -> None:
    membership.given()
    membership.begin()
    assert await membership.confirm({0: 5})
    app.consumer.assigned = {TP("events", 1)}
    assert not await membership.confirm({0: 6})
    assert app.consumer.committed == {TP("events", 0): 5}


def test_member_of_another_topic_is_another_member() -> None:
    assert instance_id("processor-0", "events") == "processor-0.events"
    assert instance_id(None, "events") is None


def test_process_is_given_nothing_before_its_first_rebalance_ends(
    app: Any, membership: Membership
) -> None:
    app.rebalancing_count = 0
    assert not membership.is_given()
    app.rebalancing_count = 1
    assert not membership.is_given()
    membership.given()
    membership.begin()
    assert membership.is_given()


def _coordinated(app: Any, coordination: "asyncio.Task[None]") -> Any:
    coordinator = SimpleNamespace(_coordination_task=coordination, _pending_exception=None)
    thread = SimpleNamespace(_consumer=SimpleNamespace(_coordinator=coordinator))
    app._consumer = SimpleNamespace(_thread=thread)
    return coordinator


async def test_end_of_the_coordination_is_seen_and_its_stop_is_none(
    app: Any, membership: Membership
) -> None:
    async def dies() -> None:
        raise AssertionError("unsubscribed topic")

    assert membership.ended_by() is None, "the consumer has not started"
    for task in (asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(asyncio.sleep(9))):
        _coordinated(app, task)
        await asyncio.sleep(0.01)
        task.cancel()
        assert membership.ended_by() is None
    died = asyncio.create_task(dies())
    _coordinated(app, died)
    await asyncio.wait({died})
    assert str(membership.ended_by()) == "unsubscribed topic"


async def test_what_the_group_refuses_is_seen(app: Any, membership: Membership) -> None:
    assert membership.refused_by() is None
    coordinator = _coordinated(app, asyncio.create_task(asyncio.sleep(0)))
    coordinator._pending_exception = PermissionError("group")
    assert str(membership.refused_by()) == "group"
