"""Ingest as a process of its own, started as an operator starts it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import NO_LIMIT, ApiKey, Mode, Scope, generate_key, hash_key
from libs.access.key_store import add_key
from libs.settings import ClickHouseSettings
from tests.ports import free_port

PEPPER = "a pepper for the tests of ingest, no secret"

_CHECKOUT = Path(__file__).parents[3]


async def add_producer(client: AsyncClient, project: str) -> str:
    """A new key `key-PROJECT` that may write events, as many as it likes."""
    text = generate_key(Mode.LIVE)
    stored = ApiKey(
        id=f"key-{project}",
        key_hash=hash_key(text, PEPPER.encode()),
        project_id=project,
        mode=Mode.LIVE,
        scopes=frozenset({Scope.EVENTS_WRITE}),
        rate_per_minute=None,
        label="",
        created_at=datetime.now(UTC),
        expires_at=None,
        revoked_at=None,
        events_per_minute=NO_LIMIT,  # attacks send more than any honest key
    )
    await add_key(client, stored)
    return text


@dataclass
class IngestProcess:
    """The running process, and how to ask it."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.http.base_url.port is not None
        return self.http.base_url.port

    @property
    def peak_mb(self) -> float:
        """The most memory that the process has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024

    async def answers(self, path: str, status: int, timeout_s: float = 30.0) -> httpx.Response:
        """The first answer of that status; the process must be alive until then."""
        async with asyncio.timeout(timeout_s):
            while True:
                assert self.process.returncode is None, self.log.read_text("utf-8")
                try:
                    response = await self.http.get(path)
                    if response.status_code == status:
                        return response
                except httpx.TransportError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Ask it to end, as a process manager does; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(12):
            return await self.process.wait()


@asynccontextmanager
async def ingest_process(
    folder: Path,
    clickhouse: ClickHouseSettings,
    bootstrap_servers: str,
    topic: str,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[IngestProcess]:
    """Ingest on a free port, ended with the block. `more`: settings beside those that it needs."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "RAGTIME_HTTP__PORT": str(port),
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
        "RAGTIME_KAFKA__EVENTS_TOPIC": topic,
        "RAGTIME_CLICKHOUSE__URL": clickhouse.url,
        "RAGTIME_CLICKHOUSE__USER": clickhouse.user,
        "RAGTIME_CLICKHOUSE__PASSWORD": clickhouse.password.get_secret_value(),
        "RAGTIME_CLICKHOUSE__DATABASE": clickhouse.database,
        "RAGTIME_ACCESS__PEPPER": PEPPER,
        "RAGTIME_PUBLISH__TIMEOUT_S": "5",
        **(more or {}),
    }
    log = folder / "ingest.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ingest",
            cwd=_CHECKOUT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15) as http:
        running = IngestProcess(process, http, log)
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
