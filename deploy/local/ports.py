"""On which ports a stack listens, all on 127.0.0.1."""

import errno
import json
import random
import socket
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from deploy.local.layout import Layout, StackError

# Below the range from which systems take the ports of outgoing connections: one of those could
# otherwise take a port between the moment it is chosen and the moment it is listened on.
_FREE_PORTS = range(12_000, 32_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack."""

    query: int = 8080
    ingest: int = 8081
    processor: int = 8082
    kafka: int = 9092
    kafka_controller: int = 9093
    clickhouse: int = 8123


def variable(name: str) -> str:
    """The environment variable that sets a port."""
    return f"RAGTIME_{name.upper()}_PORT"


def choose_ports(remembered: Mapping[str, int], environment: Mapping[str, str]) -> Ports:
    """What the environment says, else what an earlier start remembered, else the default.

    0 means: any free port. Raises StackError on what is no port, or is chosen twice.
    """
    chosen: dict[str, int] = {}
    for name, default in asdict(Ports()).items():
        text = environment.get(variable(name), "")
        port = _port(name, text) if text else remembered.get(name, default)
        chosen[name] = port or free_port(avoid=chosen.values())
    for name, port in chosen.items():
        others = [other for other in chosen if other != name and chosen[other] == port]
        if others:
            raise StackError(
                f"port {port} is wanted twice, for {_words(name)} and for {_words(others[0])};"
                f" set {variable(name)} or {variable(others[0])} to another (0: any free one)"
            )
    return Ports(**chosen)


def ignored(ports: Ports, environment: Mapping[str, str]) -> list[str]:
    """The variables that ask for another port than a running stack has."""
    running = asdict(ports)
    asked = {variable(name): environment.get(variable(name), "") for name in running}
    has = {variable(name): str(port) for name, port in running.items()}
    return [name for name, text in asked.items() if text not in {"", "0", has[name]}]


def _port(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65_535:
        raise StackError(f"{variable(name)}={text} is not a port (1 … 65535, or 0: any free one)")
    return int(text)


def _words(name: str) -> str:
    return name.replace("_", " ")


def read_ports(where: Layout) -> dict[str, int]:
    """The ports of the last start; empty before the first."""
    if not where.ports.exists():
        return {}
    return {name: int(port) for name, port in json.loads(where.ports.read_text()).items()}


def write_ports(where: Layout, ports: Ports) -> None:
    """Remember the ports, so that later commands agree."""
    where.ports.write_text(json.dumps(asdict(ports)))


def check_free(ports: Ports) -> None:
    """Raise StackError that names the first port which is taken, and how to choose another."""
    for name, port in asdict(ports).items():
        try:
            _listen(port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            what = "is taken by another program" if taken else f"cannot be had ({error.strerror})"
            raise StackError(
                f"port {port}, wanted for {_words(name)}, {what}; choose another one with"
                f" {variable(name)}=… or `make up {name.upper()}_PORT=…` (0: any free one)"
            ) from None


def free_port(avoid: Collection[int] = ()) -> int:
    """A port that nobody listens on at this moment, none of those to avoid."""
    for port in random.SystemRandom().sample(_FREE_PORTS, 200):
        try:
            _listen(port)
        except OSError:
            continue
        if port not in avoid:
            return port
    raise StackError("no free port was found on 127.0.0.1")


def _listen(port: int) -> None:
    # As servers do: a port on which only closed connections linger is free for them.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen(1)
