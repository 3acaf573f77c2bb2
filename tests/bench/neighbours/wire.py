"""Connections as attackers have them: cheap, from chosen addresses, and as rude as is asked."""

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import dataclass

from tests.bench.neighbours.target import ADDRESS

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ANSWERED_WITHIN_S = 30.0
GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError)


@dataclass(frozen=True)
class Answer:
    """What came back. `status` 0: the connection was cut, or nothing came in time."""

    status: int
    body: bytes = b""
    retry_after_s: float = 0.0

    @property
    def word(self) -> str:
        """For a tally."""
        return str(self.status) if self.status else "cut"


class Caller:
    """One connection with one request under way, made anew whenever it was cut."""

    def __init__(self, host: str, port: int, address: str = ADDRESS) -> None:
        self._place = host, port
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, within_s: float = _ANSWERED_WITHIN_S) -> Answer:
        """Send a request and read all of its answer. Never raises."""
        try:
            async with asyncio.timeout(within_s):
                return await self._ask(request)
        except GONE:
            self.close()
            return Answer(0)

    async def _ask(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                *self._place, local_addr=(self._address, 0)
            )
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        if b"connection: close" in head.lower():
            self.close()
        return Answer(int(head[9:12]), body, _retry_after_s(head))

    def close(self) -> None:
        """Close the connection; the next request gets another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _retry_after_s(head: bytes) -> float:
    found = re.search(rb"retry-after: *(\d+)", head, re.IGNORECASE)
    return float(found[1]) if found else 0.0


async def connected(host: str, port: int, address: str, *, receives: int = 0) -> socket.socket:
    """A bare connection. `receives`: bytes that it takes before the other side must wait."""
    connection = socket.socket()
    connection.setblocking(False)
    if receives:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    try:
        connection.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except OSError:
        connection.close()
        raise
    return connection


async def send_bare(connection: socket.socket, data: bytes) -> None:
    """Send all of it. Raises OSError when the connection was cut."""
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def was_answered(connection: socket.socket, within_s: float) -> bool:
    """Whether an answer, or the end, came in time; what it was nobody asks."""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(within_s):
            await asyncio.get_running_loop().sock_recv(connection, 4096)
            return True
    return False


class Pace:
    """Turns at a rate that all who wait share."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1 / per_s
        self._due = 0.0

    async def turn(self) -> None:
        """Return when it is the next one's turn; turns that nobody took are not made up for."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due + self._interval_s, now - self._interval_s)
        await asyncio.sleep(max(0.0, self._due - now))
