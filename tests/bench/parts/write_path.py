"""The write path: CPU time of processor and engine from the topic to visible counts.

Beside it the afternoon's version (`tests/bench/peers/loop.py`) reads the same records into the same
tables and views of a database of its own, with as many records an insert. Merges count for both.
"""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.events import SEED, Sessions
from tests.bench.measure import Goal, Result, Rounds, cpu_s
from tests.bench.peers.running import Loop, running_loop
from tests.bench.records import MadeRecord, records_of, write
from tests.e2e.stack import PARTITIONS, Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers, servers

_ROUNDS = 3
_SIZES = ((500, 600, Goal(at_most=1.25)), (20, 7_500, Goal(at_most=2)))
_READ_WITHIN_S = 300.0
_INSERTS = "ragtime_insert_seconds_count"


def run(*, quick: bool) -> list[Result]:
    """Two results: records of 500 events, and of 20."""
    return [
        _run(size, records // 5 if quick else records, 1 if quick else _ROUNDS, goal)
        for size, records, goal in _SIZES
    ]


def _run(size: int, records: int, number_of_rounds: int, goal: Goal) -> Result:
    # Tables of its own for each size: merges of what came before would count for what comes now.
    with (
        tempfile.TemporaryDirectory(prefix="ragtime-bench-") as folder,
        servers() as real,
        running_stack(real, Path(folder)) as stack,
        running_loop(real, stack, stack.topics.events) as peer,
    ):
        both = _Both(real, stack, peer)
        rounds = Rounds()
        sessions = Sessions(SEED + size)
        for _ in range(number_of_rounds):
            both.write(list(records_of(sessions, records, size, PARTITIONS)))
            rounds.add(events=records * size, **both.measure(records * size))
    name = f"write path, records of {size}: CPU-s an event, ours ÷ bare loop"
    return rounds.ratio(name, "ours_us", "peer_us", goal)


@dataclass(frozen=True)
class _Both:
    """The processor and the bare loop beside the same servers, one after the other at work."""

    real: Servers
    stack: Stack
    peer: Loop

    def write(self, records: list[MadeRecord]) -> None:
        """Fill the topic while nobody reads."""
        self.stack.services["processor"].freeze()
        asyncio.run(write(self.real.kafka, self.stack.topics.events, records))

    def measure(self, events: int) -> dict[str, float]:
        """CPU microseconds an event, of each and of the engine while each was at work."""
        processor, engine = self.stack.services["processor"], self.real.pids["clickhouse"]
        ours = self._cost(processor.pid, engine, self._count)
        peer = self._cost(self.peer.pid, engine, self._copy)
        scale = 1e6 / events
        return {
            "ours_us": sum(ours) * scale,
            "ours_processor_us": ours[0] * scale,
            "ours_engine_us": ours[1] * scale,
            "ours_inserts_so_far": self._inserts(),
            "peer_us": sum(peer) * scale,
            "peer_loop_us": peer[0] * scale,
            "peer_engine_us": peer[1] * scale,
        }

    def _cost(self, pid: int, engine: int, work: Callable[[], None]) -> tuple[float, float]:
        before = cpu_s([pid]), cpu_s([engine])
        work()
        wait_until(self._are_merges_done, "all merges are done", _READ_WITHIN_S)
        return cpu_s([pid]) - before[0], cpu_s([engine]) - before[1]

    def _are_merges_done(self) -> bool:
        rows = self.stack.database.query("SELECT count() FROM system.merges").result_rows
        return not rows[0][0]

    def _count(self) -> None:
        self.stack.services["processor"].thaw()
        self.stack.wait_until_counted(_READ_WITHIN_S)

    def _copy(self) -> None:
        self.peer.copy(asyncio.run(_ends(self.real, self.stack)))

    def _inserts(self) -> float:
        processor = self.stack.services["processor"]
        text = self.stack.http.get(f"{processor.url}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith(_INSERTS)]
        return float(lines[0].rpartition(" ")[2])


async def _ends(real: Servers, stack: Stack) -> list[tuple[int, int]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=real.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(stack.topics.events, at) for at in range(PARTITIONS)]
        ends = await consumer.end_offsets(partitions)
        return [(partition.partition, end) for partition, end in ends.items()]
    finally:
        await consumer.stop()
