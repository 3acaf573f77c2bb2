"""The services and the command as processes of their own."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
STOPS_WITHIN_S = 10.0
_READY_WITHIN_S = 60.0
_TAIL_LINES = 40


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run_command(environment: dict[str, str], *arguments: str) -> str:
    """What `ragtime` with these arguments prints; fails unless it ends with exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "services.admin", *arguments],
        cwd=CHECKOUT,
        env=_inherited() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"ragtime {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


def _inherited() -> dict[str, str]:
    # What the developer set for a stack of theirs must not leak into this one.
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAGTIME_", "RT_"))
    }


@dataclass
class Service:
    """One of our services. It keeps its port and its log over a restart."""

    name: str
    environment: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; `wait_until_ready` tells when it works."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self.name}"],
                cwd=CHECKOUT,
                env=_inherited() | self.environment | {"RAGTIME_HTTP__PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Return when /healthz/ready says so; fails at once when the process ended instead."""
        wait_until(self._is_ready, f"{self.name} is ready", _READY_WITHIN_S)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended:\n{self.log_tail()}"
        try:
            return httpx.get(f"{self.url}/healthz/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> float:
        """Stop it by SIGTERM; returns the seconds it took. Fails on another exit code than 0."""
        process, self._process = self._process, None
        assert process is not None
        started = time.monotonic()
        process.terminate()
        try:
            code = process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"{self.name} did not stop within {STOPS_WITHIN_S:g} s:\n{self.log_tail()}"
            ) from None
        assert code == 0, f"{self.name} ended with exit code {code}:\n{self.log_tail()}"
        return time.monotonic() - started

    def close(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self.stop()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
