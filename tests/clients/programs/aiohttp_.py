"""Python's aiohttp: it packs, it asks before it sends, and its connections live in a loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import aiohttp

from tests.clients.programs.commands import Answer, Command, obey

_Result = TypeVar("_Result")


async def _parts(command: Command) -> AsyncIterator[bytes]:
    for part in command.parts():
        yield part


async def _send(session: aiohttp.ClientSession, command: Command) -> Answer:
    async with session.request(
        command.method,
        command.url,
        params=command.query,
        headers=command.headers,
        json=command.event,
        data=_parts(command) if command.chunked else command.body or None,
        compress="gzip" if command.gzip else None,
        expect100=command.expect,
    ) as answer:
        return Answer(answer.status, dict(answer.headers), await answer.json())


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))


_loop = asyncio.new_event_loop()
# Between the commands too, as in a server: it hears of the end of a connection.
threading.Thread(target=_loop.run_forever, daemon=True).start()


def _run(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result()


session = _run(_session())
obey(lambda command: _run(_send(session, command)))
_run(session.close())
