"""How `make test` runs on all cores: workers of pytest-xdist, each with servers of its own.

The tests of one file stay together, as they share fixtures. Files that need servers come first, so
that no worker is left alone with a long one at the end; within both halves the order is random.
"""

import os
import signal
import subprocess
from collections.abc import Iterable
from types import FrameType
from typing import NoReturn

import pytest
from xdist.workermanage import NodeManager, WorkerController

WITH_SERVERS = ("integration", "contract", "e2e", "soak")
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


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of several."""
    return hasattr(config, "workerinput")


def with_servers_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The same tests, the order otherwise unchanged."""
    return sorted(items, key=lambda item: not needs_servers(item))


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
