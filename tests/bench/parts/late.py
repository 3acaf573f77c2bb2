"""What it costs to look late events up in a project of 10 million rows, and what B notices of it.

A batch of fresh events beside the same of late ones, new ones and repeats: CPU time of processor
and engine, and the time until all of it is counted. Each repeat must be found, and no new one lost.
Then B writes once a second, as with `tests.bench.neighbours`, alone, beside bursts of fresh events
and beside bursts of late ones, half of them repeats.

The rows lie once over so many days that the days can be read whole, and once over so few that they
are too large for that (`services/processor/late_days.py`).
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.events import Event
from tests.bench.late_events import PROJECT, Shape, records, shape
from tests.bench.measure import Goal, Result, Rounds, cpu_s
from tests.bench.neighbours.planting import plant_answers
from tests.bench.neighbours.report import FLOOR_S, MOST_TIMES
from tests.bench.neighbours.stage import Stage, staged
from tests.bench.neighbours.victim import Seen, watch
from tests.bench.records import MadeRecord, write
from tests.e2e.waiting import wait_until

_READ_WITHIN_S = 600.0
_LOOK_EVERY_S = 0.01
_WARM_UP_S, _PATIENCE_S = 3, 300.0
_BATCHES_S = "ragtime_batch_events_count"


@dataclass(frozen=True)
class _Size:
    """Batches of so many events: how many of each kind, and the seconds from burst to burst."""

    events: int
    batches: int
    every_s: int


@dataclass(frozen=True)
class _Sizes:
    rows: int
    days: tuple[int, ...]
    sizes: tuple[_Size, ...]
    seconds: int


_FULL = _Sizes(
    rows=10_000_000,
    days=(25, 5),
    sizes=(_Size(1_000, batches=10, every_s=1), _Size(100_000, batches=3, every_s=10)),
    seconds=40,
)
_QUICK = _Sizes(
    rows=100_000,
    days=(25, 5),
    sizes=(_Size(1_000, batches=2, every_s=1), _Size(10_000, batches=1, every_s=5)),
    seconds=10,
)


def run(*, quick: bool) -> list[Result]:
    """For both spans of days, and for each size of batch: costs, and the times of B."""
    sizes = _QUICK if quick else _FULL
    return [result for days in sizes.days for result in _run(sizes, days)]


def _run(sizes: _Sizes, days: int) -> Iterator[Result]:
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder,
        staged(Path(folder), keys=1) as stage,
        _topic_of(stage) as topic,
    ):
        made = shape(sizes.rows, days, stage.stack.topics.events, stage.stack.topics.partitions)
        bench = _Bench(stage, topic, made)
        bench.batch("warm", made.fresh(max(one.events for one in sizes.sizes), "warm"))
        made.load(stage.stack.database)
        plant_answers(stage)
        bench.wait_until_merged()
        asyncio.run(watch(stage, _WARM_UP_S, _PATIENCE_S, "warm"))
        where = f"{sizes.rows / 1e6:g} million rows over {days} days"
        for size in sizes.sizes:
            yield from _costs(bench, size, f"{size.events:,} a batch, {where}")
        alone = asyncio.run(watch(stage, sizes.seconds, _PATIENCE_S, "alone"))
        yield from _times("alone", alone, where)
        for size in sizes.sizes:
            yield from _beside(bench, size, sizes.seconds, alone, where)


class _Topic:
    """The topic, and how far the group has got in it."""

    def __init__(self, stage: Stage, runner: asyncio.Runner) -> None:
        topics = stage.stack.topics
        self._runner = runner
        self._partitions = [TopicPartition(topics.events, at) for at in range(topics.partitions)]
        self._bootstrap_servers, self._group = topics.bootstrap_servers, topics.group
        self._consumer: AIOKafkaConsumer = runner.run(self._started())

    async def _started(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=self._group,
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign(self._partitions)
        return consumer

    def wait_until_read(self) -> None:
        """Return when the group has committed all that the topic holds now."""
        self._runner.run(self._read())

    async def _read(self) -> None:
        ends = await self._consumer.end_offsets(self._partitions)
        async with asyncio.timeout(_READ_WITHIN_S):
            for partition, end in ends.items():
                while (await self._consumer.committed(partition) or 0) < end:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        self._runner.run(self._consumer.stop())


@contextmanager
def _topic_of(stage: Stage) -> Iterator[_Topic]:
    with asyncio.Runner() as runner:
        topic = _Topic(stage, runner)
        try:
            yield topic
        finally:
            topic.close()


@dataclass(frozen=True)
class _Bench:
    """The stack, and a project with many rows."""

    stage: Stage
    topic: _Topic
    shape: Shape

    def batch(self, kind: str, events: Iterable[Event], repeats: int = 0) -> dict[str, float]:
        """What it takes to count these, which lie in the topic when the processor begins.

        Fails unless so many of them are found to be repeats, and all others are counted.
        """
        sent = list(events)
        made = records(sent, self.shape.partitions)
        stack, processor = self.stage.stack, self.stage.stack.services["processor"]
        pids = {"processor": processor.pid, "engine": self.stage.real.pids["clickhouse"]}
        with self.checked(len(sent), repeats):
            batches = self._batches()
            processor.freeze()
            asyncio.run(write(stack.topics.bootstrap_servers, stack.topics.events, made))
            before = {name: cpu_s([pid]) for name, pid in pids.items()}
            started = time.monotonic()
            processor.thaw()
            self.topic.wait_until_read()
            took_s = time.monotonic() - started
            self.wait_until_merged()
            costs = {name: cpu_s([pid]) - before[name] for name, pid in pids.items()}
        costs |= {"cpu": sum(costs.values())}
        figures = {f"{name}_us": seconds / len(sent) * 1e6 for name, seconds in costs.items()}
        figures |= {"ms": took_s * 1e3, "batches": self._batches() - batches}
        return {f"{kind}_{name}": value for name, value in figures.items()}

    @contextmanager
    def checked(self, events: int, repeats: int) -> Iterator[None]:
        """Fail unless so many events more have been sent, and so many of them were repeats."""
        before = self._counts()
        yield
        counted, repeated = (now - then for now, then in zip(self._counts(), before, strict=True))
        assert (counted, repeated) == (events - repeats, repeats), (counted, repeated)

    def _counts(self) -> tuple[float, float]:
        rows = self.stage.stack.database.query(
            "SELECT count() FROM events WHERE project_id = {project:String}", {"project": PROJECT}
        ).result_rows
        return rows[0][0], self.stage.stack.metric("processor", "ragtime_events_repeated")

    def _batches(self) -> float:
        processor = self.stage.stack.services["processor"]
        text = self.stage.stack.http.get(f"{processor.url}/metrics").text
        (line,) = (line for line in text.splitlines() if line.startswith(_BATCHES_S))
        return float(line.rpartition(" ")[2])

    def wait_until_merged(self) -> None:
        """Return when no merge is under way."""
        ask = "SELECT count() FROM system.merges"
        database = self.stage.stack.database
        wait_until(lambda: not database.query(ask).result_rows[0][0], "merged", _READ_WITHIN_S)


_numbers = count()


def _costs(bench: _Bench, size: _Size, where: str) -> Iterator[Result]:
    rounds = Rounds()
    for _ in range(size.batches):
        number = next(_numbers)
        fresh = bench.shape.fresh(size.events, f"fresh-{number}")
        new = bench.shape.new(size.events, f"new-{number}")
        repeats = bench.shape.repeats(size.events, number)
        rounds.add(
            **bench.batch("fresh", fresh),
            **bench.batch("new", new),
            **bench.batch("repeats", repeats, size.events),
        )
    yield rounds.figure(f"fresh: CPU an event, {where}", "fresh_cpu_us", "µs")
    yield rounds.figure(f"fresh: until counted, {where}", "fresh_ms", "ms")
    for kind in ("new", "repeats"):
        name = f"late, {kind}"
        yield rounds.figure(f"{name}: CPU an event, {where}", f"{kind}_cpu_us", "µs")
        yield rounds.figure(f"{name}: until counted, {where}", f"{kind}_ms", "ms")
        over, under = f"{kind}_cpu_us", "fresh_cpu_us"
        yield rounds.ratio(f"{name}: CPU ÷ fresh, {where}", over, under, None)


def _beside(bench: _Bench, size: _Size, seconds: int, alone: Seen, where: str) -> Iterator[Result]:
    each = range(seconds // size.every_s)
    half = size.events // 2
    fresh = [_records(bench, lambda: bench.shape.fresh(size.events, _name())) for _ in each]
    late = [
        _records(bench, lambda: bench.shape.new(half, _name()))
        + _records(bench, lambda: bench.shape.repeats(half, next(_numbers)))
        for _ in each
    ]
    for kind, bursts, repeats in (("fresh", fresh, 0), ("late", late, half)):
        with bench.checked(size.events * len(each), repeats * len(each)):
            seen = _seen(bench, bursts, size.every_s, seconds, f"{kind}-{size.events}")
        beside = f"beside {size.events:,} {kind} each {size.every_s} s"
        yield from _times(beside, seen, where, alone)


def _name() -> str:
    return f"burst-{next(_numbers)}"


def _records(bench: _Bench, events: Callable[[], Iterable[Event]]) -> list[MadeRecord]:
    return records(events(), bench.shape.partitions)


def _seen(
    bench: _Bench, bursts: Sequence[Sequence[MadeRecord]], every_s: int, seconds: int, phase: str
) -> Seen:
    topics = bench.stage.stack.topics

    def send() -> None:
        started = time.monotonic()
        for at, burst in enumerate(bursts):
            time.sleep(max(0.0, started + at * every_s - time.monotonic()))
            asyncio.run(write(topics.bootstrap_servers, topics.events, burst))

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send)
        seen = asyncio.run(watch(bench.stage, seconds, _PATIENCE_S, phase))
        sending.result()
    bench.topic.wait_until_read()
    assert not seen.unseen
    return seen


def _times(beside: str, seen: Seen, where: str, alone: Seen | None = None) -> Iterator[Result]:
    rounds = Rounds()
    rounds.add(
        probes=len(seen.visible_s),
        p50_s=seen.visible(0.5),
        p99_s=seen.visible(0.99),
        max_s=max(seen.visible_s),
        read_p99_s=seen.read(0.99),
    )
    goal = None if alone is None else Goal(max(FLOOR_S, MOST_TIMES * alone.visible(0.99)))
    name = f"B {beside}: write → visible, {where}"
    yield rounds.figure(f"{name}, p50", "p50_s", "s")
    yield rounds.figure(f"{name}, p99", "p99_s", "s", goal)
    yield rounds.figure(f"{name}, max", "max_s", "s")
