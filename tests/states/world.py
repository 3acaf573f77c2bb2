"""An installation in which one thing is about to break, with a producer and a Prometheus."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

from tests.e2e.processes import Process, Service, run_command, try_command
from tests.e2e.stack import (
    PARTITIONS,
    Project,
    Stack,
    database_client,
    environment_of,
    services_of,
    topics_of,
)
from tests.e2e.topics import Topics
from tests.servers import Servers
from tests.states.prometheus import Prometheus, running_prometheus

_INTERVAL_S = 1.0


class Producer:
    """Sends one event a second to a project, each until it is answered 202."""

    def __init__(self, stack: Stack, project: Project) -> None:
        self._stack, self._project = stack, project
        self._ends = threading.Event()
        self._goes = threading.Event()
        self._goes.set()
        self._rests = threading.Event()
        self.accepted = 0

    def __enter__(self) -> "Producer":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._goes.set()
        self._thread.join()

    def pause(self) -> None:
        """Send nothing more; returns when the last event has its answer."""
        self._rests.clear()
        self._goes.clear()
        self._rests.wait(60)

    def go_on(self) -> None:
        """Send again."""
        self._goes.set()

    def _run(self) -> None:
        with httpx.Client(timeout=15, trust_env=False) as http:
            while not self._ends.wait(_INTERVAL_S):
                if not self._goes.is_set():
                    self._rests.set()
                    self._goes.wait()
                with suppress(httpx.TransportError):
                    self.accepted += self._send(http)

    def _send(self, http: httpx.Client) -> int:
        number = self.accepted  # the same event again until it is accepted
        event = {"type": "session.started", "sessionId": f"s-{number}", "id": f"e-{number}"}
        answer = http.post(
            self._stack.events_url(self._project.id),
            content=json.dumps(event),
            headers={
                "Authorization": f"Bearer {self._project.live_key}",
                "Content-Type": "application/json",
            },
        )
        return int(answer.status_code == 202)


@dataclass
class World:
    """What a state is made in. `servers`: Kafka and ClickHouse, where they are this world's own."""

    folder: Path
    stack: Stack
    servers: Mapping[str, Process]
    prometheus: Prometheus
    project: Project
    producer: Producer
    more: list[Process] = field(default_factory=list)  # that a state has started

    @property
    def processor(self) -> Service:
        return self.stack.services["processor"]

    @property
    def topics(self) -> Topics:
        return topics_of(self.stack.environment)

    def set(self, **settings: str) -> None:
        """Tell everybody these settings from the next start on."""
        self.stack.environment.update(settings)
        for service in self.stack.services.values():
            service.environment.update(settings)

    def ragtime(self, *arguments: str) -> str:
        """What the command prints; fails unless it ends with 0."""
        return run_command(self.stack.environment, *arguments)

    def doctor(self) -> tuple[int, dict[str, str]]:
        """The exit code, and what was seen by each check that is not well."""
        services = [*self.stack.services.values(), *self.more]
        named = [one.url for one in services if isinstance(one, Service)]
        environment = self.stack.environment | {"RAGTIME_DOCTOR__SERVICES": ",".join(named)}
        # The users' rights have tests of their own.
        done = try_command(environment, "doctor", "--json", "--skip", "rights")
        assert done.stdout, done.stderr[-2000:]
        checks = json.loads(done.stdout)["checks"]
        return done.code, {
            one["name"]: f"{one['seen']} {one['advice']}" for one in checks if one["status"] != "ok"
        }

    def counted(self) -> int:
        """What the rollup tells of the project's events; -1 where nobody answers."""
        sql = (
            "SELECT sum(value) FROM daily_counts"
            " WHERE category = '_events' AND project_id = {project:String}"
        )
        try:
            rows = self.stack.database.query(sql, {"project": self.project.id}).result_rows
        except Exception:  # noqa: BLE001 - it may be away
            return -1
        return int(rows[0][0])

    def is_counted(self) -> bool:
        """Whether each event that was accepted is counted, once."""
        return self.counted() == self.producer.accepted

    def wait_until_counted(self, within_s: float) -> bool:
        """Pause the producer; whether all was counted in time."""
        self.producer.pause()
        ends_at = time.monotonic() + within_s
        while not (counted := self.is_counted()) and time.monotonic() < ends_at:
            time.sleep(1)
        return counted


@contextmanager
def running_world(
    real: Servers, servers: Mapping[str, Process], folder: Path, more: Mapping[str, str]
) -> Iterator[World]:
    """Everything started, ready and fetched; killed at the end, whatever state it is in."""
    environment = environment_of(real) | dict(more)
    environment["RAGTIME_TOPICS__PARTITIONS"] = str(PARTITIONS)
    del environment["RAGTIME_BATCH__LEASE_S"]  # as installations have it: a second is soon passed
    run_command(environment, "init")
    services = services_of(real, environment, folder)
    with ExitStack() as closing:
        database = closing.enter_context(database_client(environment))
        for service in services.values():
            service.start()
            closing.callback(service.kill)
        for service in services.values():
            service.wait_until_ready(120)
        http = closing.enter_context(httpx.Client(timeout=30, trust_env=False))
        stack = Stack(environment, services, topics_of(environment), database, http)
        watched = [*services.values()]
        prometheus = closing.enter_context(running_prometheus(folder, watched))
        (project,) = stack.new_projects(1)
        producer = closing.enter_context(Producer(stack, project))
        world = World(folder, stack, servers, prometheus, project, producer)
        try:
            yield world
        finally:
            for process in world.more:
                process.kill()
