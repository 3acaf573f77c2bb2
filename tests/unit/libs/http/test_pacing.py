"""Large answers: what is unread keeps its place, and nobody keeps it for ever."""

import asyncio

import pytest
from starlette.types import Message

from libs.http import pacing
from libs.http.pacing import PacedResponse
from libs.http.room import Place, Room

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


async def _placed(room: Room) -> PacedResponse:
    place = Place(room)
    await place.take(len(_BODY))
    return PacedResponse(_BODY, place, {"X-A": "b"}, "application/json")


async def test_answer_leaves_its_place_as_it_is_read() -> None:
    room, reader = Room(len(_BODY), max_waiting=1, wait_s=10), Reader()
    response = await _placed(room)
    sending = asyncio.create_task(response({"type": "http"}, reader.receive, reader.send))
    other = Place(room)
    async with asyncio.timeout(5):
        await other.take(1)  # as soon as the first piece is read
        assert not sending.done()
        reader.goes_on.set()
        await sending

    assert reader.body == _BODY
    assert reader.messages[0]["status"] == 200
    assert (b"content-length", str(len(_BODY)).encode()) in reader.messages[0]["headers"]
    assert [message["more_body"] for message in reader.messages[1:]] == [True, True, True, False]
    other.leave()
    async with asyncio.timeout(5):
        await Place(room).take(len(_BODY))


async def test_answer_ends_and_leaves_its_place_when_it_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "_GRACE_S", 0.01)
    monkeypatch.setattr(pacing, "_BYTES_A_SECOND", 1 << 30)
    room, reader = Room(len(_BODY), max_waiting=0, wait_s=10), Reader()

    async with asyncio.timeout(5):
        await (await _placed(room))({"type": "http"}, reader.receive, reader.send)

    assert reader.messages[-1]["more_body"]
    await Place(room).take(len(_BODY))
