"""Several query services above the same tables and one Valkey; keys as the command makes them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.e2e.asking import bearer
from tests.e2e.processes import Service, run_command
from tests.e2e.stack import database_client, environment_of, topics_of, user_of
from tests.e2e.waiting import wait_until
from tests.servers import Servers
from tests.valkey_server import ValkeyServer, valkey_server

PROJECT = "replicas"


@dataclass(frozen=True)
class Replicas:
    """The services, their store, and how to ask them."""

    environment: dict[str, str]
    services: list[Service]
    store: ValkeyServer
    http: httpx.Client

    def ragtime(self, *arguments: str) -> str:
        """What the command prints."""
        return run_command(self.environment, *arguments)

    def new_key(self, *arguments: str) -> dict[str, str]:
        """A key that all replicas know; to find that out costs each of its requests one."""
        command = ["keys", "create", "--project", PROJECT, "--scope", "analytics:read", "--json"]
        made: dict[str, str] = json.loads(self.ragtime(*command, *arguments))
        for service in self.services:
            wait_until(partial(self._knows, service, made["key"]), f"{service.name} has the key")
        return made

    def _knows(self, service: Service, key: str) -> bool:
        # A key shown with a foreign project is found or not, and counted when it is.
        return self.ask(service, key, project="elsewhere").status_code == 403

    def ask(self, service: Service, key: str, project: str = PROJECT) -> httpx.Response:
        """The answer of one replica."""
        return self.http.get(url_of(service, project), headers=bearer(key))

    def logged(self, service: Service, event: str) -> int:
        """How often a replica has logged an event."""
        return service.log.read_text("utf-8").count(f'"{event}"')


def url_of(service: Service, project: str = PROJECT) -> str:
    """Where to ask a replica for the analytics of a day."""
    return f"{service.url}/api/v1/projects/{project}/analytics?from=2026-03-25&to=2026-03-25"


@contextmanager
def running_replicas(servers: Servers, folder: Path, number: int = 4) -> Iterator[Replicas]:
    """So many query services, ready and with a shared store; stopped and removed again."""
    with ExitStack() as closing:
        store = closing.enter_context(valkey_server())
        # As long as a busy machine may need: what memory decides is less exact.
        shared = {
            "RAGTIME_RATE_LIMIT__STORE_URL": store.url,
            "RAGTIME_RATE_LIMIT__STORE_TIMEOUT_S": "3",
        }
        environment = environment_of(servers) | shared
        run_command(environment, "init")
        closing.callback(topics_of(environment).delete)
        closing.enter_context(database_client(environment))
        own = environment | user_of(servers, "query")
        services = [
            Service("query", own, folder / f"query-{place}.log", label=f"query {place}")
            for place in range(number)
        ]
        for service in services:
            service.start()
            closing.callback(service.close)
        for service in services:
            service.wait_until_ready()
        http = closing.enter_context(httpx.Client(timeout=30, trust_env=False))
        yield Replicas(environment, services, store, http)
