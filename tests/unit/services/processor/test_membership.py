"""Which partitions are ours, when rebalances follow each other closely."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.types import TP

from services.processor.membership import Membership


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
