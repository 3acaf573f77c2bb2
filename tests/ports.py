"""Ports for the servers of the tests: below those of outgoing connections, and each given once."""

import os

from deploy.local import ports

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
# Each of several workers has ports that the others do not take.
_given = {port for port in range(65_536) if port % _WORKERS != _NUMBER}


def free_port() -> int:
    """A port that nobody listens on now, and that nobody else in this run was given."""
    port = ports.free_port(avoid=_given)
    _given.add(port)
    return port
