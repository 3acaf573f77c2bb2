"""Large answers: what is unread stays reserved, and nobody keeps it for ever."""

import asyncio

import pytest
from starlette.types import Message

from libs.http import backpressure
from libs.http.backpressure import BackpressuredResponse
from libs.http.budget import Budget

_BODY = bytes(range(256)) * 1024


class Reader:
    """Takes an answer as slowly as the test says."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if len(self.messages) > 2:
            await self.goes_on.wait()

    async def receive(self) -> Message:
        raise AssertionError("nobody asked for a body")

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


def _budget(waiting: int) -> Budget:
    return Budget(len(_BODY), 1.0, max_waiting=waiting, wait_s=10)


async def _reserved(budget: Budget) -> BackpressuredResponse:
    reservation = budget.reservation("a")
    await reservation.acquire(len(_BODY))
    return BackpressuredResponse(_BODY, reservation, {"X-A": "b"}, "application/json")


async def test_reservation_shrinks_as_the_answer_is_read() -> None:
    budget, reader = _budget(waiting=1), Reader()
    response = await _reserved(budget)
    sending = asyncio.create_task(response({"type": "http"}, reader.receive, reader.send))
    async with asyncio.timeout(5):
        async with budget.acquired("b", 1):  # as soon as the first piece is read
            assert not sending.done()
            reader.goes_on.set()
            await sending

    assert reader.body == _BODY
    assert reader.messages[0]["status"] == 200
    assert (b"content-length", str(len(_BODY)).encode()) in reader.messages[0]["headers"]
    assert [message["more_body"] for message in reader.messages[1:]] == [True, True, True, False]
    async with asyncio.timeout(5), budget.acquired("b", len(_BODY)):
        pass


async def test_answer_ends_and_is_released_when_it_is_read_too_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backpressure, "_GRACE_S", 0.01)
    monkeypatch.setattr(backpressure, "_MIN_BYTES_PER_S", 1 << 30)
    await _assert_is_cut()


async def test_answer_ends_and_is_released_when_nothing_is_taken_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backpressure, "_STALL_S", 0.01)
    await _assert_is_cut()


async def _assert_is_cut() -> None:
    budget, reader = _budget(waiting=0), Reader()

    async with asyncio.timeout(5):
        await (await _reserved(budget))({"type": "http"}, reader.receive, reader.send)

    assert reader.messages[-1]["more_body"]
    async with budget.acquired("b", len(_BODY)):
        pass
