"""A request's body as it comes in: no larger than allowed, reserved for the key that sends it.

A small body is read whenever it comes. A larger one first reserves what it announces, so that those
that come quickly take turns. What has not come after a moment is given back: from then on the body
reserves what it has brought, piece by piece, and who is slow keeps nobody out.
"""

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from libs.http.budget import Reservation
from libs.http.cycle import cycle_behind
from libs.http.headers import header_values
from services.ingest.bodies import Compression, Received, body_too_large

_SMALL_BYTES = 64 * 1024

# How long a body may keep reserved what it has not brought yet.
_AHEAD_S = 1.0


async def read_body(
    request: Request,
    compression: Compression,
    max_bytes: int,
    reservation: Reservation,
    received: Received,
) -> bytes:
    """The body as it came, with as much reserved as it takes, unpacked too.

    `received` is told what has come, also of a body that is refused. Raises a Problem where it is
    too large, or nothing is free for it in time.
    """
    is_plain = compression is Compression.NONE
    cycle = cycle_behind(request.receive)
    if cycle is not None and is_plain:
        body = cycle.take_body(min(_SMALL_BYTES, max_bytes))
        if body is not None:
            received.packed_bytes = len(body)
            return body
    announced_bytes = _announced_bytes(request.scope)
    if announced_bytes > max_bytes:
        raise body_too_large(max_bytes)
    incoming = _Incoming(request.receive, max_bytes, received)
    if announced_bytes <= _SMALL_BYTES:
        await incoming.read_small()
    if not incoming.is_whole:  # without a length it may become as large as is allowed
        await reservation.acquire(announced_bytes if announced_bytes and is_plain else max_bytes)
        await incoming.read_large(reservation)
    if not is_plain and reservation.amount < max_bytes:
        await reservation.acquire(max_bytes - reservation.amount)
    return incoming.body()


def _announced_bytes(scope: Scope) -> int:
    """The Content-Length, which the server has checked; 0 for a body that comes in chunks."""
    digits = next(iter(header_values(scope, b"content-length")), "")
    return int(digits.lstrip("0") or "0")  # Python refuses more than 4,300 digits, zeros too


class _Incoming:
    """What has come of a body."""

    __slots__ = ("_body", "_max_bytes", "_receive", "_received", "is_whole")

    def __init__(self, receive: Receive, max_bytes: int, received: Received) -> None:
        self._receive = receive
        self._received = received
        self._max_bytes = max_bytes
        self._body: bytes | bytearray = b""
        self.is_whole = False

    def body(self) -> bytes:
        """All that has come."""
        return bytes(self._body)

    async def read_small(self) -> None:
        """Read to the end, or until it is no small one any more."""
        while not self.is_whole and len(self._body) <= _SMALL_BYTES:
            self._take(await self._receive())

    async def read_large(self, reservation: Reservation) -> None:
        """Read to the end, ahead of which all of it is reserved, for a moment."""
        try:
            async with asyncio.timeout(_AHEAD_S):
                while not self.is_whole:
                    self._take(await self._receive())
        except TimeoutError:
            reservation.resize(len(self._body))
        while not self.is_whole:
            self._take(await self._receive())
            if (more_bytes := len(self._body) - reservation.amount) > 0:
                await reservation.acquire(more_bytes)

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        self._received.packed_bytes += len(piece)
        if len(self._body) + len(piece) > self._max_bytes:
            raise body_too_large(self._max_bytes)
        self.is_whole = not message.get("more_body", False)
        if not self._body:
            self._body = piece if self.is_whole else bytearray(piece)
        else:
            self._body += piece
