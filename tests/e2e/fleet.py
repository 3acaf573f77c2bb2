"""Two processes of each service, restarted in turn while a load balancer sends to those ready."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx

from tests.e2e.processes import Service, run_command
from tests.e2e.stack import Stack, environment_of, started, user_of
from tests.servers import Servers

REPLICAS = 2
ROLES = ("ingest", "query", "processor")
# Kubernetes asks each ten seconds or so; what counts is that the delay is longer.
_PROBE_INTERVAL_S = 0.1
_DELAY_S = 1.0
_STOPS_WITHIN_S = _DELAY_S + 7.0 + 3.0


class Balancer:
    """Sends to the replicas that said they are ready when they were asked last, in rotation.

    It never tries again: what a caller sees is what the replica did.
    """

    def __init__(self, replicas: list[Service]) -> None:
        self._replicas = replicas
        self._ready: list[Service] = []
        self._turns = count()
        self._ends = threading.Event()
        self._probing = threading.Thread(target=self._probe)

    def __enter__(self) -> "Balancer":
        self._probing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._probing.join()

    def url(self) -> str:
        """Where the next request goes."""
        while not (ready := self._ready):
            time.sleep(_PROBE_INTERVAL_S)
        return ready[next(self._turns) % len(ready)].url

    def _probe(self) -> None:
        with httpx.Client(timeout=5, trust_env=False) as http:
            while not self._ends.wait(_PROBE_INTERVAL_S):
                self._ready = [one for one in list(self._replicas) if _is_ready(http, one)]


def _is_ready(http: httpx.Client, replica: Service) -> bool:
    try:
        return http.get(f"{replica.url}/healthz/ready").status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Fleet:
    """The processes of each role, and how they are replaced."""

    stack: Stack
    environments: dict[str, dict[str, str]]
    folder: Path
    replicas: dict[str, list[Service]] = field(default_factory=lambda: {role: [] for role in ROLES})
    stop_seconds: dict[str, list[float]] = field(
        default_factory=lambda: {role: [] for role in ROLES}
    )
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, *roles: str) -> None:
        """Start one more process of each of these roles; returns when all are ready."""
        added = [self._start(role) for role in roles]
        for role, replica in zip(roles, added, strict=True):
            replica.wait_until_ready()
            self.stack.services[role] = replica

    def _start(self, role: str) -> Service:
        label = f"{role}-{next(self._numbers)}"
        log = self.folder / f"{label}.log"
        replica = Service(role, self.environments[role], log, label=label)
        replica.start()
        self.replicas[role].append(replica)
        return replica

    def replace(self, role: str) -> None:
        """Replace the oldest process of a role. Fails unless it ends in time with exit code 0.

        The new one of an HTTP service comes before the old one goes, as in a Deployment that surges
        by one; a processor goes first, so that partitions move as rarely as may be.
        """
        old = self.replicas[role][0]
        if role == "processor":
            self._stop(role, old)
            self.add(role)
        else:
            self.add(role)
            self._stop(role, old)

    def _stop(self, role: str, old: Service) -> None:
        self.stop_seconds[role].append(old.stop(_STOPS_WITHIN_S))
        self.replicas[role].remove(old)

    def close(self) -> None:
        """End what is left."""
        for role in ROLES:
            for replica in self.replicas[role]:
                replica.kill()


@contextmanager
def running_fleet(servers: Servers, folder: Path, lease_s: float) -> Iterator[Fleet]:
    """One process of each role, ready; what there is at the end is stopped, and removed."""
    environment = environment_of(servers) | {"RAGTIME_BATCH__LEASE_S": str(lease_s)}
    own = {role: environment | user_of(servers, role) for role in ROLES}
    for role in ("ingest", "query"):
        own[role]["RAGTIME_STOP__DELAY_S"] = str(_DELAY_S)
    run_command(environment, "init")
    with started(environment, {}) as stack:
        fleet = Fleet(stack, own, folder)
        try:
            fleet.add(*ROLES)
            yield fleet
        finally:
            fleet.close()
