"""The whole product and its servers: processes that can be killed, frozen and started anew."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.chaos.faults import PROCESSORS, SERVERS, SESSION_S, Fault
from tests.e2e.processes import Process, Service, run_command
from tests.e2e.stack import Stack, database_client, environment_of, topics_of, user_of
from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.own_servers import running_servers, wait_until_answering
from tests.servers import Servers

_LEASE_S = 1.0
# A frozen processor is missed after its session, and then the others have to be told.
_READY_WITHIN_S = 90.0


@dataclass
class Cluster:
    """Kafka, ClickHouse's gateway, ingest, query, three processors."""

    stack: Stack
    servers: dict[str, Process]
    slow_stops: int = 0

    def process(self, name: str) -> Process:
        """The process of a name that faults use."""
        return self.servers[name] if name in SERVERS else self.stack.services[name]

    def begin(self, fault: Fault) -> None:
        """Let it happen."""
        target = self.process(fault.target)
        if fault.kind == "kill":
            target.kill()
        elif fault.kind == "freeze":
            target.freeze()
        else:
            try:
                target.stop()
            except AssertionError:
                self.slow_stops += 1  # its servers may be away; it was killed then

    def end(self, fault: Fault) -> None:
        """Let it be over: thaw what was frozen, start what was ended, as a process manager does."""
        target = self.process(fault.target)
        if fault.kind == "freeze":
            target.thaw()
        else:
            target.start()

    def heal(self, found: Servers) -> None:
        """Return when everything runs and says that it works."""
        self._revive()
        wait_until_answering(found)
        for service in self.stack.services.values():
            wait_until(partial(self._is_ready, service), service.name, _READY_WITHIN_S)

    def _revive(self) -> None:
        for process in (*self.servers.values(), *self.stack.services.values()):
            if not process.is_running:
                process.start()

    def _is_ready(self, service: Service) -> bool:
        self._revive()
        with suppress(httpx.TransportError):
            return HTTP.get(f"{service.url}/healthz/ready").status_code == 200
        return False


@contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[Cluster, Servers]]:
    """Everything started and ready; stopped again at the end."""
    with ExitStack() as closing:
        servers, found = closing.enter_context(running_servers(folder))
        stack = closing.enter_context(_stack(found, folder))
        cluster = Cluster(stack, servers)
        cluster.heal(found)
        yield cluster, found


@contextmanager
def _stack(found: Servers, folder: Path) -> Iterator[Stack]:
    environment = environment_of(found) | {
        "RAGTIME_BATCH__LEASE_S": str(_LEASE_S),
        "RAGTIME_GROUP__SESSION_TIMEOUT_S": str(SESSION_S),
    }
    services = {name: _service(name, found, environment, folder) for name in ("ingest", "query")}
    for name in PROCESSORS:
        # Two of three have names that stay over restarts, as pods of a stateful set have.
        instance = {} if name == PROCESSORS[-1] else {"RAGTIME_GROUP__INSTANCE": name}
        services[name] = _service("processor", found, environment | instance, folder, name)
    run_command(environment, "init")
    with ExitStack() as closing:
        client = closing.enter_context(database_client(environment))
        http = closing.enter_context(httpx.Client(timeout=30, trust_env=False))
        stack = Stack(environment, services, topics_of(environment), client, http)
        stack.topics.keep_stamps()  # some records are of long ago
        for service in services.values():
            closing.callback(service.kill)
        yield stack


def _service(
    name: str, found: Servers, environment: dict[str, str], folder: Path, label: str = ""
) -> Service:
    own = environment | user_of(found, name)
    return Service(name, own, folder / f"{label or name}.log", label=label)
