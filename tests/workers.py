"""How `make test` runs on all cores: workers of pytest-xdist, each with servers of its own.

The tests of one file stay together, as they share fixtures. Files that need servers come first, so
that no worker is left alone with a long one at the end; within the parts the order is random.
What is marked `alone` compares times: the other workers stand still meanwhile. As they would have
to wait for each other's tests before it too, it comes last.
"""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
from xdist.workermanage import NodeManager, WorkerController

WITH_SERVERS = ("integration", "contract", "e2e", "soak", "clients")
# A third of the time a test waits, for a timeout that it has to see or a process that starts.
_MORE_THAN_CORES = 1
# A worker that is told to end stops its servers first.
_ENDS_WITHIN_S = 60


def number_of_workers() -> int:
    """How many there should be on this machine."""
    return (os.cpu_count() or 1) + _MORE_THAN_CORES


def needs_servers(item: pytest.Item) -> bool:
    """Whether a test is marked as one that talks to servers."""
    return any(item.get_closest_marker(name) for name in WITH_SERVERS)


def is_alone(item: pytest.Item) -> bool:
    """Whether no other test may run beside it."""
    return item.get_closest_marker("alone") is not None


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of several."""
    return hasattr(config, "workerinput")


def in_parts(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """What needs servers, the rest, what runs alone; the order otherwise unchanged."""
    return sorted(items, key=lambda item: (is_alone(item), not needs_servers(item)))


class Ending:
    """Lets TERM end all workers as Ctrl-C does: each stops the servers that it started."""

    def __init__(self) -> None:
        self._workers: list[subprocess.Popen[bytes]] = []
        NodeManager.EXIT_TIMEOUT = _ENDS_WITHIN_S
        signal.signal(signal.SIGTERM, self._end)

    def pytest_configure_node(self, node: WorkerController) -> None:
        self._workers.append(node.gateway._io.popen)

    def _end(self, _number: int, _frame: FrameType | None) -> NoReturn:
        for worker in self._workers:
            worker.terminate()
        raise KeyboardInterrupt


class Turns:
    """Lets a test that measures run while none of the other workers does: those wait meanwhile.

    `folder`: of all workers of a run. Who comes goes through the gate first: where a test waits
    there until it is alone, no other may pass it.
    """

    def __init__(self, folder: Path) -> None:
        # Held until the worker ends, and let go by the system if it is killed.
        self._gate, self._floor = (
            os.open(folder / name, os.O_WRONLY | os.O_CREAT) for name in ("gate", "floor")
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self._turn(alone=is_alone(item)):
            return (yield)

    @contextmanager
    def _turn(self, *, alone: bool) -> Iterator[None]:
        flock(self._gate, LOCK_EX)
        try:
            flock(self._floor, LOCK_EX if alone else LOCK_SH)
        finally:
            flock(self._gate, LOCK_UN)
        try:
            yield
        finally:
            flock(self._floor, LOCK_UN)
