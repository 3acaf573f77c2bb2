"""A body as it comes in: its limit, and what is reserved for it meanwhile."""

import asyncio
from collections.abc import Awaitable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from libs.http.budget import Budget, Reservation
from libs.http.problems import Problem
from services.ingest import reading
from services.ingest.bodies import Compression, Received
from services.ingest.reading import read_body

_LIMIT = 1024 * 1024


def _budget(total: int = _LIMIT, *, share: float = 1.0, wait_s: float = 10.0) -> Budget:
    return Budget(total, share, max_waiting=10, wait_s=wait_s)


def _reservation(holder: str = "a") -> Reservation:
    return _budget().reservation(holder)


def _request(receive: Receive, length: int | None = None, digits: int = 1) -> Request:
    headers = [] if length is None else [(b"content-length", b"%0*d" % (digits, length))]
    return Request({"type": "http", "headers": headers}, receive)


def _sends(size_bytes: int, pieces: int) -> Receive:
    """A sender of so many pieces, all there at once."""
    rest = pieces

    async def receive() -> Message:
        nonlocal rest
        rest -= 1
        return {"type": "http.request", "body": b"a" * size_bytes, "more_body": rest > 0}

    return receive


class Sender:
    """Sends a piece whenever the test says."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[Message] = asyncio.Queue()

    def send(self, size_bytes: int, *, is_last: bool = False) -> None:
        self._pieces.put_nowait(
            {"type": "http.request", "body": b"a" * size_bytes, "more_body": not is_last}
        )

    async def receive(self) -> Message:
        return await self._pieces.get()


async def _never() -> Message:
    raise AssertionError


async def _status(reading_body: Awaitable[bytes]) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        await reading_body
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("digits", [1, 5_000])
async def test_body_is_not_read_when_it_announces_too_much(digits: int) -> None:
    request = _request(_never, 13, digits)

    answer = await _status(read_body(request, Compression.NONE, 12, _reservation(), Received()))

    assert answer == (413, "body_too_large")


@pytest.mark.parametrize(
    ("compression", "length", "piece_bytes", "pieces", "reserved_bytes"),
    [
        ("identity", 10, 10, 1, 0),
        ("identity", 64 * 1024, 1024, 64, 0),
        ("identity", 64 * 1024 + 1, 64 * 1024 + 1, 1, 64 * 1024 + 1),
        ("identity", None, 64 * 1024, 1, 0),
        ("identity", None, 256 * 1024, 1, 0),  # it is all there already
        ("identity", None, 50 * 1024, 3, _LIMIT),
        ("gzip", 10, 10, 1, _LIMIT),
        ("gzip", 64 * 1024 + 1, 64 * 1024 + 1, 1, _LIMIT),
    ],
)
async def test_what_a_large_body_may_become_is_reserved_when_it_comes_quickly(
    compression: str, length: int | None, piece_bytes: int, pieces: int, reserved_bytes: int
) -> None:
    reservation = _reservation()
    request = _request(_sends(piece_bytes, pieces), length)

    body = await read_body(request, Compression(compression), _LIMIT, reservation, Received())

    assert (len(body), reservation.amount) == (piece_bytes * pieces, reserved_bytes)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reserved ahead is given back in the next turn."""
    monkeypatch.setattr(reading, "_AHEAD_S", 0.0)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0.001)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
async def test_what_has_come_is_reserved_when_the_body_comes_slowly(
    compression: Compression,
) -> None:
    sender, reservation = Sender(), _reservation()
    request = _request(sender.receive, 500_000)
    body = asyncio.create_task(read_body(request, compression, _LIMIT, reservation, Received()))
    reserved: list[int] = []
    for _ in range(3):
        await _settle()
        reserved.append(reservation.amount)
        sender.send(100_000)
    await _settle()
    sender.send(200_000, is_last=True)

    assert len(await body) == 500_000
    assert reserved == [0, 100_000, 200_000]
    assert reservation.amount == (500_000 if compression is Compression.NONE else _LIMIT)


@pytest.mark.usefixtures("at_once")
async def test_victim_is_read_when_an_attacker_trickles_large_bodies() -> None:
    budget = _budget(share=0.5)
    reservations = [budget.reservation("attacker") for _ in range(20)]
    slow: list[asyncio.Task[bytes]] = []
    for reservation in reservations:
        sender = Sender()
        sender.send(100_000)  # and nothing more
        request = _request(sender.receive, 500_000)
        slow.append(
            asyncio.create_task(
                read_body(request, Compression.NONE, _LIMIT, reservation, Received())
            )
        )
        await _settle()

    mine = budget.reservation("victim")
    request = _request(_sends(50_000, 10), 500_000)
    body = await read_body(request, Compression.NONE, _LIMIT, mine, Received())

    assert len(body) == 500_000
    assert sum(reservation.amount for reservation in reservations) <= _LIMIT / 2
    for task in slow:
        task.cancel()


@pytest.mark.usefixtures("at_once")
async def test_oldest_body_ends_when_too_many_come_slowly() -> None:
    budget = _budget(wait_s=0.05)
    senders = [Sender() for _ in range(10)]
    bodies = []
    for sender in senders:
        reservation = budget.reservation("a")
        request = _request(sender.receive, 300_000)
        bodies.append(asyncio.create_task(_read(request, reservation)))
        await _settle()
    for piece in range(3):
        for sender in senders:
            sender.send(100_000, is_last=piece == 2)
            await _settle()

    outcomes = await asyncio.gather(*bodies)

    assert outcomes[0] == 200, "what the youngest had is given to the oldest"
    assert set(outcomes) == {200, 503}


async def _read(request: Request, reservation: Reservation) -> int:
    try:
        await read_body(request, Compression.NONE, _LIMIT, reservation, Received())
    except Problem as problem:
        return problem.status
    else:
        return 200
    finally:
        reservation.release()


async def test_body_is_read_no_further_than_the_limit() -> None:
    given: list[int] = []

    async def receive() -> Message:
        given.append(len(given))
        return {"type": "http.request", "body": b"12345", "more_body": True}

    answer = await _status(
        read_body(_request(receive), Compression.NONE, 12, _reservation(), Received())
    )

    assert answer[0] == 413
    assert given == [0, 1, 2]


async def test_reading_ends_when_the_sender_has_left() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        await read_body(
            _request(receive, 100_000), Compression.NONE, _LIMIT, _reservation(), Received()
        )
