"""The product with its own limits, beside servers of its own, and the two projects A and B."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from libs.access.api_keys import Mode, Scope
from libs.access.key_store import add_key
from libs.clickhouse.connection import connect
from services.admin.keys import KeyRequest, make_key
from services.ingest.settings import WriteLimitSettings
from tests.bench.neighbours.target import Target
from tests.bench.systems import PARTITIONS
from tests.e2e.asking import bearer
from tests.e2e.stack import Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers, servers

A, B = "attacker", "victim"
# B asks more often than a key may by default; A's keys have no rates of their own.
_RATE_OF_B = 1_000
# No more often than an address may ask that shows no valid key.
_ASKS_EVERY_S = 2.5


@dataclass(frozen=True)
class Stage:
    """Where both play."""

    real: Servers
    stack: Stack
    keys_of_a: list[str]
    key_of_b: str
    spare: "Key"  # of B, known to both services: to be revoked

    def target(self, seconds: float) -> Target:
        """What A is told."""
        services = self.stack.services
        return Target(
            host="127.0.0.1",
            ingest_port=services["ingest"].port,
            query_port=services["query"].port,
            project=A,
            keys=self.keys_of_a,
            seconds=seconds,
        )

    def pids(self) -> dict[str, int]:
        """All processes, by name."""
        return self.real.pids | {name: one.pid for name, one in self.stack.services.items()}


@dataclass(frozen=True)
class Key:
    """A key, and the name by which it is revoked."""

    text: str
    id: str


@contextmanager
def staged(folder: Path, keys: int) -> Iterator[Stage]:
    """Everything is started and knows both projects. `keys`: how many A has."""
    with servers() as real, staged_beside(real, folder, keys) as stage:
        yield stage


@contextmanager
def staged_beside(real: Servers, folder: Path, keys: int) -> Iterator[Stage]:
    """The same, beside servers that run already."""
    # The tests' stacks let anybody send as much as he likes; here it is as an operator has it.
    limits = WriteLimitSettings()
    defaults = {
        "RAGTIME_RATE_LIMIT__PER_ADDRESS": str(limits.per_address),
        "RAGTIME_RATE_LIMIT__EVENTS_PER_KEY": str(limits.events_per_key),
        "RAGTIME_RATE_LIMIT__REQUESTS_PER_KEY": str(limits.requests_per_key),
    }
    with running_stack(real, folder, PARTITIONS, defaults) as stack:
        keys_of_a = [new_key(stack, A, None).text for _ in range(keys)]
        key_of_b, spare = (new_key(stack, B, _RATE_OF_B) for _ in range(2))
        for service in ("ingest", "query"):
            wait_until_known(stack, service, spare)
        yield Stage(real, stack, keys_of_a, key_of_b.text, spare)


def new_key(stack: Stack, project: str, rate: int | None, events_rate: int | None = None) -> Key:
    """A live key of both scopes. Questions and events a minute; None: the default."""
    pepper = stack.environment["RAGTIME_ACCESS__PEPPER"].encode()
    request = KeyRequest(project, frozenset(Scope), Mode.LIVE, rate, "", None, events_rate)
    text, stored = make_key(request, pepper, datetime.now(UTC))

    async def add() -> None:
        client = await connect(stack.clickhouse_settings())
        await add_key(client, stored)
        await client.close()

    asyncio.run(add())
    return Key(text, stored.id)


def wait_until_known(stack: Stack, service: str, key: Key) -> None:
    """Return when a service has read a new key."""
    wait_until(partial(_knows, stack, service, key.text), f"{service} knows {key.id}", 60)


def _knows(stack: Stack, service: str, key: str) -> bool:
    if service == "query":
        answer = stack.http.get(stack.analytics_url(B), headers=bearer(key))
    else:
        answer = stack.http.post(stack.events_url(B), headers=bearer(key))
    if answer.status_code != 401:
        return True
    time.sleep(_ASKS_EVERY_S)
    return False
