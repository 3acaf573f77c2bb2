"""Ingest: what a second of its CPU time takes, and its memory.

Beside it the afternoon's version (`tests/bench/peers/app.py`) takes the same requests into the same
topic. Only the servers' own processes count; the sender's time is in the rounds.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.load import Load, send
from tests.bench.measure import Goal, Result, Rounds, cost_of, cpu_s
from tests.bench.peers.running import App
from tests.e2e.processes import Service
from tests.e2e.stack import Project, running_stack
from tests.servers import servers

_ROUNDS = 3
_SECONDS = 4.0
_MEMORY = "memory of ingest at full load"
_BIG = "memory of ingest, 16 bodies of 10,000 events at once"


def run(*, quick: bool) -> list[Result]:
    """Two ratios, and the memory that it took at most."""
    rounds, seconds = (1, 1.0) if quick else (_ROUNDS, _SECONDS)
    big, single, memory = Rounds(), Rounds(), Rounds()
    with _both() as (ours, bare, project):
        for _ in range(rounds):
            big.add(**_round(ours, bare, project, a_request=500, clients=8, seconds=seconds))
            single.add(**_round(ours, bare, project, a_request=1, clients=64, seconds=seconds))
        full_mib = cost_of(ours.pid).peak_mib
        send(_load(ours, project, a_request=10_000, clients=16, seconds=seconds))
        memory.add(full_mib=full_mib, big_bodies_mib=cost_of(ours.pid).peak_mib)
    return [
        big.ratio(
            "ingest, 500 a request: events per CPU-s, ours ÷ bare",
            "ours_events_per_cpu_s",
            "bare_events_per_cpu_s",
            Goal(at_least=0.4),
        ),
        single.ratio(
            "ingest, 1 a request, 64 clients: requests per CPU-s, ours ÷ bare",
            "ours_events_per_cpu_s",
            "bare_events_per_cpu_s",
            Goal(at_least=0.6),
        ),
        memory.figure(_MEMORY, "full_mib", "MiB", Goal(at_most=150)),
        memory.figure(_BIG, "big_bodies_mib", "MiB"),
    ]


@contextmanager
def _both() -> Iterator[tuple[Service, Service, Project]]:
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder,
        servers() as real,
        running_stack(real, Path(folder)) as stack,
    ):
        (project,) = stack.new_projects(1)
        for name in ("processor", "query"):  # nobody reads: they would only take CPU time
            stack.services[name].stop()
        bare = App(stack, stack.topics.events, Path(folder) / "bare.log")
        bare.start()
        try:
            bare.wait_until_ready()
            yield stack.services["ingest"], bare, project
        finally:
            bare.kill()


def _load(
    service: Service, project: Project, *, a_request: int, clients: int, seconds: float
) -> Load:
    url = f"{service.url}/api/v1/projects/{project.id}/events"
    return Load([url], [project.live_key], a_request, clients, seconds)


def _round(
    ours: Service, bare: Service, project: Project, *, a_request: int, clients: int, seconds: float
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, service in (("ours", ours), ("bare", bare)):
        load = _load(service, project, a_request=a_request, clients=clients, seconds=seconds)
        before_s = cpu_s([service.pid])
        report = send(load)
        took_s = cpu_s([service.pid]) - before_s
        figures |= {
            f"{name}_events": report.accepted,
            f"{name}_events_per_cpu_s": report.accepted / took_s,
            f"{name}_us": took_s / report.accepted * 1e6,
            f"{name}_events_per_s": report.accepted / report.seconds,
            f"{name}_p99_ms": report.latency_ms["p99"],
            f"{name}_load_cpu_share": report.cpu_s / took_s,
        }
    return figures
