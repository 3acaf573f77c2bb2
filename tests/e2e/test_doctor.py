"""The doctor names each fault that is planted on the running product, and nothing else.

All faults are real but two: the disk is called full by a threshold above what is free, and the
clock that is wrong is ingest's, by the stamp of an event that is written as ingest writes it.
ClickHouse's clock, and a disk that fills, are in tests/unit/services/admin/test_doctor.py.
"""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from clickhouse_connect.driver.client import Client

from tests.e2e.processes import Process, try_command
from tests.e2e.stack import Project, Stack, running_stack, told_to_doctor
from tests.own_servers import running_servers, tear_log, wait_until_answering
from tests.servers import Servers

pytestmark = pytest.mark.e2e


@dataclass
class Patient:
    """The product, its servers, and how the doctor is told of them."""

    stack: Stack
    servers: dict[str, Process]
    found: Servers
    users: Path
    project: Project
    told: dict[str, str] = field(default_factory=dict)

    def examine(self, **told: str) -> "Report":
        """What the doctor says, told some more variables."""
        environment = self.stack.environment | self.told | told
        done = try_command(environment, "doctor", "--json")
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        return Report(done.code, json.loads(done.stdout))

    def operator(self) -> Client:
        """A client of who may do anything on the server, `system` too."""
        address = urlsplit(self.found.clickhouse_url)
        return clickhouse_connect.get_client(
            host=address.hostname,
            port=address.port,
            username=self.found.operator.user,
            password=self.found.operator.password,
            database="system",
        )

    def damage(self, sql: str) -> None:
        self.stack.database.command(sql, settings={"mutations_sync": 2})

    def write(self, accepted_at: datetime, partition: int) -> None:
        """Write an event as ingest does."""
        now = datetime.now(UTC).isoformat()
        event = {
            "type": "chat.message",
            "project_id": self.project.id,
            "is_live": True,
            "id": f"written-{accepted_at.timestamp()}",
            "occurred_at": now,
            "accepted_at": accepted_at.isoformat(),
            "session_id": "s",
            "conversation_id": "c",
            "role": "user",
        }
        self.stack.topics.write([json.dumps(event).encode()], partition)

    def restart_clickhouse(self) -> None:
        """Stop it and start it again; return when all is well again."""
        self.servers["clickhouse"].stop()
        self.servers["clickhouse"].start()
        wait_until_answering(self.found)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when all services say so."""
        for service in self.stack.services.values():
            service.wait_until_ready()


@dataclass
class Report:
    """The doctor's exit code, and what it printed."""

    code: int
    printed: dict[str, Any]

    @property
    def named(self) -> dict[str, str]:
        """The checks that are not well, with what was seen."""
        return {
            check["name"]: check["seen"]
            for check in self.printed["checks"]
            if check["status"] != "ok"
        }


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """A stack of its own: others must not suffer from these faults."""
    folder = tmp_path_factory.mktemp("doctor")
    with running_servers(folder) as (servers, found), running_stack(found, folder) as stack:
        (project,) = stack.new_projects(1)
        message = {"type": "chat.message", "role": "user", "sessionId": "s", "conversationId": "c"}
        stack.post_events(project, [message])
        stack.wait_until_counted()
        told = told_to_doctor(stack, found)
        users = folder / "clickhouse-users.json"
        yield Patient(stack, servers, found, users, project, told)


Fault = Callable[[Patient], AbstractContextManager[dict[str, str]]]


@contextmanager
def planted(fault: Fault, patient: Patient) -> Iterator[dict[str, str]]:
    """A fault for the time of the block, taken away also where the block fails."""
    there = fault(patient)
    told = there.__enter__()
    try:
        yield told
    finally:
        there.__exit__(None, None, None)
        patient.wait_until_ready()  # one that was frozen has to join its group again, say


@contextmanager
def stopped_processor(patient: Patient) -> Iterator[dict[str, str]]:
    patient.stack.restart("processor")  # its offsets are committed
    patient.stack.services["processor"].stop()
    yield {}
    patient.stack.services["processor"].start()
    patient.stack.services["processor"].wait_until_ready()


@contextmanager
def stopped_query(patient: Patient) -> Iterator[dict[str, str]]:
    patient.stack.services["query"].stop()
    yield {}
    patient.stack.services["query"].start()
    patient.stack.services["query"].wait_until_ready()


@contextmanager
def foreign_service(patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_DOCTOR__SERVICES": patient.found.clickhouse_url}


@contextmanager
def unknown_name(_patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_DOCTOR__SERVICES": "http://no-such.invalid:8081"}


@contextmanager
def foreign_pepper(_patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_ACCESS__PEPPER": "another pepper than the services have"}


@contextmanager
def store_away(_patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_RATE_LIMIT__STORE_URL": "redis://127.0.0.1:1"}


@contextmanager
def lagging_partition(patient: Patient) -> Iterator[dict[str, str]]:
    patient.stack.services["processor"].freeze()
    patient.write(datetime.now(UTC), 1)
    yield {"RAGTIME_DOCTOR__MAX_LAG_S": "0.001"}
    patient.stack.services["processor"].thaw()
    patient.stack.wait_until_counted()


@contextmanager
def missing_migration(patient: Patient) -> Iterator[dict[str, str]]:
    patient.damage("ALTER TABLE migrations DELETE WHERE number = 8")
    yield {}
    patient.stack.ragtime("migrate")


@contextmanager
def altered_migration(patient: Patient) -> Iterator[dict[str, str]]:
    patient.damage("INSERT INTO migrations VALUES (8, 'retention', 'other', now64(3))")
    yield {}
    patient.damage("ALTER TABLE migrations DELETE WHERE checksum = 'other'")


@contextmanager
def unknown_migration(patient: Patient) -> Iterator[dict[str, str]]:
    patient.damage("INSERT INTO migrations VALUES (9999, 'newer', 'x', now64(3))")
    yield {}
    patient.damage("ALTER TABLE migrations DELETE WHERE number = 9999")


@contextmanager
def wrong_retention_of_a_topic(patient: Patient) -> Iterator[dict[str, str]]:
    other = patient.stack.environment | {"RAGTIME_TOPICS__RETENTION_HOURS": "48"}
    assert try_command(other, "topics", "--apply").code == 0
    yield {}
    patient.stack.ragtime("topics", "--apply")


@contextmanager
def wrong_retention_of_the_table(patient: Patient) -> Iterator[dict[str, str]]:
    other = patient.stack.environment | {"RAGTIME_RETENTION__EVENTS_DAYS": "500"}
    assert try_command(other, "retention", "--apply").code == 0
    yield {}
    patient.stack.ragtime("retention", "--apply")


@contextmanager
def dead_letters(patient: Patient) -> Iterator[dict[str, str]]:
    patient.stack.topics.write([b"no json"], 0)
    # A row behind it: without one the line is diverted again whenever a processor recovers.
    patient.write(datetime.now(UTC), 0)
    patient.stack.wait_until_counted()
    yield {}
    asyncio.run(_delete_dead_letters(patient))


async def _delete_dead_letters(patient: Patient) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=patient.found.kafka)
    await admin.start()
    partition = TopicPartition(patient.stack.topics.dead_letters, 0)
    await admin.delete_records({partition: RecordsToDelete(-1)})
    await admin.close()


@contextmanager
def clock_of_ingest_ahead(patient: Patient) -> Iterator[dict[str, str]]:
    patient.write(datetime.now(UTC) + timedelta(minutes=10), 2)
    patient.stack.wait_until_counted()
    yield {}
    patient.damage("ALTER TABLE events UPDATE accepted_at = appended_at WHERE true")


@contextmanager
def full_disk(_patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_DOCTOR__DISK_FREE_PERCENT": "100"}


@contextmanager
def endless_log_table(patient: Patient) -> Iterator[dict[str, str]]:
    with patient.operator() as operator:
        operator.command("CREATE TABLE system.planted_log (x UInt8) ENGINE = MergeTree ORDER BY x")
        yield {}
        operator.command("DROP TABLE system.planted_log SYNC")


@contextmanager
def changed_users(patient: Patient, change: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    before = patient.users.read_text()
    of_file = json.loads(before)
    users = {user["name"]: user for user in of_file["users"]}
    change(users)
    patient.users.write_text(json.dumps(of_file | {"users": list(users.values())}))
    patient.restart_clickhouse()
    yield
    patient.users.write_text(before)
    patient.restart_clickhouse()


@contextmanager
def revoked_right(patient: Patient) -> Iterator[dict[str, str]]:
    of_sources = "GRANT INSERT ON {database}.source_names"
    with changed_users(patient, lambda users: users["processor"]["grants"].remove(of_sources)):
        yield {}


@contextmanager
def denied_processes(patient: Patient) -> Iterator[dict[str, str]]:
    of_system = "GRANT SELECT ON system.processes"
    with changed_users(patient, lambda users: users["processor"]["grants"].remove(of_system)):
        yield {}


@contextmanager
def one_column_less(patient: Patient) -> Iterator[dict[str, str]]:
    # Whoever asks for one column sees nothing: a statement names the one that is missing.
    def change(users: dict[str, Any]) -> None:
        grants: list[str] = users["query"]["grants"]
        grants[grants.index("GRANT SELECT ON {database}.source_names")] = (
            "GRANT SELECT(project_id, id, is_live) ON {database}.source_names"
        )

    with changed_users(patient, change):
        yield {}


@contextmanager
def column_of_the_keys_less(patient: Patient) -> Iterator[dict[str, str]]:
    def change(users: dict[str, Any]) -> None:
        grants: list[str] = users["ingest"]["grants"]
        grants[grants.index("GRANT SELECT ON {database}.api_keys")] = (
            "GRANT SELECT(id, updated_at) ON {database}.api_keys"
        )

    with changed_users(patient, change):
        yield {}


@contextmanager
def revoked_user(patient: Patient) -> Iterator[dict[str, str]]:
    with changed_users(patient, lambda users: users.pop("ingest")):
        yield {}


@contextmanager
def right_beyond(patient: Patient) -> Iterator[dict[str, str]]:
    of_keys = "GRANT INSERT ON {database}.api_keys"
    with changed_users(patient, lambda users: users["ingest"]["grants"].append(of_keys)):
        yield {}


@contextmanager
def contradicting_setting(_patient: Patient) -> Iterator[dict[str, str]]:
    yield {"RAGTIME_DOCTOR__REPLICAS": "3"}


@contextmanager
def wrong_count(patient: Patient) -> Iterator[dict[str, str]]:
    copy = "INSERT INTO daily_counts SELECT DISTINCT * REPLACE ({} AS value) FROM daily_counts"
    patient.damage(copy.format("toInt64(1)"))
    yield {}
    patient.damage(copy.format("toInt64(-1)"))


@pytest.mark.parametrize(
    ("fault", "check", "code", "seen"),
    [
        (stopped_processor, "processors", 2, "partitions without one: 0, 1, 2, 3"),
        (stopped_query, "services", 2, "no answer (ConnectError)"),
        (foreign_service, "services", 2, "HTTP 404, and none of our services answers so"),
        (unknown_name, "services", 2, "its name has no address"),
        (foreign_pepper, "keys", 2, "active keys were made with another pepper"),
        (store_away, "store", 2, "no answer (ConnectionError)"),
        (lagging_partition, "lag", 2, "partition 1: 1 records"),
        (missing_migration, "migrations", 2, "0008 is missing"),
        (altered_migration, "migrations", 2, "0008 was altered"),
        (unknown_migration, "migrations", 2, "9999 is unknown"),
        (wrong_retention_of_a_topic, "topics", 1, "retention.ms is 172800000, set is 604800000"),
        (wrong_retention_of_the_table, "retention", 1, "raw events are kept for 500 days"),
        (dead_letters, "dead-letters", 1, "1, the newest (not_json)"),
        (clock_of_ingest_ahead, "clocks", 2, "s behind ingest"),
        (full_disk, "disk", 2, " free ("),
        (endless_log_table, "log-tables", 1, "without a TTL: system.planted_log"),
        (revoked_right, "rights", 2, "processor may not insert into source_names"),
        (denied_processes, "rights", 2, "processor may not read system.processes"),
        (one_column_less, "rights", 2, "query may not run source_names: SELECT ON"),
        (column_of_the_keys_less, "rights", 2, "ingest may not run keys_rows: SELECT"),
        (revoked_user, "rights", 2, "ingest cannot log in"),
        (right_beyond, "rights", 1, "ingest may insert into api_keys"),
        (contradicting_setting, "settings", 1, "RAGTIME_RATE_LIMIT__STORE_URL: not set, with 3"),
        (wrong_count, "counts", 2, ", in_daily_counts="),
    ],
)
def test_doctor_names_the_fault_and_no_other_when_one_is_planted(
    patient: Patient, fault: Fault, check: str, code: int, seen: str
) -> None:
    with planted(fault, patient) as told:
        report = patient.examine(**told)
    # A processor that is stopped, or tables that do not fit: a service says so too.
    assert set(report.named) - {"services"} == {check} - {"services"}, report.named
    assert seen in report.named[check]
    assert report.code == code


@contextmanager
def torn_log(patient: Patient) -> Iterator[None]:
    """A broker that has lost the end of a log, with what was counted of it; the disk comes back."""
    kafka, processor = patient.servers["kafka"], patient.stack.services["processor"]
    patient.stack.wait_until_counted()
    kafka.kill()
    put_back = tear_log(patient.users.parent, patient.stack.topics.events)
    kafka.start()
    wait_until_answering(patient.found)
    try:
        yield
    finally:
        processor.kill()
        kafka.kill()
        put_back()
        kafka.start()
        wait_until_answering(patient.found)
        processor.start()
        patient.wait_until_ready()


def test_doctor_names_the_partition_when_the_broker_has_lost_the_end_of_its_log(
    patient: Patient,
) -> None:
    with torn_log(patient):
        report = patient.examine()
        ended = patient.stack.services["processor"].wait(60)
    assert re.search(
        r"/\d ends before offset \d+, and offset \d+ was counted", report.named["topics"]
    )
    assert (report.code, ended) == (2, 1)


def test_doctor_writes_what_it_found_as_metrics(patient: Patient, tmp_path: Path) -> None:
    environment = patient.stack.environment | patient.told | {"RAGTIME_DOCTOR__REPLICAS": "3"}
    file = tmp_path / "ragtime.prom"
    assert try_command(environment, "doctor", "--metrics", str(file)).code == 1
    shown = dict(line.rsplit(" ", 1) for line in file.read_text().splitlines() if line[0] != "#")
    assert shown['ragtime_doctor_check{check="settings"}'] == "1.0"
    assert shown['ragtime_doctor_check{check="lag"}'] == "0.0"
    assert float(shown["ragtime_doctor_examined_timestamp_seconds"]) > 0

    nowhere = try_command(environment, "doctor", "--metrics", str(tmp_path / "no" / "file"))
    assert nowhere.code == 2
    assert "No such file or directory" in nowhere.stderr


def test_doctor_is_quiet_when_all_is_well(patient: Patient) -> None:
    report = patient.examine()
    assert report.named == {}
    assert (report.code, report.printed["verdict"]) == (0, "ok")


def test_doctor_shows_a_screen_when_people_ask(patient: Patient) -> None:
    done = try_command(patient.stack.environment | patient.told, "doctor")
    text = done.stdout.decode()
    assert done.code == 0, text
    assert all(check["name"] in text for check in patient.examine().printed["checks"])
    for name, password in patient.told.items():
        assert not name.endswith("PASSWORD") or password not in text + done.stderr


def test_doctor_leaves_a_check_out_when_it_is_told_to(patient: Patient) -> None:
    environment = patient.stack.environment | patient.told | {"RAGTIME_DOCTOR__REPLICAS": "3"}
    done = try_command(environment, "doctor", "--json", "--skip", "settings")
    assert done.code == 0
    assert b'"settings"' not in done.stdout
    assert try_command(environment, "doctor", "--skip", "no-such").code == 2


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("is_silent", [False, True])
def test_doctor_tells_what_it_can_when_a_server_is_away(
    patient: Patient, silent_port: str, *, is_silent: bool
) -> None:
    address = silent_port if is_silent else "127.0.0.1:1"
    of_both = {"topics", "memory", "lag"}
    of_kafka = {"kafka", "processors", "dead-letters"} | of_both
    told = {"RAGTIME_DOCTOR__DEADLINE_S": "20"}  # the others must answer on a busy machine too
    without = patient.examine(RAGTIME_KAFKA__BOOTSTRAP_SERVERS=address, **told)
    assert (without.code, set(without.named)) == (2, of_kafka)

    without = patient.examine(RAGTIME_CLICKHOUSE__URL=f"http://{address}", **told)
    others = {check["name"] for check in without.printed["checks"]} - of_kafka
    assert without.code == 2
    assert set(without.named) == others - {"ragtime", "settings", "services", "store"} | of_both


def test_everything_is_as_before_when_the_doctor_has_looked(patient: Patient) -> None:
    before = _contents(patient)
    patient.examine()
    assert _contents(patient) == before


def _contents(patient: Patient) -> dict[str, int]:
    """A hash of each table's rows as they count, merged or not; but for when keys were last used,
    and for what, which the services themselves note from time to time."""
    database = patient.stack.database
    tables = (
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND engine LIKE '%MergeTree' AND name NOT IN ('key_uses', 'key_activity')"
    )
    names = [name for (name,) in database.query(tables).result_rows]
    hashed = "SELECT sum(cityHash64(*)) FROM {table:Identifier}"
    return {
        name: database.query(hashed, {"table": name}, settings={"final": 1}).result_rows[0][0]
        for name in names
    }
