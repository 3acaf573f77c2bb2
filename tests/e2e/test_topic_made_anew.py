"""A topic deleted and made anew under its name: the processor counts nothing from it, loudly."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from libs.events.partitions import partition_of
from tests.e2e.lines import line
from tests.e2e.processes import Service, run_command
from tests.e2e.stack import database_client, environment_of, topics_of, user_of
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.servers import Servers

pytestmark = pytest.mark.e2e

BEFORE, AFTER = 5, 9
MOVED_PARTITIONS = 7


@dataclass
class Alone:
    """A processor with topics, a group and a database of its own."""

    environment: dict[str, str]
    processor: Service
    topics: Topics
    database: Client

    def write(self, prefix: str, records: int) -> None:
        _write(self.topics, [line("p", f"{prefix}-{at}") for at in range(records)])

    def counted(self) -> list[str]:
        """The ids of all rows."""
        rows = self.database.query("SELECT id FROM events ORDER BY id").result_rows
        return [name for (name,) in rows]

    def make_topic_anew(self) -> None:
        """Delete both topics and let `ragtime init` make them, as soon as Kafka has done it."""
        self.topics.delete()

        def is_made() -> bool:
            return f"made {self.topics.events}" in run_command(self.environment, "init")

        wait_until(is_made, "the topic is made anew")

    def mismatches(self) -> list[str]:
        """The reasons that the log gives."""
        text = self.processor.log.read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines() if '"topic.mismatch"' in line]
        return [line["reason"] for line in lines]

    def checks(self) -> dict[str, bool]:
        answer = HTTP.get(f"{self.processor.url}/healthz/ready")
        assert answer.status_code == 503, answer.text
        checks: dict[str, bool] = answer.json()["checks"]
        return checks


def _write(topics: Topics, lines: list[bytes]) -> None:
    topics.write(lines, partition_of("p:c-1", topics.partitions))


@pytest.fixture
def alone(real_servers: Servers, tmp_path: Path) -> Iterator[Alone]:
    environment = environment_of(real_servers) | {"RAGTIME_BATCH__LEASE_S": "1"}
    run_command(environment, "init")
    topics = topics_of(environment)
    with ExitStack() as closing:
        closing.callback(topics.delete)
        database = closing.enter_context(database_client(environment))
        processor = Service(
            "processor", environment | user_of(real_servers, "processor"), tmp_path / "log"
        )
        processor.start()
        closing.callback(processor.close)
        processor.wait_until_ready()
        yield Alone(environment, processor, topics, database)


def test_processor_counts_nothing_when_its_topic_was_made_anew(alone: Alone) -> None:
    alone.write("before", BEFORE)
    alone.topics.wait_until_read(60)
    counted = alone.counted()
    assert len(counted) == BEFORE
    alone.processor.stop()
    alone.make_topic_anew()
    alone.write("after", AFTER)

    alone.processor.start()
    wait_until(lambda: len(alone.mismatches()) > 1, "the processor says so, again and again", 60)

    place = f"{alone.topics.events}/{partition_of('p:c-1', alone.topics.partitions)}"
    assert set(alone.mismatches()) == {f"{place} holds another record at offset {BEFORE - 1}"}
    checks = alone.checks()
    assert [name for name, is_true in checks.items() if not is_true] == ["partitions"]
    assert alone.counted() == counted


def test_processor_goes_on_when_the_events_move_to_a_topic_of_another_name(alone: Alone) -> None:
    alone.write("before", BEFORE)
    alone.topics.wait_until_read(60)
    alone.processor.stop()
    moved = alone.environment | {
        "RAGTIME_KAFKA__EVENTS_TOPIC": f"{alone.topics.events}-2",
        "RAGTIME_TOPICS__PARTITIONS": str(MOVED_PARTITIONS),
    }
    run_command(moved, "init")
    new = replace(alone.topics, events=f"{alone.topics.events}-2", partitions=MOVED_PARTITIONS)
    _write(new, [line("p", "before-0"), line("p", "new")])

    alone.processor.environment |= {"RAGTIME_KAFKA__EVENTS_TOPIC": new.events}
    alone.processor.start()
    alone.processor.wait_until_ready()
    new.wait_until_read(60)

    assert alone.counted() == [f"before-{at}" for at in range(BEFORE)] + ["new"]
    assert run_command(moved, "audit", "--every-record").endswith("no difference\n")
    new.delete()
