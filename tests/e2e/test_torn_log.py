"""A broker loses counted records, and others take their offsets before anybody looks: it is seen.

The new records that took the offsets of lost ones are never read, and those behind them are, so the
last record of the table is the last one of the log again. Only the start of the leader's epoch
tells.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from libs.events.partitions import partition_of
from tests.e2e.lines import line
from tests.e2e.processes import Process, Service, run_command, try_command
from tests.e2e.stack import database_client, environment_of, topics_of, user_of
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.own_servers import running_servers, tear_log, wait_until_answering
from tests.servers import Servers

pytestmark = pytest.mark.e2e

_KEPT, _LOST, _NEW = 5, 3, 7
_QUICK = {"RAGTIME_BATCH__LEASE_S": "1", "RAGTIME_GROUP__SESSION_TIMEOUT_S": "10"}
_MISMATCHED = "\nragtime_partitions_mismatched 1.0\n"


@dataclass
class Alone:
    """A processor and servers of its own."""

    folder: Path
    servers: dict[str, Process]
    found: Servers
    environment: dict[str, str]
    processor: Service
    topics: Topics
    database: Client

    def write(self, *ids: str, conversation: str = "c-1") -> None:
        """A record an event, all in one batch."""
        lines = [line("p", one, conversation_id=conversation) for one in ids]
        self.topics.write(lines, partition_of(f"p:{conversation}", self.topics.partitions))

    def counted(self) -> set[str]:
        """The ids of all rows; fails where one is there twice."""
        rows = self.database.query("SELECT id FROM events").result_rows
        ids = [name for (name,) in rows]
        assert len(ids) == len(set(ids))
        return set(ids)

    def tear(self) -> None:
        """Lose the end of the log of `c-1`, and take its offsets, and more, at once."""
        self.servers["kafka"].kill()
        tear_log(self.folder, self.topics.events, _LOST)
        self.servers["kafka"].start()
        wait_until_answering(self.found)
        self.write(*_ids("new", _NEW))

    def metrics(self) -> str:
        """What the processor shows."""
        return HTTP.get(f"{self.processor.url}/metrics").text

    def mismatches(self) -> set[str]:
        """The reasons that the log gives."""
        return {line["reason"] for line in self.processor.said("topic.mismatch")}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    with ExitStack() as closing:
        servers, found = closing.enter_context(running_servers(tmp_path))
        environment = environment_of(found) | _QUICK
        run_command(environment, "init")
        database = closing.enter_context(database_client(environment))
        processor = Service(
            "processor", environment | user_of(found, "processor"), tmp_path / "log"
        )
        processor.start()
        closing.callback(processor.close)
        processor.wait_until_ready()
        topics = topics_of(environment)
        yield Alone(tmp_path, servers, found, environment, processor, topics, database)


def _ids(prefix: str, *numbers: int) -> list[str]:
    return [f"{prefix}-{at}" for at in range(*numbers)]


@pytest.mark.parametrize("is_killed", [False, True], ids=["runs on", "is killed before it looks"])
def test_records_that_took_the_place_of_lost_ones_are_counted_after_the_cure(
    alone: Alone, *, is_killed: bool
) -> None:
    alone.write(*_ids("kept", _KEPT))
    for one in _ids("lost", _LOST):
        alone.write(one)
    alone.topics.wait_until_read(60)
    alone.tear()
    unread = _ids("new", _LOST)
    read = {*_ids("kept", _KEPT), *_ids("lost", _LOST), *_ids("new", _LOST, _NEW)}
    wait_until(lambda: alone.counted() == read, "what lies behind is counted, as if all was", 60)
    if is_killed:
        alone.processor.kill()
    else:
        assert alone.processor.wait(60) == 1

    alone.processor.start()
    torn = partition_of("p:c-1", alone.topics.partitions)
    reason = f"{alone.topics.events}/{torn} holds another record at offset {_KEPT}"
    wait_until(lambda: alone.mismatches() == {reason}, "the processor says so", 60)
    assert partition_of("p:c-2", alone.topics.partitions) != torn
    alone.write("other", conversation="c-2")
    alone.write("waits")
    read.add("other")
    wait_until(lambda: alone.counted() == read, "other partitions are counted", 60)
    wait_until(lambda: _MISMATCHED in alone.metrics(), "the metric tells", 30)
    examined = json.loads(try_command(alone.environment, "doctor", "--json").stdout)
    (found,) = [one for one in examined["checks"] if one["name"] == "topics"]
    assert (found["status"], found["seen"]) == ("fail", reason)
    audited = try_command(alone.environment, "audit")
    assert (audited.code, reason in audited.stdout.decode()) == (1, True)

    _move(alone)
    wait_until(lambda: alone.counted() == read | {*unread, "waits"}, "all is counted", 60)
    assert run_command(alone.environment, "audit", "--every-record").endswith("no difference\n")


def _move(alone: Alone) -> None:
    """The cure of "A topic that is another"."""
    alone.processor.kill()
    old = alone.topics.events
    alone.environment |= {"RAGTIME_KAFKA__EVENTS_TOPIC": f"{old}-2"}
    run_command(alone.environment, "init")
    adopt = ("topics", "adopt", old, "--apply")
    wait_until(
        lambda: try_command(alone.environment, *adopt).code == 0, "the old one is carried over", 90
    )
    alone.processor.environment |= alone.environment | user_of(alone.found, "processor")
    alone.processor.start()
    alone.processor.wait_until_ready()
    alone.topics = replace(alone.topics, events=f"{old}-2")


def test_partition_is_counted_on_when_its_broker_comes_back_with_all_that_it_had(
    alone: Alone,
) -> None:
    alone.write(*_ids("kept", _KEPT))
    alone.topics.wait_until_read(60)
    for at in range(2):
        alone.servers["kafka"].kill()
        alone.servers["kafka"].start()
        wait_until_answering(alone.found)
        alone.write(*_ids(f"new-{at}", _NEW))
        alone.topics.wait_until_read(60)
    alone.processor.kill()
    alone.processor.start()
    alone.processor.wait_until_ready()
    assert alone.mismatches() == set()
    assert len(alone.counted()) == _KEPT + 2 * _NEW
