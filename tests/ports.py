"""Ports for the servers of the tests: below those of outgoing connections, and each given once."""

from deploy.local import ports

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on now, and that nobody else in this run was given."""
    port = ports.free_port(avoid=_given)
    _given.add(port)
    return port
