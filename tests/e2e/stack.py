"""The whole product beside real servers: topics and tables of its own, three services, keys."""

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from libs.access.api_keys import ApiKey, Mode, Scope
from libs.access.key_store import add_key
from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from services.admin.keys import MAX_EVENTS_RATE, KeyRequest, make_key
from tests.e2e.model import Event
from tests.e2e.processes import Done, Service, run_command, try_command
from tests.e2e.topics import Topics
from tests.e2e.waiting import wait_until
from tests.servers import Servers

SERVICES = ("ingest", "processor", "query")
PARTITIONS = 4
FAST = 100_000
_COUNTED_WITHIN_S = 60.0
# How full the disk of the machine that runs tests is, is nobody's business here.
ANY_DISK = {"RAGTIME_DOCTOR__DISK_FREE_PERCENT": "0", "RAGTIME_DOCTOR__DISK_DAYS": "0"}
# Words of the command and of `Stack` that mean everybody's.
_OF_ALL = {"audit", "--all", "doctor", "metric", "migrate", "restart", "retention", "topics"}


@dataclass(frozen=True)
class Project:
    """A project with a live and a test key of both scopes."""

    id: str
    live_key: str
    test_key: str


@dataclass(frozen=True)
class Stack:
    """The running product. Tests share one, each with projects of its own."""

    environment: dict[str, str]
    services: dict[str, Service]
    topics: Topics
    database: Client
    http: httpx.Client
    shown_keys: list[str] = field(default_factory=list)
    is_shared: bool = False  # other tests use it too, and others' events may come

    def ragtime(self, *arguments: str) -> str:
        """What the command prints."""
        self._check_own(*arguments)
        return run_command(self.environment, *arguments)

    def try_ragtime(self, *arguments: str) -> Done:
        """How the command ends, which may be an error."""
        self._check_own(*arguments)
        return try_command(self.environment, *arguments)

    def _check_own(self, *words: str) -> None:
        """Fail where a test asks for what tells of all projects, or changes it for all."""
        told = _OF_ALL & set(words)
        assert not (self.is_shared and told), f"{told} on a shared stack: take `own_stack`"

    def restart(self, name: str) -> float:
        """Stop a service by SIGTERM and start it again; returns the seconds that the stop took.

        It is started again also where its stop was no good one: others need it.
        """
        self._check_own("restart")
        try:
            return self.services[name].stop()
        finally:
            self.services[name].start()
            self.services[name].wait_until_ready()

    def new_projects(self, number: int) -> list[Project]:
        """Projects that nobody else uses, when both HTTP services know their keys."""
        names = [f"e2e-{secrets.token_hex(6)}" for _ in range(number)]
        projects, keys = zip(*(self._with_keys(name) for name in names), strict=True)
        asyncio.run(self._add_keys([key for pair in keys for key in pair]))
        self.wait_until_key_works(projects[-1].id, projects[-1].test_key)
        self.shown_keys.extend(key for p in projects for key in (p.live_key, p.test_key))
        return list(projects)

    def _with_keys(self, project_id: str) -> tuple[Project, list[ApiKey]]:
        pepper = self.environment["RAGTIME_ACCESS__PEPPER"].encode()
        keys = [
            make_key(
                KeyRequest(project_id, frozenset(Scope), mode, FAST, "", None),
                pepper,
                datetime.now(UTC),
            )
            for mode in (Mode.LIVE, Mode.TEST)
        ]
        (live_key, _), (test_key, _) = keys
        return Project(project_id, live_key, test_key), [stored for _, stored in keys]

    async def _add_keys(self, keys: Sequence[ApiKey]) -> None:
        client = await connect(self.clickhouse_settings())
        for key in keys:
            await add_key(client, key)
        await client.close()

    def clickhouse_settings(self) -> ClickHouseSettings:
        """How the tests themselves reach the tables."""
        return ClickHouseSettings(
            url=self.environment["RAGTIME_CLICKHOUSE__URL"],
            user=self.environment["RAGTIME_CLICKHOUSE__USER"],
            password=SecretStr(self.environment["RAGTIME_CLICKHOUSE__PASSWORD"]),
            database=self.environment["RAGTIME_CLICKHOUSE__DATABASE"],
        )

    def wait_until_key_works(self, project_id: str, key: str) -> None:
        """Return when ingest and query have read the key."""
        for service in ("ingest", "query"):
            wait_until(partial(self.knows_key, service, project_id, key), f"{service} has the key")

    def knows_key(self, service: str, project_id: str, key: str) -> bool:
        """Whether a service accepts the key as one; what it may do is another question."""
        headers = {"Authorization": f"Bearer {key}"}
        if service == "query":
            response = self.http.get(self.analytics_url(project_id), headers=headers)
        else:
            response = self.http.post(self.events_url(project_id), headers=headers)
        return response.status_code != 401

    def analytics_url(self, project_id: str) -> str:
        return f"{self.services['query'].url}/api/v1/projects/{project_id}/analytics"

    def events_url(self, project_id: str) -> str:
        return f"{self.services['ingest'].url}/api/v1/projects/{project_id}/events"

    def analytics(self, project: Project, **parameters: str | None) -> Any:
        """The answer to a question; parameters that are None are left out. Fails unless 200."""
        response = self.http.get(
            self.analytics_url(project.id),
            params={name: value for name, value in parameters.items() if value is not None},
            headers={"Authorization": f"Bearer {project.live_key}"},
        )
        assert response.status_code == 200, response.text
        return response.json()

    def post_events(
        self, project: Project, events: Sequence[Event], *, by_test_key: bool = False
    ) -> None:
        """Send events in one request; fails unless all are accepted, perhaps with warnings."""
        key = project.test_key if by_test_key else project.live_key
        response = self.http.post(
            self.events_url(project.id),
            content=json.dumps(list(events)),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        assert response.status_code == 202, response.text
        told = response.json()
        assert (told["accepted"], told["rejected"]) == (len(events), [])

    def wait_until_counted(self, timeout_s: float = _COUNTED_WITHIN_S) -> None:
        """Return when all that was accepted so far has been counted or dead-lettered."""
        self.topics.wait_until_read(timeout_s)

    def rows_of(self, project: Project) -> int:
        """How many events of a project the table holds."""
        rows = self.database.query(
            "SELECT count() FROM events WHERE project_id = {id:String}", {"id": project.id}
        ).result_rows
        return int(rows[0][0])

    def metric(self, service: str, name: str) -> float:
        """The sum of a counter of a service over all its labels, since the service started.

        It tells of all projects: only on a stack that nobody else uses is it any test's own.
        """
        self._check_own("metric")
        text = self.http.get(f"{self.services[service].url}/metrics").text
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name}_total ", f"{name}_total{{"))
        )

    def logs(self) -> dict[str, str]:
        """The end of each service's log."""
        return {name: service.log_tail() for name, service in self.services.items()}


@contextmanager
def running_stack(
    servers: Servers,
    folder: Path,
    partitions: int = PARTITIONS,
    more: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """Everything started and ready; stopped again, each service with exit code 0, and removed.

    `more`: settings beside those that every stack of the tests has.
    """
    environment = environment_of(servers) | {"RAGTIME_TOPICS__PARTITIONS": str(partitions)}
    environment |= more or {}
    run_command(environment, "init")
    with started(environment, services_of(servers, environment, folder)) as stack:
        yield stack


def services_of(servers: Servers, environment: dict[str, str], folder: Path) -> dict[str, Service]:
    """One of each service, not started yet, told this and its own user of ClickHouse."""
    return {
        name: Service(name, environment | user_of(servers, name), folder / f"{name}.log")
        for name in SERVICES
    }


@contextmanager
def started(environment: dict[str, str], services: dict[str, Service]) -> Iterator[Stack]:
    """A stack of these services, ready, above tables and topics that are made already.

    At the end they are stopped, each with exit code 0, and the topics are removed.
    """
    topics = topics_of(environment)
    with ExitStack() as closing:
        closing.callback(topics.delete)
        database = closing.enter_context(database_client(environment))
        for service in services.values():
            service.start()
            closing.callback(service.close)
        for service in services.values():
            service.wait_until_ready()
        http = closing.enter_context(httpx.Client(timeout=30, trust_env=False))
        yield Stack(environment, services, topics, database, http)


def told_to_doctor(stack: Stack, servers: Servers) -> dict[str, str]:
    """What the doctor needs to look at everything."""
    passwords = {
        f"RAGTIME_DOCTOR__{name.upper()}_PASSWORD": servers.users[name].password
        for name in stack.services
    }
    urls = ",".join(one.url for one in stack.services.values())
    # Nor is how busy that machine is.
    patient = {"RAGTIME_DOCTOR__DEADLINE_S": "60"}
    return passwords | ANY_DISK | patient | {"RAGTIME_DOCTOR__SERVICES": urls}


def environment_of(servers: Servers) -> dict[str, str]:
    """What all services and the command are told, under names that no other stack has."""
    name = f"e2e_{secrets.token_hex(4)}"
    return {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": servers.kafka,
        "RAGTIME_KAFKA__EVENTS_TOPIC": name,
        "RAGTIME_KAFKA__DEAD_LETTER_TOPIC": f"{name}.dead-letter",
        "RAGTIME_TOPICS__PARTITIONS": str(PARTITIONS),
        "RAGTIME_GROUP__NAME": name,
        "RAGTIME_BATCH__LEASE_S": "1",  # each start waits for it
        "RAGTIME_CLICKHOUSE__URL": servers.clickhouse_url,
        "RAGTIME_CLICKHOUSE__DATABASE": servers.new_database(),
        "RAGTIME_ACCESS__PEPPER": secrets.token_hex(32),
        # The tests themselves wait for new keys by asking with them.
        "RAGTIME_RATE_LIMIT__PER_ADDRESS": str(FAST),
        # Counted as everywhere, and never reached: some tests send all that the machine takes.
        "RAGTIME_RATE_LIMIT__EVENTS_PER_KEY": str(MAX_EVENTS_RATE),
        "RAGTIME_RATE_LIMIT__REQUESTS_PER_KEY": str(MAX_EVENTS_RATE),
        **user_of(servers, "admin"),
    }


def user_of(servers: Servers, name: str) -> dict[str, str]:
    """The least that a service needs, where the servers have a user for it."""
    credentials = servers.users.get(name, servers.admin)
    return {
        "RAGTIME_CLICKHOUSE__USER": credentials.user,
        "RAGTIME_CLICKHOUSE__PASSWORD": credentials.password,
    }


def topics_of(environment: dict[str, str]) -> Topics:
    """The topics of a stack with this environment."""
    return Topics(
        bootstrap_servers=environment["RAGTIME_KAFKA__BOOTSTRAP_SERVERS"],
        events=environment["RAGTIME_KAFKA__EVENTS_TOPIC"],
        partitions=int(environment["RAGTIME_TOPICS__PARTITIONS"]),
        dead_letters=environment["RAGTIME_KAFKA__DEAD_LETTER_TOPIC"],
        group=environment["RAGTIME_GROUP__NAME"],
    )


@contextmanager
def database_client(environment: dict[str, str]) -> Iterator[Client]:
    """A client for the tests' own questions; drops the database at the end."""
    address = httpx.URL(environment["RAGTIME_CLICKHOUSE__URL"])
    name = environment["RAGTIME_CLICKHOUSE__DATABASE"]
    client: Client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port or 8123,
        username=environment["RAGTIME_CLICKHOUSE__USER"],
        password=environment["RAGTIME_CLICKHOUSE__PASSWORD"],
        database=name,
        autogenerate_session_id=False,
    )
    try:
        yield client
    finally:
        client.command(f"DROP DATABASE {name} SYNC")
        client.close()
