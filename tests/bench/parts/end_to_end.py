"""End to end: load over HTTP until it is counted, on the whole machine, the sender included.

First the load goes as fast as it is taken, in rounds beside the bare versions: what a round sends,
divided by the time until all of it is counted, is what the machine takes in a burst. Two thirds of
that are then kept up for minutes, as merges of large parts come later, and the lag must stay flat;
then half of this rate, with a probe event every 50 ms; then a backlog is left and caught up.
"""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.measure import Goal, Result, Rounds, cost_of, cpu_s, percentile
from tests.bench.systems import COUNTED_WITHIN_S, PARTITIONS, System, bare_system, our_system
from tests.e2e.stack import Project, Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import servers

_PROBE_EVERY_S = 0.05
_LOOK_EVERY_S = 0.02
_LAG_EVERY_S = 5.0
_SUSTAINED_SHARE = 2 / 3
_BASE_MB, _BYTES_AN_ID = 300, 16
_PROBES_SEEN = """
SELECT sum(value) FROM daily_counts WHERE project_id = {project:String} AND category = '_events'
"""


@dataclass(frozen=True)
class _Sizes:
    warm_up_s: float
    rounds: int
    round_s: float
    sustained_s: float
    probed_s: float
    backlog: int


_FULL = _Sizes(warm_up_s=8, rounds=3, round_s=12, sustained_s=300, probed_s=40, backlog=5_000_000)
_QUICK = _Sizes(warm_up_s=2, rounds=1, round_s=4, sustained_s=10, probed_s=6, backlog=200_000)


def run(*, quick: bool) -> list[Result]:
    """Throughput beside the bare versions, lag, visibility, catch-up, memory at full load."""
    sizes = _QUICK if quick else _FULL
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder,
        servers() as real,
        running_stack(real, Path(folder), PARTITIONS) as stack,
    ):
        (project, probed) = stack.new_projects(2)
        with our_system(real, stack, project) as ours:
            with bare_system(real, stack, Path(folder)) as bare:
                rounds = _rounds(ours, bare, sizes)
            burst = statistics.median(figures["ours_per_s"] for figures in rounds.rounds)
            rate = burst * _SUSTAINED_SHARE
            return [
                *_throughput(rounds),
                *_sustained(ours, stack, rate, sizes),
                *_visible(ours, stack, probed, rate / 2, sizes),
                *_catch_up(ours, stack, rate, sizes),
                *_memory(ours),
            ]


def _rounds(ours: System, bare: System, sizes: _Sizes) -> Rounds:
    rounds = Rounds()
    for system in (ours, bare):  # a JVM and a group of consumers need a while until they run well
        _round(system, sizes.warm_up_s)
    for _ in range(sizes.rounds):
        figures: dict[str, float] = {}
        for system in (ours, bare):
            figures |= _round(system, sizes.round_s)
        rounds.add(**figures)
    return rounds


def _round(system: System, seconds: float) -> dict[str, float]:
    before = {name: cpu_s([pid]) for name, pid in system.pids.items()}
    counted, started = system.counted(), time.monotonic()
    report = system.send(seconds=seconds)
    system.wait_until_counted(counted + report.accepted)
    took_s = time.monotonic() - started
    figures = {
        f"{name}_us": (cpu_s([pid]) - before[name]) / report.accepted * 1e6
        for name, pid in system.pids.items()
    }
    figures |= {
        "events": report.accepted,
        "per_s": report.accepted / took_s,
        "accepted_per_s": report.accepted / report.seconds,
        "sender_us": report.cpu_s / report.accepted * 1e6,
    }
    return {f"{system.name}_{name}": value for name, value in figures.items()}


def _throughput(rounds: Rounds) -> list[Result]:
    return [
        rounds.ratio(
            "end to end: events/s in a burst, ours ÷ bare",
            "ours_per_s",
            "bare_per_s",
            Goal(at_least=0.6),
        ),
        rounds.figure("end to end: events/s in a burst", "ours_per_s", "/s", Goal(at_least=50_000)),
    ]


def _sustained(ours: System, stack: Stack, rate: float, sizes: _Sizes) -> list[Result]:
    rounds = Rounds()
    lags: list[float] = []
    counted = ours.counted()
    with _meanwhile(_LAG_EVERY_S, lambda: lags.append(asyncio.run(_lag(stack)))):
        report = ours.send(seconds=sizes.sustained_s, rate=rate)
    ended = time.monotonic()
    ours.wait_until_counted(counted + report.accepted)
    records = asyncio.run(_records(stack))
    third = max(1, len(lags) // 3)
    rounds.add(
        per_s=report.accepted / report.seconds,
        wanted_per_s=rate,
        lag_middle_records=statistics.mean(lags[third : 2 * third] or lags),
        lag_end_records=statistics.mean(lags[-third:]),
        counted_after_s=time.monotonic() - ended,
        records=records,
        **{f"latency_{name}_ms": value for name, value in report.latency_ms.items()},
    )
    minutes = f"{sizes.sustained_s / 60:g} minutes"
    return [
        rounds.figure(f"end to end: events/s over {minutes}", "per_s", "/s", Goal(at_least=50_000)),
        rounds.figure(
            f"counted after the end of {minutes}", "counted_after_s", "s", Goal(at_most=5)
        ),
    ]


def _visible(
    ours: System, stack: Stack, probed: Project, rate: float, sizes: _Sizes
) -> list[Result]:
    """From the 202 of a probe until the rollup holds it; looked at every 20 ms."""
    with ThreadPoolExecutor(1) as threads:
        report = threads.submit(ours.send, seconds=sizes.probed_s + 2, rate=rate)
        answered, seen = _probe(ours, stack, probed, sizes.probed_s)
        report.result()
    waits_ms = [(at - sent) * 1000 for sent, at in zip(answered, seen, strict=True)]
    rounds = Rounds()
    rounds.add(
        probes=len(waits_ms),
        rate=rate,
        p50_ms=percentile(waits_ms, 0.5),
        p99_ms=percentile(waits_ms, 0.99),
        max_ms=max(waits_ms),
    )
    name = "accept → visible at half of the rate"
    return [
        rounds.figure(f"{name}, p50", "p50_ms", "ms"),
        rounds.figure(f"{name}, p99", "p99_ms", "ms", Goal(at_most=1000)),
        rounds.figure(f"{name}, max", "max_ms", "ms"),
    ]


def _probe(
    ours: System, stack: Stack, probed: Project, seconds: float
) -> tuple[list[float], list[float]]:
    answered: list[float] = []
    seen: list[float] = []

    def look() -> None:
        found = int(ours.database.query(_PROBES_SEEN, {"project": probed.id}).result_rows[0][0])
        seen.extend([time.monotonic()] * (found - len(seen)))

    headers = {"Authorization": f"Bearer {probed.live_key}"}
    probe = {"type": "session.started", "sessionId": "probe"}  # one partition: they stay in order
    with _meanwhile(_LOOK_EVERY_S, look), httpx.Client(trust_env=False) as http:
        due = time.monotonic()
        ends = due + seconds
        while due < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            http.post(stack.events_url(probed.id), json=probe, headers=headers).raise_for_status()
            answered.append(time.monotonic())
            due += _PROBE_EVERY_S
        wait_until(lambda: len(seen) >= len(answered), "all probes are seen", COUNTED_WITHIN_S)
    return answered, seen


def _catch_up(ours: System, stack: Stack, rate: float, sizes: _Sizes) -> list[Result]:
    counted = ours.counted()
    processor = stack.services["processor"]
    processor.stop()
    report = ours.send(events=sizes.backlog)
    processor.start()
    processor.wait_until_ready()
    begun, first = time.monotonic(), ours.counted()
    ours.wait_until_counted(counted + report.accepted)
    seconds = time.monotonic() - begun
    rounds = Rounds()
    caught_up = counted + report.accepted - first
    rounds.add(
        backlog=report.accepted, seconds=seconds, per_s=caught_up / seconds, arrival_per_s=rate
    )
    ours.pids["processor"] = processor.pid
    name = "catch-up: rate over a backlog ÷ the sustained rate"
    return [rounds.ratio(name, "per_s", "arrival_per_s", Goal(at_least=2))]


def _memory(ours: System) -> list[Result]:
    """Peaks; all events of the run are in the memory of the processor."""
    rounds = Rounds()
    ids = ours.counted()
    peaks = {name: cost_of(pid).peak_mib for name, pid in ours.pids.items()}
    processor_mb = peaks["processor"] * 2**20 / 1e6
    rounds.add(ids=ids, processor_mb=processor_mb, **peaks)
    bound = Goal(at_most=round(_BASE_MB + ids * _BYTES_AN_ID / 1e6))
    name = "memory of the processor at full load, peak"
    return [
        rounds.figure("memory of ingest at full load, peak", "ingest", "MiB", Goal(at_most=150)),
        rounds.figure(name, "processor_mb", "MB", bound, f"{ids / 1e6:.0f} million ids"),
    ]


@contextmanager
def _meanwhile(interval_s: float, do: Callable[[], None]) -> Iterator[None]:
    """Does something again and again in a thread of its own; its errors end the block."""
    stop = threading.Event()

    def again() -> None:
        while not stop.wait(interval_s):
            do()

    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(again)
        try:
            yield
        finally:
            stop.set()
        work.result()


async def _lag(stack: Stack) -> float:
    """Records that the group has not committed."""
    topics = stack.topics
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.events, at) for at in range(topics.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        done = [await consumer.committed(partition) or 0 for partition in partitions]
        return float(sum(ends.values()) - sum(done))
    finally:
        await consumer.stop()


async def _records(stack: Stack) -> float:
    """Records that the topic has had."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.topics.bootstrap_servers)
    await consumer.start()
    try:
        partitions = [TopicPartition(stack.topics.events, at) for at in range(PARTITIONS)]
        return float(sum((await consumer.end_offsets(partitions)).values()))
    finally:
        await consumer.stop()
