"""What many API keys cost ingest and query: while nobody asks, and while keys are changed.

100,000 keys in the table, of which services hold a snapshot. CPU and memory are those of a service
as it is; the longest stretch of work of its event loop is that of another, which is watched.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from tests.bench.measure import Goal, Result, Rounds, cost_of, cpu_s
from tests.bench.watched import noted
from tests.e2e.processes import Service, run_command
from tests.e2e.stack import database_client, environment_of, topics_of, user_of
from tests.servers import Servers, servers

_KEYS, _QUICK_KEYS = 100_000, 5_000
_SECONDS, _QUICK_SECONDS = 30.0, 5.0
_READY_S = 60.0
_SETTLE_S = 5.0
_SERVICES = ("ingest", "query")
_INSERT = """
INSERT INTO api_keys (id, key_hash, project_id, mode, scopes, label, created_at, updated_at)
SELECT concat('key_', lower(hex(substring(MD5(toString(number)), 1, 8)))),
    lower(hex(SHA256(concat({salt:String}, toString(number))))),
    concat('project-', toString(number % 5000)), 'live', ['analytics:read', 'events:write'],
    'of a benchmark', now64(3), now64(6)
FROM numbers({keys:UInt64})
"""


def run(*, quick: bool) -> list[Result]:
    """For each service: CPU and memory at rest, and its longest work at once in three times."""
    keys = _QUICK_KEYS if quick else _KEYS
    seconds = _QUICK_SECONDS if quick else _SECONDS
    with _tables() as found:
        found.insert(keys)
        return [
            result
            for name in _SERVICES
            for result in _results(name, f"{keys:,} keys", _measured(found, name, seconds))
        ]


@dataclass(frozen=True)
class _Tables:
    """A database with keys, and where the services find it."""

    servers: Servers
    environment: Mapping[str, str]
    folder: Path
    database: Client

    def insert(self, keys: int, salt: str = "") -> None:
        self.database.command(_INSERT, parameters={"keys": keys, "salt": salt})

    def environment_of(self, name: str) -> dict[str, str]:
        return {**self.environment, **user_of(self.servers, name)}


@contextmanager
def _tables() -> Iterator[_Tables]:
    with servers() as real, tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder:
        environment = environment_of(real)
        run_command(environment, "init")
        try:
            with database_client(environment) as database:
                yield _Tables(real, environment, Path(folder), database)
        finally:
            topics_of(environment).delete()


def _measured(found: _Tables, name: str, seconds: float) -> Rounds:
    rounds = Rounds()
    rounds.add(**_at_rest(found, name, seconds), **_watched(found, name, seconds))
    return rounds


def _at_rest(found: _Tables, name: str, seconds: float) -> dict[str, float]:
    service = Service(name, found.environment_of(name), found.folder / f"{name}.log")
    service.start()
    try:
        service.wait_until_ready(_READY_S)
        time.sleep(_SETTLE_S)
        before_s, started = cpu_s([service.pid]), time.monotonic()
        time.sleep(seconds)
        used_s = cpu_s([service.pid]) - before_s
        share = used_s / (time.monotonic() - started) * 100
        return {"cpu_percent": share, "peak_mib": cost_of(service.pid).peak_mib}
    finally:
        service.close()


def _watched(found: _Tables, name: str, seconds: float) -> dict[str, float]:
    lines = found.folder / f"{name}.stalls"
    service = Service(name, found.environment_of(name), found.folder / f"{name}.log")
    service.command = [sys.executable, "-m", "tests.bench.watched", str(lines), f"services.{name}"]
    service.start()
    try:
        service.wait_until_ready(_READY_S)
        time.sleep(_SETTLE_S)
        loaded = len(noted(lines))
        time.sleep(seconds)
        rested = len(noted(lines))
        for number in range(int(seconds / 2)):
            found.insert(1, salt=f"{number}")
            time.sleep(2)
        stalls = noted(lines)
        return {
            "loading_ms": max(stalls[:loaded]),
            "resting_ms": max(stalls[loaded:rested]),
            "changing_ms": max(stalls[rested:]),
        }
    finally:
        service.close()


def _results(name: str, keys: str, rounds: Rounds) -> list[Result]:
    what = f"{name}, {keys}"
    return [
        rounds.figure(f"{what}: CPU at rest, of a core", "cpu_percent", "%", Goal(at_most=1)),
        rounds.figure(f"{what}: memory, peak", "peak_mib", "MiB", Goal(at_most=150)),
        *(
            rounds.figure(f"{what}: longest work at once, {when}", figure, "ms", Goal(at_most=20))
            for when, figure in (
                ("at rest", "resting_ms"),
                ("while all are read", "loading_ms"),
                ("while keys change", "changing_ms"),
            )
        ),
    ]
