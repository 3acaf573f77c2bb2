"""Starts the bare versions beside a stack; the loop writes to tables of its own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.clickhouse.migrations import apply, read_migrations
from libs.settings import ClickHouseSettings
from services.processor.settings import BatchSettings
from tests.bench.peers.loop import PASSWORD
from tests.e2e.processes import CHECKOUT, Service
from tests.e2e.stack import Stack
from tests.servers import Servers

_STOPS_WITHIN_S = 30.0
_NEVER = 1 << 62


class App(Service):
    """The bare version of ingest on a port of its own."""

    def __init__(self, stack: Stack, topic: str, log: Path) -> None:
        super().__init__("bare", {}, log)
        self.command = [sys.executable, "-m", "tests.bench.peers.app", f"--port={self.port}"]
        self.command += [f"--kafka={stack.topics.bootstrap_servers}", f"--topic={topic}"]


class Loop:
    """The bare version of the processor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.is_endless = False
        self._expect("ready")

    @property
    def pid(self) -> int:
        return self._process.pid

    def copy(self, ends: Sequence[tuple[int, int]]) -> None:
        """Copy all that lies below these offsets of the partitions; returns when it is done."""
        self._tell(ends)
        self._expect("done")

    def copy_endlessly(self, partitions: int) -> None:
        """Copy whatever comes, until the end."""
        self.is_endless = True
        self._tell([(number, _NEVER) for number in range(partitions)])

    def _tell(self, ends: Sequence[tuple[int, int]]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(ends)}\n")
        self._process.stdin.flush()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == word, f"the bare loop said {said!r}"


@contextmanager
def running_loop(real: Servers, stack: Stack, topic: str) -> Iterator[Loop]:
    """The loop, reading a topic into tables of its own, which stay as long as the server."""
    database = peer_database(stack)
    asyncio.run(_make_tables(real, database))
    command = [sys.executable, "-m", "tests.bench.peers.loop", "--kafka", real.kafka]
    command += ["--topic", topic, "--url", real.clickhouse_url, "--user", real.admin.user]
    command += ["--database", database, "--max-records", str(BatchSettings().max_records)]
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=os.environ | {PASSWORD: real.admin.password},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        loop = Loop(process)
        yield loop
        assert process.stdin is not None
        process.stdin.close()
        assert loop.is_endless or process.wait(_STOPS_WITHIN_S) == 0
    finally:
        process.kill()
        process.wait()


def peer_database(stack: Stack) -> str:
    """Where the loop's tables are."""
    return f"{stack.environment['RAGTIME_CLICKHOUSE__DATABASE']}_peer"


async def _make_tables(real: Servers, database: str) -> None:
    settings = ClickHouseSettings(
        url=real.clickhouse_url,
        user=real.admin.user,
        password=SecretStr(real.admin.password),
        database="system",
    )
    client = await connect(settings)
    await apply(client, database, read_migrations())
    # Its rows have no lease.
    await client.command(
        f"ALTER TABLE {database}.events MODIFY COLUMN lease DateTime64(3, 'UTC')"
        " DEFAULT '2100-01-01 00:00:00'"
    )
    await client.close()
