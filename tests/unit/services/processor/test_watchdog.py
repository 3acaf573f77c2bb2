"""What the watchdog makes of what it sees: stuck, held, or rightly waiting."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import OperationalError
from structlog.testing import capture_logs

from libs.telemetry.metrics import LAG_RECORDS, PROCESSOR
from services.processor import watchdog
from services.processor.agent import Agent
from services.processor.dead_letters import DeadLetters
from services.processor.dedup_index import Partition
from services.processor.health import Health
from services.processor.membership import Membership
from services.processor.topic import End, EventsTopic
from services.processor.watchdog import Watchdog
from tests.fakes import FakeClickHouse
from tests.unit.services.processor.events import partition


@dataclass
class World:
    """An owner of two partitions, of which one has records to read; each part can be changed."""

    done: dict[int, int] = field(default_factory=lambda: {0: 5, 1: 7})
    ends_of_topic: dict[int, int] = field(default_factory=lambda: {0: 10, 1: 7})
    epoch: int | None = None
    compared: list[dict[int, int]] = field(default_factory=list)
    compare_failure: Exception | None = None
    failure: Exception | None = None
    position_failure: Exception | None = None
    hangs: bool = False
    caught_up: set[int] = field(default_factory=set)
    wanted: bool = True
    is_held: bool = False
    aside: dict[int, Partition] = field(default_factory=dict)
    others: dict[int, str] = field(default_factory=dict)
    waits: int = 0
    steps: int = 0
    end: Exception | None = None
    refusal: Exception | None = None
    clickhouse: FakeClickHouse = field(default_factory=FakeClickHouse)
    health: Health = field(default_factory=lambda: Health(owns=True))

    async def ends(self, numbers: Iterable[int]) -> dict[int, End]:
        if self.failure:
            raise self.failure
        return {number: End(self.ends_of_topic[number], self.epoch) for number in numbers}

    async def overwritten(self, done: dict[int, int]) -> dict[int, str]:
        self.compared.append(done)
        if self.compare_failure:
            raise self.compare_failure
        return self.others

    async def mismatches(self, owned: dict[int, Partition]) -> dict[int, str]:
        assert owned is not self.aside
        if self.failure:
            raise self.failure
        return self.others

    async def number_of_partitions(self) -> int:
        return len(await self.ends(self.ends_of_topic))

    def rebalances(self) -> int:
        return 1

    def is_given(self) -> bool:
        return self.wanted

    def ended_by(self) -> Exception | None:
        return self.end

    def refused_by(self) -> Exception | None:
        return self.refusal

    async def is_caught_up(self, number: int, _end: int) -> bool:
        if self.hangs:
            await asyncio.Event().wait()
        if self.position_failure:
            raise self.position_failure
        return number in self.caught_up

    def is_wanted(self) -> bool:
        return self.wanted

    def watchdog(self) -> Watchdog:
        return Watchdog(
            cast("Agent", self),
            cast("Membership", self),
            cast("EventsTopic", self),
            cast("DeadLetters", self),
            cast("AsyncClient", self.clickhouse),
        )

    async def look(self, watched: Watchdog | None = None) -> list[int]:
        """What one look finds stuck."""
        looks = iter((True, False))
        await (watched or self.watchdog()).run(self.health, lambda: next(looks), 0.0)
        return self.health.stuck


def shown(name: str) -> dict[str, float]:
    """What a gauge of the processor shows, by the value of its one label."""
    samples = [one for metric in PROCESSOR.registry.collect() for one in metric.samples]
    return {"".join(one.labels.values()): one.value for one in samples if one.name == name}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """No patience: whatever lags is stuck at the first look."""
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.0)
    monkeypatch.setattr(watchdog, "_INTERVAL_S", 0.0)
    monkeypatch.setattr(watchdog, "_ANSWER_S", 0.05)
    return World()


async def test_partition_is_stuck_when_it_has_records_to_read_and_nothing_happens(
    world: World,
) -> None:
    with capture_logs() as said:
        assert await world.look() == [0]
    assert [(line["event"], line["partitions"]) for line in said] == [("progress.stuck", [0])]


async def test_partition_is_stuck_when_faust_does_not_even_answer(world: World) -> None:
    world.hangs = True
    assert await world.look() == [0]


def _kafka_is_away(world: World) -> None:
    world.failure = KafkaConnectionError()


def _clickhouse_is_away(world: World) -> None:
    world.clickhouse.failure = OperationalError("away")


def _clickhouse_hangs(world: World) -> None:
    world.clickhouse.hangs = True


def _rebalance(world: World) -> None:
    world.wanted = False


def _recovery(world: World) -> None:
    world.health.owns = False


def _held(world: World) -> None:
    world.is_held = True


def _no_partitions(world: World) -> None:
    world.done = {}


def _only_a_marker_is_left(world: World) -> None:
    world.caught_up = {0}


def _partition_was_taken_away_meanwhile(world: World) -> None:
    world.position_failure = IllegalStateError("Partition 0 is not assigned")
    world.wanted = False


@pytest.mark.parametrize(
    "situation",
    [
        _kafka_is_away,
        _clickhouse_is_away,
        _clickhouse_hangs,
        _rebalance,
        _recovery,
        _held,
        _no_partitions,
        _only_a_marker_is_left,
        _partition_was_taken_away_meanwhile,
    ],
)
async def test_nothing_is_stuck_when_waiting_is_right(
    world: World, situation: Callable[[World], None]
) -> None:
    situation(world)
    assert await world.look() == []


async def test_service_lives_only_as_long_as_somebody_looks(world: World) -> None:
    health = world.health
    assert health.trouble(1_000_000.0) == {}, "it starts, and has nothing to do yet"
    world.done = {}
    await world.look()
    looked_at_s = health.looked_at_s
    assert looked_at_s is not None
    assert health.trouble(looked_at_s + 59.0) == {}
    assert health.trouble(looked_at_s + 61.0) == {"status": "unwatched"}
    health.stopping = True
    assert health.trouble(looked_at_s + 61.0) == {}


async def test_health_tells_when_the_limit_of_dead_letters_holds(world: World) -> None:
    world.is_held = True
    await world.look()
    assert not world.health.checks()["dead_letters"]
    world.is_held = False
    await world.look()
    assert world.health.checks()["dead_letters"]


async def test_lag_is_shown_of_the_partitions_that_are_owned_and_of_no_others(
    world: World,
) -> None:
    LAG_RECORDS.clear()
    watched = world.watchdog()
    await world.look(watched)
    assert shown("ragtime_lag_records") == {"0": 5.0, "1": 0.0}
    assert shown("ragtime_partitions_stuck") == {"": 1.0}

    world.done = {1: 6, 2: 0}
    world.ends_of_topic = {1: 7, 2: 9}
    await world.look(watched)
    assert shown("ragtime_lag_records") == {"1": 1.0, "2": 9.0}


async def test_process_ends_when_its_topic_stays_cut_and_lag_is_not_negative(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr("services.processor.watchdog.os._exit", ended.append)
    LAG_RECORDS.clear()
    watched = world.watchdog()
    for _ in range(2):
        world.ends_of_topic = {0: 3, 1: 7}
        with capture_logs() as said:
            for _ in range(5):
                await world.look(watched)
        assert {(line["event"], *line["partitions"]) for line in said} == {("topic.cut", 0)}
        assert shown("ragtime_lag_records") == {"0": 0.0, "1": 0.0}
        world.ends_of_topic = {0: 10, 1: 7}  # a broker has caught up
        await world.look(watched)
    assert ended == []

    world.ends_of_topic = {0: 3, 1: 7}
    for _ in range(6):
        await world.look(watched)
    assert ended == [1]


async def test_lag_stands_as_it_was_when_kafka_does_not_say(world: World) -> None:
    LAG_RECORDS.clear()
    watched = world.watchdog()
    await world.look(watched)
    _kafka_is_away(world)
    await world.look(watched)
    assert shown("ragtime_lag_records") == {"0": 5.0, "1": 0.0}
    assert shown("ragtime_server_answers") == {"kafka": 0.0, "clickhouse": 1.0}


async def test_servers_are_shown_when_clickhouse_does_not_answer(world: World) -> None:
    _clickhouse_is_away(world)
    await world.look()
    assert shown("ragtime_server_answers") == {"kafka": 1.0, "clickhouse": 0.0}


class EndedError(BaseException):
    """In the place of the end of the process."""


async def test_process_ends_when_its_part_in_the_group_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr("os._exit", end)
    world.end = KafkaConnectionError("unsubscribed topic")
    with capture_logs() as said, pytest.raises(EndedError, match="1"):
        await world.look()
    (line,) = said
    assert (line["event"], line["log_level"]) == ("membership.lost", "error")
    assert "unsubscribed topic" in line["reason"]


async def test_refusal_of_the_group_is_told_at_each_look(world: World) -> None:
    world.done, world.refusal = {}, KafkaConnectionError("not allowed")
    with capture_logs() as said:
        await world.look()
    assert [line["event"] for line in said] == ["membership.refused"]


async def test_service_does_not_live_when_it_owns_nothing_and_both_servers_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "UNOWNED_S", 0.0)
    world.done, world.wanted = {}, False
    with capture_logs() as said:
        await world.look()
    assert world.health.trouble(0.0) == {"status": "left_out"}
    assert [line["event"] for line in said] == ["membership.left_out"]

    _kafka_is_away(world)
    await world.look()
    assert world.health.trouble(0.0) == {}


async def test_service_does_not_live_when_a_take_over_hangs_and_both_servers_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "TAKE_OVER_S", 0.0)
    world.done, world.health.owns = {}, False
    with capture_logs() as said:
        await world.look()
    assert world.health.trouble(0.0) == {"status": "take_over_hangs"}
    assert [line["event"] for line in said] == ["take_over.hangs"]

    _clickhouse_is_away(world)
    await world.look()
    assert world.health.trouble(0.0) == {}


async def test_partition_of_another_log_is_told_again_and_again(world: World) -> None:
    world.aside, world.others, world.health.aside = {3: partition(3)}, {3: "another"}, [3]
    with capture_logs() as said:
        await world.look()
    told = [line for line in said if line["event"] == "topic.mismatch"]
    assert [(line["reason"], line["partitions"]) for line in told] == [("another", [3])]
    assert shown("ragtime_partitions_mismatched") == {"": 1.0}


async def test_process_ends_when_a_partition_that_stood_aside_agrees_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("services.processor.watchdog.os._exit", codes.append)
    world.aside = {3: partition(3)}
    world.failure = KafkaConnectionError()
    await world.look()
    assert codes == [], "nobody knows"
    world.failure = None
    await world.look()
    assert codes == [1]


async def test_process_ends_when_others_are_in_the_place_of_records_that_it_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("services.processor.watchdog.os._exit", codes.append)
    world.epoch, world.others = 3, {0: "another"}
    with capture_logs() as said:
        await world.look()
    told = [line for line in said if line["event"] == "topic.mismatch"]
    assert [(line["reason"], line["partitions"]) for line in told] == [("another", [0])]
    assert (codes, world.compared) == ([1], [{0: 5, 1: 7}])


@pytest.mark.parametrize("failure", [KafkaConnectionError(), OperationalError("away")])
async def test_process_goes_on_when_nobody_knows_what_is_in_the_place_of_what_it_counted(
    world: World, failure: Exception
) -> None:
    world.epoch, world.compare_failure = 3, failure
    await world.look()
    assert world.compared == [{0: 5, 1: 7}]


async def test_of_many_partitions_some_are_compared_at_a_look(world: World) -> None:
    world.epoch = 3
    world.done = world.ends_of_topic = dict.fromkeys(range(40), 5)
    await world.look()
    assert [len(some) for some in world.compared] == [16]
