"""A processor with a name (RAGTIME_GROUP__INSTANCE) that returns within its session."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from clickhouse_connect.driver.client import Client

from tests.e2e.lines import line
from tests.e2e.processes import Service, run_command, try_command
from tests.e2e.stack import database_client, environment_of, topics_of, user_of
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.e2e

_INSTANCE = "processor-0"
_SESSION_S = 30
_ENDS_WITHIN_S = 60.0
_IMPATIENT = """
from services.processor import app, watchdog
watchdog.UNOWNED_S = 15.0
app.main()
"""


@dataclass
class World:
    """A processor with a name, not started, and two topics that it may be told to count."""

    environment: dict[str, str]
    processor: Service
    old: Topics
    new: Topics
    database: Client

    def start(self, topics: Topics) -> None:
        self.processor.environment |= {"RAGTIME_KAFKA__EVENTS_TOPIC": topics.events}
        self.processor.start()

    def counted(self) -> list[str]:
        """The ids of all rows."""
        rows = self.database.query("SELECT id FROM events ORDER BY id").result_rows
        return [name for (name,) in rows]


@pytest.fixture
def world(real_servers: Servers, tmp_path: Path) -> Iterator[World]:
    environment = environment_of(real_servers) | {
        "RAGTIME_GROUP__INSTANCE": _INSTANCE,
        "RAGTIME_GROUP__SESSION_TIMEOUT_S": str(_SESSION_S),
    }
    old = topics_of(environment)
    new = replace(old, events=f"{old.events}-2", dead_letters=f"{old.events}-2.dead-letter")
    with ExitStack() as closing:
        for topics in (old, new):
            names = {
                "RAGTIME_KAFKA__EVENTS_TOPIC": topics.events,
                "RAGTIME_KAFKA__DEAD_LETTER_TOPIC": topics.dead_letters,
            }
            run_command(environment | names, "init")
            closing.callback(topics.delete)
        database = closing.enter_context(database_client(environment))
        processor = Service(
            "processor", environment | user_of(real_servers, "processor"), tmp_path / "log"
        )
        closing.callback(processor.close)
        yield World(environment, processor, old, new, database)


def test_processor_counts_a_new_topic_when_it_returns_under_its_name_at_once(world: World) -> None:
    world.old.write([line("p", "before")])
    world.new.write([line("p", "after")])
    world.start(world.old)
    world.old.wait_until_read(60)
    world.processor.stop()

    world.start(world.new)
    # Kafka waits first for the member that read the old topic, until its session ends.
    world.processor.wait_until_ready(_SESSION_S + 60)
    world.new.wait_until_read(60)

    assert world.counted() == ["after", "before"]


def test_processors_count_their_own_topics_when_one_of_the_group_has_moved(
    world: World, tmp_path: Path
) -> None:
    # As while `helm upgrade` replaces one pod after the other.
    moved = Service("processor", world.processor.environment, tmp_path / "moved")
    moved.environment |= {
        "RAGTIME_GROUP__INSTANCE": "processor-1",
        "RAGTIME_KAFKA__EVENTS_TOPIC": world.new.events,
    }
    world.old.write([line("p", "in-old")])
    world.new.write([line("p", "in-new")])
    world.start(world.old)
    moved.start()
    try:
        world.old.wait_until_read(60)
        world.new.wait_until_read(60)
    finally:
        moved.close()
    assert world.counted() == ["in-new", "in-old"]


def test_processor_ends_and_says_why_when_kafka_gives_it_partitions_of_another_topic(
    world: World,
) -> None:
    world.old.join_and_go(f"{_INSTANCE}.{world.new.events}", _SESSION_S)

    # Longer than Faust waits for an answer, too.
    world.processor.environment |= {"RAGTIME_GROUP__SESSION_TIMEOUT_S": "120"}
    world.start(world.new)
    assert world.processor.wait(_ENDS_WITHIN_S) == 1

    (told,) = world.processor.said("membership.lost")
    assert "Received an assignment for unsubscribed topic" in told["reason"]
    assert "RAGTIME_GROUP__INSTANCE" in told["advice"]


def test_one_of_two_processors_of_one_name_says_so_and_is_not_live(
    world: World, tmp_path: Path
) -> None:
    # Which of them, and whether Kafka refuses it or puts it out, depends on who came when.
    twin = Service("processor", world.processor.environment, tmp_path / "twin")
    both = [world.processor, twin]
    for processor in both:
        # No take-over ends within a heartbeat, as with the default.
        processor.environment |= {"RAGTIME_BATCH__LEASE_S": "5"}
        processor.command = [sys.executable, "-c", _IMPATIENT]
    try:
        for processor in both:
            processor.start()
        wait_until(lambda: "left_out" in {_liveness(one) for one in both}, "it is seen", 120)
        named = {"RAGTIME_DOCTOR__SERVICES": ",".join(one.url for one in both)}
        examined = json.loads(try_command(world.environment | named, "doctor", "--json").stdout)
    finally:
        twin.close()
    assert '"membership.left_out"' in "".join(one.log.read_text("utf-8") for one in both)
    services = {one["name"]: one for one in examined["checks"]}["services"]
    assert (services["status"], "is not well" in services["seen"]) == ("fail", True)


def _liveness(processor: Service) -> str:
    try:
        return str(httpx.get(f"{processor.url}/healthz/live", timeout=5).json()["status"])
    except httpx.TransportError:
        return ""
