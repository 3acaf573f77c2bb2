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
from tests.e2e.processes import Service, run_command, try_command
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

    def mismatches(self) -> list[str]:
        """The reasons that the log gives."""
        return [line["reason"] for line in self.processor.said("topic.mismatch")]

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


def test_other_partitions_are_counted_when_one_is_not_what_was_counted_from(alone: Alone) -> None:
    alone.write("before", BEFORE)
    alone.topics.wait_until_read(60)
    counted = alone.counted()
    assert len(counted) == BEFORE
    alone.processor.stop()
    alone.topics.delete()
    alone.topics.make()
    alone.write("after", AFTER)
    others = [line("p", f"other-{at}", conversation_id="c-2") for at in range(3)]
    other = partition_of("p:c-2", alone.topics.partitions)

    alone.processor.start()
    wait_until(lambda: len(alone.mismatches()) > 1, "the processor says so, again and again", 60)
    alone.topics.write(others[:1], other)
    wait_until(lambda: alone.counted() == [*counted, "other-0"], "the other is counted")
    alone.topics.write(others[1:], other)
    wait_until(lambda: len(alone.counted()) == BEFORE + len(others), "it goes on")

    torn = partition_of("p:c-1", alone.topics.partitions)
    assert torn != other
    place = f"{alone.topics.events}/{torn}"
    assert set(alone.mismatches()) == {f"{place} holds another record at offset {BEFORE - 1}"}
    checks = alone.checks()
    assert [name for name, is_true in checks.items() if not is_true] == ["topic"]
    metrics = HTTP.get(f"{alone.processor.url}/metrics").text
    assert "\nragtime_partitions_mismatched 1.0\n" in metrics
    assert not [name for name in alone.counted() if name.startswith("after")]
    status, seen, _ = _topics_as_examined(alone.environment)
    assert (status, seen) == ("fail", f"{place} holds another record at offset {BEFORE - 1}")


def test_each_accepted_event_is_counted_when_the_topic_made_anew_is_carried_over(
    alone: Alone,
) -> None:
    alone.write("before", BEFORE)
    alone.topics.wait_until_read(60)
    alone.processor.stop()
    alone.topics.delete()
    alone.topics.make()
    alone.write("after", AFTER)
    alone.write("before", 1)  # its producer sends it again
    alone.processor.start()
    wait_until(lambda: bool(alone.mismatches()), "the processor says so", 60)
    old = alone.topics.events
    adopt = ("topics", "adopt", old)

    itself = try_command(alone.environment, *adopt, "--apply")
    assert (itself.code, "is the one of the settings" in itself.stderr) == (1, True)
    moved = alone.environment | {
        "RAGTIME_KAFKA__EVENTS_TOPIC": f"{old}-2",
        "RAGTIME_TOPICS__PARTITIONS": str(MOVED_PARTITIONS),
    }
    early = try_command(moved, *adopt)
    assert (early.code, f"topic {old}-2 is not in Kafka" in early.stderr) == (1, True)
    run_command(moved, "init")
    running = try_command(moved, *adopt, "--apply")
    assert (running.code, f"reads topic {old}" in running.stderr) == (1, True)
    told = run_command(moved, *adopt)
    assert f"{AFTER} events not counted" in told
    status, seen, advice = _topics_as_examined(moved)
    assert (status, seen) == ("fail", f"older topic {old}: {AFTER} events are not counted")
    assert f"`ragtime topics adopt {old}`" in advice

    alone.processor.stop()
    assert f"{AFTER} events carried into {old}-2" in run_command(moved, *adopt, "--apply")
    new = replace(alone.topics, events=f"{old}-2", partitions=MOVED_PARTITIONS)
    alone.processor.environment |= {"RAGTIME_KAFKA__EVENTS_TOPIC": new.events}
    alone.processor.start()
    alone.processor.wait_until_ready()
    new.wait_until_read(60)
    assert "0 events carried" in run_command(moved, *adopt, "--apply")
    assert _topics_as_examined(moved)[0] == "ok"

    assert alone.counted() == sorted(
        [f"after-{at}" for at in range(AFTER)] + [f"before-{at}" for at in range(BEFORE)]
    )
    assert run_command(moved, "audit", "--every-record").endswith("no difference\n")
    new.delete()


def _topics_as_examined(environment: dict[str, str]) -> tuple[str, str, str]:
    """What the doctor says of the topics: how they are, what it saw, what to do."""
    examined = json.loads(try_command(environment, "doctor", "--json").stdout)
    (topics,) = [one for one in examined["checks"] if one["name"] == "topics"]
    return topics["status"], topics["seen"], topics["advice"]


def test_init_refuses_a_topic_that_was_counted_from_and_makes_it_by_consent(alone: Alone) -> None:
    alone.write("before", BEFORE)
    alone.topics.wait_until_read(60)
    alone.topics.delete()

    refused = try_command(alone.environment, "init")
    assert refused.code == 1
    assert f"{BEFORE} records of it were counted" in refused.stderr
    assert "ragtime init --anew" in refused.stderr
    status, _, advice = _topics_as_examined(alone.environment)
    assert (status, "Events were counted from it." in advice) == ("fail", True)
    running = try_command(alone.environment, "init", "--anew")
    assert running.code == 1
    assert "stop the processors first" in running.stderr

    alone.processor.stop()
    said = run_command(alone.environment, "init", "--anew")
    assert f"its events are counted as {alone.topics.events}#2" in said
    assert f"made {alone.topics.events}" in said
    assert "already there" in run_command(alone.environment, "init", "--anew")
    alone.write("before", 1)  # its producer sends it again
    alone.write("after", AFTER)
    alone.processor.start()
    alone.processor.wait_until_ready()
    alone.topics.wait_until_read(60)

    assert alone.counted() == sorted(
        [f"after-{at}" for at in range(AFTER)] + [f"before-{at}" for at in range(BEFORE)]
    )
    assert alone.mismatches() == []
    alone.processor.stop()
    alone.processor.start()  # it recovers from the rows of the new name
    alone.processor.wait_until_ready()
    audited = run_command(alone.environment, "audit", "--every-record")
    assert audited.endswith("no difference\n")


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
