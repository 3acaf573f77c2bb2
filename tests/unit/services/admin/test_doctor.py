"""What the doctor says of what it saw: faults that no machine for tests can have, and the JSON."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, Error, ProgrammingError
from clickhouse_connect.driver.models import SettingDef
from msgspec.structs import replace

from libs.clickhouse.migrations import read_migrations
from libs.clickhouse.rights import INSERT, SELECT, SERVICES, rights_of, tables_of
from libs.settings import ClickHouseSettings, KafkaSettings
from services.admin.doctor import clocks, disk, memory, peppers, progress, services, tables
from services.admin.doctor.disk import Disk
from services.admin.doctor.examination import CHECKS, examine
from services.admin.doctor.findings import (
    EXIT_CODES,
    Finding,
    Status,
    as_json,
    fail,
    ok,
    warn,
    worst,
)
from services.admin.doctor.installation import Installation
from services.admin.doctor.older_topics import Rest
from services.admin.doctor.progress import Waiting
from services.admin.doctor.rights import TABLES
from services.admin.doctor.services import trouble_of
from services.admin.doctor.statements import STATEMENTS, Statement, refusal
from services.admin.doctor.topics import Topic
from services.admin.doctor.topics import judge as judge_topics
from services.admin.settings import DoctorSettings, DoctorThresholds
from services.admin.words import age, listed, size

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
GB = 10**9


def installation(**doctor: Any) -> Installation:
    settings = DoctorSettings(
        kafka=KafkaSettings(bootstrap_servers="k:1"),
        clickhouse=ClickHouseSettings.model_validate(
            {"url": "http://c:1", "user": "u", "password": "p"}
        ),
        doctor=DoctorThresholds(**doctor),
    )
    return Installation(settings, AsyncExitStack())


@dataclass
class Answer:
    result_rows: list[list[Any]]


@dataclass
class ClockedClient:
    """A ClickHouse whose clock is ahead, and whose table holds stamps or none."""

    ahead_s: float
    stamps: list[list[Any]]

    async def query(self, sql: str) -> Answer:
        return Answer([[time.time() + self.ahead_s]] if "FROM" not in sql else self.stamps)


class Clocked(Installation):
    def __init__(self, client: ClockedClient) -> None:
        super().__init__(installation().settings, AsyncExitStack())
        self._client = client

    async def clickhouse(self) -> Any:
        return self._client


@pytest.mark.parametrize(
    ("ahead_s", "stamps", "status", "told"),
    [
        (0, [], OK, "ClickHouse 0.0"),
        (0, [[20]], OK, "Kafka 0.020 s ahead of ingest"),
        (20, [[20]], WARN, "ahead of this machine"),
        (-3600, [], FAIL, "behind this machine"),
        (0, [[-30_000]], WARN, "Kafka 30.000 s behind ingest"),
        (0, [[90_000]], FAIL, "Kafka 90.000 s ahead of ingest"),
    ],
)
async def test_clocks_are_named_when_they_differ(
    ahead_s: float, stamps: list[list[Any]], status: Status, told: str
) -> None:
    finding = await clocks.clocks(Clocked(ClockedClient(ahead_s, stamps)))
    assert finding.status is status
    assert told in finding.seen


@pytest.mark.parametrize(
    ("found", "status", "told"),
    [
        (Disk("d", 50 * GB, 100 * GB, GB, 0, None), OK, "does not fill"),
        (Disk("d", 50 * GB, 100 * GB, GB, GB, None), OK, "fills in 40 days"),
        (Disk("d", 50 * GB, 100 * GB, GB, 2 * GB, None), WARN, "fills in 20 days"),
        # After ten days as much goes as comes.
        (Disk("d", 50 * GB, 100 * GB, GB, 2 * GB, 10), OK, "does not fill"),
        (Disk("d", 50 * GB, 100 * GB, GB, 2 * GB, 25), WARN, "fills in 20 days"),
        (Disk("d", 9 * GB, 100 * GB, GB, 0, None), FAIL, "9 %"),
    ],
)
def test_disk_is_named_when_it_is_full_or_soon_will_be(
    found: Disk, status: Status, told: str
) -> None:
    finding = disk.judge([found, Disk("other", 99, 100, 0, 0, None)], 10, 30)
    assert finding.status is status
    assert told in finding.seen


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([], OK),
        ([Waiting(0, 9, 59, 0, is_moving=False)], OK),
        ([Waiting(0, 9, 61, 0, is_moving=True)], WARN),
        ([Waiting(0, 9, 61, 0, is_moving=True), Waiting(1, 9, 61, 0, is_moving=False)], FAIL),
        ([Waiting(0, 0, 0, 3, is_moving=False)], FAIL),
        ([Waiting(0, 0, 0, 0, is_moving=False, beyond=7)], FAIL),
    ],
)
def test_lag_is_named_when_records_are_old_or_gone(found: list[Waiting], status: Status) -> None:
    finding = progress.judge(found, 60)
    assert finding.status is status
    assert ("3 records deleted before they were counted" in finding.seen) is any(
        one.lost for one in found
    )


@pytest.mark.parametrize(
    ("topic", "brokers", "min_in_sync", "status", "told"),
    [
        (Topic("t", [1, 1], [1, 1]), 1, 1, OK, ""),
        (Topic("t", [3, 3], [3, 3]), 3, 2, OK, ""),
        (Topic("t", [3, 3], [3, 2]), 3, 2, WARN, "2 of 3 replicas"),
        (Topic("t", [3, 3], [3, 1]), 3, 2, FAIL, "1 replicas in sync, of 2 that must be"),
        (Topic("t", [1, 1], [1, 1]), 1, 2, FAIL, "min.insync.replicas is 2, of 1 replicas"),
        (Topic("t", [1, 1], [1, 1]), 3, 1, WARN, "one replica, with 3 brokers"),
    ],
)
def test_topic_is_named_when_its_copies_are_too_few(
    topic: Topic, brokers: int, min_in_sync: int, status: Status, told: str
) -> None:
    found = topic.troubles(brokers, min_in_sync)
    assert worst(one for one, _ in found) is status
    assert told in "".join(what for _, what in found)


@pytest.mark.parametrize(
    ("rest", "status", "seen"),
    [
        (Rest("old", uncounted=3), FAIL, "older topic old: 3 events are not counted"),
        (
            Rest("old", 3, unread=9),
            FAIL,
            "older topic old: 3 events are not counted, 9 records behind what was counted were not"
            " looked at",
        ),
        (
            Rest("old", unread=9),
            WARN,
            "older topic old: 9 records behind what was counted were not looked at",
        ),
    ],
)
def test_older_topic_is_named_with_what_carries_it_over(
    rest: Rest, status: Status, seen: str
) -> None:
    topic = Topic("t", [1], [1])
    found = judge_topics([topic], [], [rest])
    assert (rest.status, found.status, found.seen) == (status, status, seen)
    assert found.advice.startswith("Run `ragtime topics adopt old`")

    both = judge_topics([topic], [(WARN, "t: other")], [rest])
    assert (both.status, both.seen) == (status, f"t: other; {seen}")
    assert "`ragtime topics --apply`. Run `ragtime topics adopt old`" in both.advice
    assert Rest("old").status is OK


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (200, {"status": "ready", "checks": {"kafka": True}}, ""),
        (503, {"checks": {"kafka": True, "topic": False}}, "topic is not well"),
        (200, {"ok": True}, "HTTP 200, and none of our services answers so"),
        (404, None, "HTTP 404, and none of our services answers so"),
    ],
)
def test_service_is_named_with_the_checks_that_keep_it_from_being_ready(
    status: int, body: object, trouble: str
) -> None:
    assert trouble_of(status, body) == trouble


async def test_services_are_missed_when_nobody_names_them() -> None:
    found = await services.services(installation())
    assert (found.status, "RAGTIME_DOCTOR__SERVICES" in found.advice) == (WARN, True)


@pytest.mark.parametrize(
    ("found", "status", "seen"),
    [
        ({}, OK, "0 active"),
        ({"ours": 3, "before": 1, "": 2}, OK, "6 active"),
        ({"ours": 3, "x": 1}, WARN, "1 of 4 active keys were made with another pepper: x"),
        ({"x": 2}, FAIL, "2 of 2 active keys were made with another pepper: x"),
    ],
)
def test_keys_are_named_when_another_pepper_made_them(
    found: dict[str, int], status: Status, seen: str
) -> None:
    judged = peppers.judge(found, {"ours", "before"})
    assert (judged.status, judged.seen) == (status, seen)


def test_services_need_rights_in_tables_that_there_are() -> None:
    for service in SERVICES:
        grants = rights_of(service)
        assert tables_of(grants, SELECT) | tables_of(grants, INSERT) <= TABLES
    assert set(STATEMENTS) == set(SERVICES)


class Refusing:
    """A ClickHouse whose user's profile, or grants, refuse whatever is asked.

    The profile has fixed one setting, which no service sends then.
    """

    server_settings: ClassVar = {"max_memory_usage": SettingDef("max_memory_usage", "1", 1)}

    def __init__(self, error: Error) -> None:
        self._error = error

    async def raw_query(self, _sql: str, _parameters: object, *, settings: object) -> bytes:
        assert settings == {"max_threads": 1, "max_result_rows": "2"}
        raise self._error

    async def raw_insert(self, _table: str, *, settings: object, **_given: object) -> None:
        assert settings == {"max_threads": 1, "max_result_rows": "2"}
        raise self._error


_DENIED = "Code: 497. it's necessary to have the grant SELECT ON d.events. (ACCESS_DENIED)"


@pytest.mark.parametrize(
    ("error", "lacks", "lacks_optionally"),
    [
        (DatabaseError(_DENIED, code=497), "SELECT ON d.events", ""),
        (DatabaseError("readonly mode", code=164), "error 164", ""),
        (
            ProgrammingError("Setting max_threads is readonly"),
            "Setting max_threads is readonly",
            "",
        ),
        (DatabaseError("too large", code=452), "too large", "too large"),
        (DatabaseError("unknown setting", code=115), "unknown setting", "unknown setting"),
        (DatabaseError("no data", code=108), "", ""),
    ],
)
@pytest.mark.parametrize(("sql", "table"), [("SELECT 1", ""), ("", "events")])
async def test_statement_lacks_the_right_or_the_setting_that_is_refused(
    sql: str, table: str, error: Error, lacks: str, lacks_optionally: str
) -> None:
    client: Any = Refusing(error)
    sent = {"max_memory_usage": "9", "max_result_rows": "2"}
    must = Statement("s", sql, table, sent=sent, settings={"max_threads": 1})
    may = replace(must, optional=True)
    assert [await refusal(client, must), await refusal(client, may)] == [lacks, lacks_optionally]


def test_migrations_fail_with_the_reason_when_the_database_is_one_of_several_servers() -> None:
    applied = {one.number: one.checksum for one in read_migrations()}
    assert tables.judge({"d": "Atomic"}, applied).status is OK
    found = tables.judge({"d": "Shared"}, applied)
    assert found.status is FAIL
    assert found.seen.startswith("d has the engine Shared: ")


def test_tables_that_are_applied_and_gone_are_told() -> None:
    applied = {one.number: one.checksum for one in read_migrations()}
    found = tables.judge(
        {"d": "Atomic", "d.topics": "MergeTree"}, applied, {"d.events", "d.topics"}
    )
    assert (found.status, found.seen) == (FAIL, "applied, and not there: d.events")


async def test_one_check_fails_and_the_others_go_on_when_it_cannot_run() -> None:
    async def breaks(_: Installation) -> Finding:
        raise ConnectionError("nobody there\nsecond line")

    async def hangs(_: Installation) -> Finding:
        await asyncio.sleep(3600)
        return ok("never")

    async def works(_: Installation) -> Finding:
        return ok("well")

    checks = {"breaks": breaks, "hangs": hangs, "works": works}
    found = await examine(installation(deadline_s=0.05), checks)

    assert [(name, one.status) for name, one in found.items()] == [
        ("breaks", FAIL),
        ("hangs", FAIL),
        ("works", OK),
    ]
    assert found["breaks"].seen == "ConnectionError: nobody there"
    assert found["hangs"].seen == "no answer within 0.05 s"


def test_json_has_the_fields_that_programs_read() -> None:
    """A field that goes or changes its meaning asks for another version."""
    found = {"a": ok("1"), "b": warn("2", "3", "4"), "c": fail("5", "6", "7")}
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert json.loads(json.dumps(as_json(found, at))) == {
        "version": 1,
        "at": "2026-11-25T12:00:00+00:00",
        "verdict": "fail",
        "checks": [
            {"name": "a", "status": "ok", "seen": "1", "expected": "", "advice": ""},
            {"name": "b", "status": "warn", "seen": "2", "expected": "3", "advice": "4"},
            {"name": "c", "status": "fail", "seen": "5", "expected": "6", "advice": "7"},
        ],
    }
    assert EXIT_CODES == {OK: 0, WARN: 1, FAIL: 2}


def test_names_of_checks_stay() -> None:
    assert list(CHECKS) == [
        "ragtime",
        "clickhouse",
        "kafka",
        "clocks",
        "settings",
        "migrations",
        "rights",
        "keys",
        "store",
        "topics",
        "services",
        "processors",
        "lag",
        "memory",
        "dead-letters",
        "counts",
        "retention",
        "tables",
        "deletions",
        "log-tables",
        "disk",
    ]


def test_numbers_are_short_when_people_read_them() -> None:
    assert [size(999), size(1500), size(2.5e9), size(3e12)] == [
        "999 B",
        "1.5 kB",
        "2.5 GB",
        "3.0 TB",
    ]
    assert [age(1.25), age(119), age(300), age(86_400 * 3)] == [
        "1.2 s",
        "119.0 s",
        "5 min",
        "3 days",
    ]
    assert listed(["a"] * 7) == "a, a, a, a, a and 2 more"


@pytest.mark.parametrize(
    ("identities", "processors", "status"),
    [
        (0, 0, OK),
        (1_000_000, 1, OK),
        (1_300_000, 1, WARN),
        (1_300_000, 2, OK),
        (1_300_000, 0, WARN),
    ],
)
def test_memory_is_told_when_a_day_nearly_fills_it(
    identities: int, processors: int, status: Status
) -> None:
    assert memory.judge(identities, processors, 25_000_000).status is status
