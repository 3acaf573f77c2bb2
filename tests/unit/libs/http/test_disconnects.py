"""Work that ends when the caller goes away."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from libs.http.disconnects import cancel_on_disconnect


def _request(*messages: str) -> Request:
    """A request whose caller sends these, and then waits."""
    sent = iter(messages)

    async def receive() -> Message:
        kind = next(sent, None)
        if kind is None:
            await asyncio.Event().wait()
        return {"type": str(kind), "body": b"", "more_body": False}

    return Request({"type": "http", "headers": []}, receive)


async def test_result_is_returned_when_the_caller_waits() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await cancel_on_disconnect(_request("http.request"), work()) == 7


async def test_error_is_raised_when_the_work_fails() -> None:
    async def work() -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        await cancel_on_disconnect(_request("http.request"), work())


async def test_work_is_cancelled_when_the_caller_leaves() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ClientDisconnect):
        await cancel_on_disconnect(_request("http.request", "http.disconnect"), work())
    async with asyncio.timeout(5):
        await ended.wait()


async def test_work_is_cancelled_when_the_request_is() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    request = asyncio.create_task(cancel_on_disconnect(_request("http.request"), work()))
    await asyncio.sleep(0.01)
    request.cancel()
    async with asyncio.timeout(5):
        await ended.wait()
