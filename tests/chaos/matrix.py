"""`python -m tests.chaos.matrix`: kills ClickHouse's process at each system call, and counts.

Needs strace. What is interrupted is an insert, and a recovery that has everything to mend. A first
run counts how often a thread of the engine makes each system call that touches files or answers;
then, for each of those calls, the engine is killed as it enters it, started anew, and the
processor's own agent goes on. Then the counts must be what was sent, once.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings, KafkaSettings
from services.admin.audit import TABLE_CHECKS, first_row
from services.processor.agent import Agent, Table
from services.processor.batch import Record
from services.processor.dead_letters import DeadLetters
from services.processor.late_days import LateDays
from services.processor.lookups import Lookups
from services.processor.ownership import Ownership
from services.processor.recovery import Recovery, utc_now
from services.processor.writer import Writer
from tests.e2e.processes import Process
from tests.e2e.waiting import wait_until
from tests.fakes_kafka import FakeTopic
from tests.servers import (
    Servers,
    clickhouse_answers,
    local_command,
    local_environment,
    prepare_local,
)
from tests.unit.services.processor.events import event, record

_CALLS = (
    "openat,mkdir,rename,renameat2,unlink,unlinkat,rmdir,link,write,pwrite64,writev,"
    "fsync,fdatasync,ftruncate,close,sendto"
)
_TRACED = re.compile(r"^(\d+)\s+(\w+)\(")
_TOPIC = "events"
_PARTITIONS = (0, 1)
_SOURCE = {"id": "s", "name": "S"}
_LEASE_S = 0.3
_POINT_WITHIN_S = 120.0


Work = Callable[[], Awaitable[None]]


class Engine:
    """The gateway's process, which is killed and comes back."""

    def __init__(self, folder: Path) -> None:
        where, self.found = prepare_local(folder)
        self.process = Process(
            "clickhouse",
            local_command("clickhouse"),
            local_environment(where),
            where.log("clickhouse"),
        )

    def start(self) -> None:
        self.process.start()
        wait_until(lambda: clickhouse_answers(self.found.clickhouse_url), "ClickHouse answers", 60)

    def attach(self, *options: str) -> subprocess.Popen[bytes]:
        """strace on all of its threads."""
        strace = subprocess.Popen(
            ["strace", "-f", "-qq", *options, "-p", str(self.process.pid)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._is_attached, "strace is attached")
        return strace

    def _is_attached(self) -> bool:
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all("TracerPid:\t0" not in (one / "status").read_text() for one in threads)


class Matrix:
    """One agent on one database, and the kill points that it lived through."""

    def __init__(self, engine: Engine, client: AsyncClient, admin: AsyncClient) -> None:
        self._engine = engine
        self._client, self._admin = client, admin
        self._sent: Counter[tuple[str, str]] = Counter()
        self._offset = 0
        ownership = Ownership(_LEASE_S, self._confirm, lambda: True, time.monotonic, asyncio.sleep)
        recovery = Recovery(client, _TOPIC, ownership, utc_now)
        letters = DeadLetters(KafkaSettings(bootstrap_servers="127.0.0.1:9"), 0)
        table = Table(Writer(client), recovery, Lookups(client, _TOPIC, LateDays(1 << 20)))
        self._agent = Agent(FakeTopic(name=_TOPIC), table, letters, ownership, 1 << 28)

    async def close(self) -> None:
        """Give the connections back."""
        for client in (self._client, self._admin):
            await client.close()

    async def _confirm(self, _offsets: Mapping[int, int]) -> bool:
        return True

    async def insert(self) -> None:
        """Count one more batch of two partitions."""
        if not self._agent.partitions:
            await self.recover()
        await self._agent.process([self._record(number) for number in _PARTITIONS])
        self._offset += 1

    async def recover(self) -> None:
        """Take the partitions over."""
        await self._agent.take_over(set(_PARTITIONS))

    async def lose_rollups(self) -> None:
        """As if a kill had come between the raw table's part and the views' parts, each time."""
        for table in ("daily_counts", "source_names"):
            await self._admin.command(f"TRUNCATE TABLE {table}")

    def _record(self, partition: int) -> Record:
        name = f"{partition}-{self._offset}"
        moment = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        common = {"occurred_at": moment, "accepted_at": moment}
        talk = common | {"conversation_id": f"c{name}"}
        self._sent.update(
            [("_events", ""), ("usage", "public"), ("conversation", "total"),
             ("conversation", "_user_messages"), ("language", "unknown"), ("_events", ""),
             ("rag", "hit"), ("source", "s"), ("_events", ""), ("session", "total"),
             ("country", "unknown"), ("device", "unknown")]
        )  # fmt: skip
        return record(
            event(f"m{name}", **talk),
            event(f"r{name}", "rag.retrieval", hit=True, sources=[_SOURCE], **talk),
            event(f"s{name}", "session.started", **common),
            partition=partition,
            offset=self._offset,
            at_ms=round(time.time() * 1000),
        )

    async def check(self) -> None:
        """Compare the rollups with what was sent. Raises AssertionError."""
        result = await self._admin.query(
            "SELECT category, key, sum(value) FROM daily_counts GROUP BY category, key"
        )
        got = {(category, key): value for category, key, value in result.result_rows}
        assert got == dict(self._sent), {
            name: (got.get(name), self._sent.get(name))
            for name in got.keys() | self._sent.keys()
            if got.get(name) != self._sent.get(name)
        }
        names = await self._admin.query("SELECT DISTINCT id, latest.name FROM source_names FINAL")
        assert names.result_rows == [("s", "S")], names.result_rows
        since = datetime.now(UTC).date() - timedelta(days=2)
        for name, sql in TABLE_CHECKS.items():
            for partition in _PARTITIONS:
                found = await first_row(
                    self._admin,
                    sql,
                    {
                        "partition": partition,
                        "since": since,
                        "topic": _TOPIC,
                        "number_of_partitions": len(_PARTITIONS),
                    },
                )
                assert not found, f"{name}: {found}"

    async def count_calls(self, work: Work, folder: Path) -> dict[str, int]:
        """How often a single thread makes each system call while this is done."""
        trace = folder / "calls.strace"
        strace = self._engine.attach("-e", f"trace={_CALLS}", "-o", str(trace))
        await work()
        strace.terminate()
        strace.wait()
        by_thread: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for line in trace.read_text(errors="replace").splitlines():
            if match := _TRACED.match(line):
                by_thread[match[1]][match[2]] += 1
        calls = {call for counts in by_thread.values() for call in counts}
        return {call: max(counts[call] for counts in by_thread.values()) for call in sorted(calls)}

    async def kill_at(self, call: str, number: int, work: Work) -> bool:
        """Do it while the engine dies at the n-th such call of a thread; whether it died."""
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        strace = self._engine.attach("-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
        killed = False
        async with asyncio.timeout(_POINT_WITHIN_S):
            task = asyncio.ensure_future(work())
            while not task.done():
                if not self._engine.process.is_running:
                    killed = True
                    await asyncio.to_thread(self._engine.start)
                await asyncio.sleep(0.02)
            await task
        if not self._engine.process.is_running:  # it died once all was done
            killed = True
            await asyncio.to_thread(self._engine.start)
        strace.terminate()
        strace.wait()
        return killed


async def run(folder: Path, each: int) -> bool:
    """Both matrices; whether all points were exact."""
    engine = Engine(folder)
    engine.start()
    exact = True
    try:
        for name in ("insert", "recovery"):
            matrix = await _new_matrix(engine)
            await matrix.insert()
            await matrix.insert()
            exact &= await _run_matrix(matrix, name, folder, each)
            await matrix.close()
    finally:
        engine.process.kill()
    return exact


async def _run_matrix(matrix: Matrix, name: str, folder: Path, each: int) -> bool:
    async def prepare() -> None:
        if name == "recovery":
            await matrix.lose_rollups()

    work = matrix.insert if name == "insert" else matrix.recover
    await prepare()
    calls = await matrix.count_calls(work, folder)
    points = [(call, at) for call, most in calls.items() for at in range(1, most + 1)][::each]
    say(f"{name}: {len(points)} points: {calls}")
    killed, wrong = Counter[str](), 0
    for call, number in points:
        await _patiently(prepare)
        if await matrix.kill_at(call, number, work):
            killed[call] += 1
        try:
            await _patiently(matrix.check)
        except AssertionError as error:
            wrong += 1
            say(f"{name}: killed at {call} {number}: {error}")
            return False
    say(f"{name}: {killed.total()} of {len(points)} points reached and killed, {wrong} wrong")
    for call, times in sorted(killed.items()):
        say(f"  {times:4} × {call}")
    return not wrong


async def _patiently(work: Work) -> None:
    """A late kill may fall into a question of ours."""
    for _ in range(20):
        try:
            await work()
        except Error:
            await asyncio.sleep(0.3)
        else:
            return
    await work()


async def _new_matrix(engine: Engine) -> Matrix:
    database = engine.found.new_database()
    system = await connect(_settings(engine.found, "admin", "system"))
    await apply(system, database, read_migrations())
    await system.close()
    return Matrix(
        engine,
        await connect(_settings(engine.found, "processor", database)),
        await connect(_settings(engine.found, "admin", database)),
    )


def _settings(found: Servers, user: str, database: str) -> ClickHouseSettings:
    credentials = found.users[user]
    return ClickHouseSettings(
        url=found.clickhouse_url,
        user=credentials.user,
        password=SecretStr(credentials.password),
        database=database,
    )


def say(line: str) -> None:
    """A line for the person at the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=1, help="take each n-th point only")
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        say("strace is not installed; on Debian: apt install strace")
        return 1
    with tempfile.TemporaryDirectory(prefix="ragtime-matrix-") as folder:
        return 0 if asyncio.run(run(Path(folder), arguments.each)) else 1


if __name__ == "__main__":
    sys.exit(main())
