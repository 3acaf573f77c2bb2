"""Python's aiohttp: it packs, it asks before it sends, and its connections live in a loop."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp

from tests.clients.programs.commands import Answer, Command, obey


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


with asyncio.Runner() as runner:
    session = runner.run(_session())
    obey(lambda command: runner.run(_send(session, command)))
    runner.run(session.close())
