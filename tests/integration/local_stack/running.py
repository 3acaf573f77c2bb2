"""A stack of its own, in a folder of a test and on free ports, driven by its commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from deploy.local import pids
from deploy.local.demo import read_environment
from deploy.local.layout import CHECKOUT, Layout, layout
from deploy.local.ports import Ports, variable
from deploy.local.supervision import PROGRAMS
from tests.local_http import HTTP
from tests.ports import free_port

_COMMAND_S = 240.0


@dataclass(frozen=True)
class LocalStack:
    """What `make` would drive, with `RAGTIME_LOCAL_DIR` set."""

    folder: Path

    @property
    def where(self) -> Layout:
        return Layout(self.folder, layout().cache)

    def run(self, verb: str, **ports: int) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.local", verb],
            cwd=CHECKOUT,
            env=environment_of(self.folder, ports),
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )

    def begin(self, verb: str) -> subprocess.Popen[bytes]:
        """Run a verb beside the test."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.local", verb],
            cwd=CHECKOUT,
            env=environment_of(self.folder, {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def up(self) -> str:
        """What `up` printed on free ports; fails unless it ends well."""
        remembered = self.where.ports.exists()
        done = self.run("up", **({} if remembered else free_ports()))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def demo(self) -> dict[str, str]:
        return read_environment(self.where.demo_env)

    @property
    def ports(self) -> Ports:
        return Ports(**json.loads(self.where.ports.read_text()))

    def running(self) -> dict[str, int]:
        """The pids of what runs, by name."""
        found = {name: pids.running(self.where.process(name)) for name in PROGRAMS}
        return {name: pid for name, pid in found.items() if pid is not None}

    def answer(self) -> list[dict[str, object]]:
        """What analytics answers to the demo's key."""
        demo = self.demo
        url = f"{demo['RT_QUERY_URL']}/api/v1/projects/{demo['RT_PROJECT']}/analytics"
        headers = {"Authorization": f"Bearer {demo['RT_LIVE_KEY']}"}
        answer = HTTP.get(url, params={"category": "usage"}, headers=headers)
        assert answer.status_code == 200, answer.text
        stats: list[dict[str, object]] = answer.json()["stats"]
        return stats

    def restarted(self, name: str, number: signal.Signals, timeout_s: float) -> bool:
        """Signal a process; whether another takes its place in time."""
        before = self.running()[name]
        os.kill(before, number)
        return until(lambda: self.running().get(name, before) != before, timeout_s)


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether the condition comes to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def free_ports() -> dict[str, int]:
    """One for each server and service."""
    return {port.name: free_port() for port in fields(Ports)}


def environment_of(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """What a command of a stack is told: nothing that is meant for another."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAGTIME_", "RT_"))
    }
    chosen = {variable(name): str(port) for name, port in ports.items()}
    return inherited | chosen | {"RAGTIME_LOCAL_DIR": str(folder)}
