"""The gateway as a process: start, stop, kill, on a free port and a directory of a test."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client

from tests.ports import free_port

_CHECKOUT = Path(__file__).resolve().parents[3]
_START_S = 30.0

ADMIN, WRITER, READER = "admin", "writer", "reader"


def password_of(user: str) -> str:
    """Throw-away passwords, one a user."""
    return f"secret of {user}"


@dataclass
class Gateway:
    """A gateway that a test may stop, kill and start again on the same data."""

    directory: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def peak_memory_mb(self) -> int:
        """The most memory that the process had so far."""
        return self._status("VmHWM") // 1024

    def memory_mb(self) -> int:
        """The memory that the process has."""
        return self._status("VmRSS") // 1024

    def threads(self) -> int:
        """The number of threads of the process."""
        return self._status("Threads")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1])

    def start(self) -> None:
        """Start it and wait until the engine answers."""
        with (self.directory / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.gateway"],
                cwd=_CHECKOUT,
                env=os.environ | environment(self.directory, self.port) | self.settings,
                start_new_session=True,  # the engine's SYSTEM SHUTDOWN signals the whole group
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                log_text = (self.directory / "gateway.log").read_text()
                raise AssertionError(f"the gateway did not start:\n{log_text[-4000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether /ping says that the engine answers."""
        try:
            with urlopen(f"{self.url}/ping", timeout=10) as response:  # noqa: S310 - http to this machine
                return bool(response.read() == b"Ok.\n")
        except (URLError, OSError):
            return False

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; the exit code. A process that takes longer fails the test."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=within_s)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=15)

    def client(self, user: str = ADMIN, database: str = "system", **options: Any) -> Client:
        """An unmodified clickhouse-connect client, synchronous."""
        return clickhouse_connect.get_client(
            host="127.0.0.1",
            port=self.port,
            username=user,
            password=password_of(user),
            database=database,
            autogenerate_session_id=False,
            query_retries=0,
            **options,
        )

    async def async_client(
        self, user: str = ADMIN, database: str = "system", **options: Any
    ) -> AsyncClient:
        """An unmodified clickhouse-connect client, asynchronous."""
        return await clickhouse_connect.get_async_client(
            host="127.0.0.1",
            port=self.port,
            username=user,
            password=password_of(user),
            database=database,
            autogenerate_session_id=False,
            query_retries=0,
            **options,
        )


def _user(
    name: str, grants: tuple[str, ...], settings: dict[str, str] | None = None
) -> dict[str, Any]:
    digest = hashlib.sha256(password_of(name).encode()).hexdigest()
    return {"name": name, "password_sha256": digest, "grants": grants, "settings": settings or {}}


def environment(directory: Path, port: int) -> dict[str, str]:
    """The gateway's settings."""
    return {
        "GATEWAY_PORT": str(port),
        "GATEWAY_DATA_DIR": str(directory / "data"),
        "GATEWAY_USERS_FILE": str(directory / "users.json"),
    }


# Names of databases that WRITER and READER have rights in; `admin` may make others.
DATABASES = tuple(f"gateway_{number}" for number in range(400))

_WRITES = (
    "GRANT SELECT, INSERT ON {database}.events",
    "GRANT SELECT ON {database}.others",
    "GRANT SELECT ON system.processes",
)
_READS = ("GRANT SELECT ON {database}.events",)


def new_gateway(
    directory: Path, *, databases: tuple[str, ...] = ("d",), writes: tuple[str, ...] = _WRITES
) -> Gateway:
    """A gateway with its users, not started yet."""
    users = [
        _user(ADMIN, ("GRANT ALL ON *.* WITH GRANT OPTION",)),
        _user(WRITER, writes),
        _user(READER, _READS, {"readonly": "1"}),
    ]
    text = json.dumps({"databases": databases, "users": users})
    (directory / "users.json").write_text(text)
    return Gateway(directory, free_port())
