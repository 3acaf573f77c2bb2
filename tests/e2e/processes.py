"""The services and the command as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.waiting import wait_until
from tests.local_http import HTTP
from tests.ports import free_port

CHECKOUT = Path(__file__).parents[2]
STOPS_WITHIN_S = 10.0
_READY_WITHIN_S = 60.0
_COMMAND_ENDS_WITHIN_S = 300.0  # an audit after hours of chaos looks at millions of rows
_TAIL_LINES = 40


@dataclass(frozen=True)
class Release:
    """A checkout of the product, and the interpreter with what it needs."""

    folder: Path
    python: str

    def command(self, module: str, *arguments: str) -> list[str]:
        return [self.python, "-m", module, *arguments]


THIS = Release(CHECKOUT, sys.executable)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: str


def run_command(environment: dict[str, str], *arguments: str, release: Release = THIS) -> str:
    """What `ragtime` with these arguments prints; fails unless it ends with exit code 0."""
    done = try_command(environment, *arguments, release=release)
    assert done.code == 0, f"ragtime {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout.decode()


def try_command(environment: dict[str, str], *arguments: str, release: Release = THIS) -> Done:
    """What `ragtime` with these arguments answers, whatever that is."""
    done = subprocess.run(
        release.command("services.admin", *arguments),
        cwd=release.folder,
        env=_inherited() | environment,
        capture_output=True,
        timeout=_COMMAND_ENDS_WITHIN_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def _inherited() -> dict[str, str]:
    # What the developer set for a stack of theirs must not leak into this one.
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAGTIME_", "RT_"))
    }


@dataclass
class Process:
    """A program that tests start, stop, kill and freeze. It keeps its log over a restart."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    folder: Path = CHECKOUT
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def said(self, event: str) -> list[dict[str, str]]:
        """The lines of its log with this event."""
        lines = self.log.read_text("utf-8").splitlines()
        return [json.loads(one) for one in lines if f'"{event}"' in one]

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=_inherited() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop it themselves
            )

    def stop(self, within_s: float = STOPS_WITHIN_S) -> float:
        """Stop it by SIGTERM; returns the seconds it took. Fails on another exit code than 0."""
        process, self._process = self._process, None
        assert process is not None
        started = time.monotonic()
        process.terminate()
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"{self.name} did not stop within {within_s:g} s:\n{self.log_tail()}"
            ) from None
        assert code == 0, f"{self.name} ended with exit code {code}:\n{self.log_tail()}"
        return time.monotonic() - started

    def wait(self, within_s: float) -> int:
        """The exit code with which it ends by itself; fails when it does not in time."""
        process, self._process = self._process, None
        assert process is not None
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"{self.name} did not end within {within_s:g} s:\n{self.log_tail()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL: it runs not one more instruction."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it stands still, and notices nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it stood."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self.stop()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


class Service(Process):
    """One of our services. It keeps its port too."""

    def __init__(
        self,
        name: str,
        environment: dict[str, str],
        log: Path,
        *,
        label: str = "",
        release: Release = THIS,
    ) -> None:
        self.port = free_port()
        port = {"RAGTIME_HTTP__PORT": str(self.port)}
        self._module = f"services.{name}"
        command = release.command(self._module)
        super().__init__(label or name, command, environment | port, log, release.folder)

    def upgrade(self, release: Release) -> None:
        """Stop it by SIGTERM, and start the same service of another release."""
        self.stop()
        self.command, self.folder = release.command(self._module), release.folder
        self.start()
        self.wait_until_ready()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self, timeout_s: float = _READY_WITHIN_S) -> None:
        """Return when /healthz/ready says so; fails at once when the process ended instead."""
        wait_until(self._is_ready, f"{self.name} is ready", timeout_s)

    def _is_ready(self) -> bool:
        assert self.is_running, f"{self.name} ended:\n{self.log_tail()}"
        try:
            return HTTP.get(f"{self.url}/healthz/ready").status_code == 200
        except httpx.TransportError:
            return False
