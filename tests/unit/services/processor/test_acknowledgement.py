"""What of the records in hand is acknowledged, and what is let go, when rebalances come between."""

from dataclasses import dataclass, field
from typing import cast

import faust
import pytest
from faust.types import TP

from services.processor.membership import Membership


@dataclass(eq=False)
class Message:
    """A record as Faust hands it over."""

    generation_id: int


@dataclass(eq=False)
class Event:
    """An event of a stream."""

    message: Message
    acked: bool = False

    def ack(self) -> None:
        self.acked = True


@dataclass
class Consumer:
    """As much of Faust's consumer as is used."""

    assigned: set[TP] = field(default_factory=set)
    takes_commits: list[bool] = field(default_factory=list)
    committed: list[dict[TP, int]] = field(default_factory=list)
    end: int | None = None
    _unacked_messages: set[Message] = field(default_factory=set)

    def assignment(self) -> set[TP]:
        return self.assigned

    async def commit(self) -> bool:
        return self.takes_commits.pop(0)

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(offsets)
        return self.takes_commits.pop(0)

    async def position(self, _tp: TP) -> int | None:
        return self.end


@dataclass
class App:
    """As much of Faust's app as is used."""

    consumer: Consumer = field(default_factory=Consumer)
    rebalancing_count: int = 1
    consumer_generation_id: int = 1
    should_stop: bool = False


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def membership(app: App) -> Membership:
    membership = Membership(cast("faust.App", app), "events")
    membership.given()
    membership.begin()
    return membership


def events_of(app: App, *generations: int) -> list[Event]:
    events = [Event(Message(generation)) for generation in generations]
    app.consumer._unacked_messages.update(event.message for event in events)
    return events


def test_events_are_let_go_when_they_were_read_before_the_rebalance(
    app: App, membership: Membership
) -> None:
    old, *current = events_of(app, 0, 1, 1)
    assert membership.of_this_generation([old, *current]) == current
    assert app.consumer._unacked_messages == {event.message for event in current}
    assert not any(event.acked for event in (old, *current))


def test_events_are_told_by_the_generation_in_which_partitions_were_given(
    app: App, membership: Membership
) -> None:
    events = events_of(app, 1, 2)
    app.consumer_generation_id = 2  # the next rebalance is under way, and has given nothing yet
    assert membership.of_this_generation(events) == events[:1]
    membership.given()
    membership.begin()
    assert membership.of_this_generation(events[1:]) == events[1:]


def test_partitions_are_those_of_the_topic(app: App, membership: Membership) -> None:
    app.consumer.assigned = {TP("events", 3), TP("events", 0), TP("other", 1)}
    assert membership.partitions() == {0, 3}


async def test_confirmation_is_refused_when_a_rebalance_began_before_the_answer(
    app: App, membership: Membership
) -> None:
    app.consumer.assigned = {TP("events", 0)}
    app.consumer.takes_commits = [True, False, True]
    assert await membership.confirm({0: 5})
    assert not await membership.confirm({0: 5})
    app.rebalancing_count += 1
    assert not await membership.confirm({0: 5})
    assert app.consumer.committed[0] == {TP("events", 0): 5}


async def test_commit_is_asked_for_again_when_another_was_under_way(
    app: App, membership: Membership
) -> None:
    events = events_of(app, 1, 1)
    app.consumer.takes_commits = [False, True]
    assert await membership.commit(events)
    assert all(event.acked for event in events)


@pytest.mark.parametrize(
    ("position", "in_hand", "caught_up"),
    [(10, 0, True), (9, 0, False), (None, 0, False), (10, 1, False)],
)
async def test_partition_is_caught_up_when_it_was_read_to_its_end_and_nothing_is_in_hand(
    app: App, membership: Membership, position: int | None, in_hand: int, *, caught_up: bool
) -> None:
    app.consumer.end = position
    events_of(app, *[1] * in_hand)
    assert await membership.is_caught_up(0, 10) is caught_up
