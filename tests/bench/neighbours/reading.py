"""Questions: answers that nobody takes, and such as take ClickHouse long."""

import asyncio
import random
from contextlib import suppress

from tests.bench.neighbours.bodies import question
from tests.bench.neighbours.target import ADDRESS, Run, Target
from tests.bench.neighbours.wire import Caller, connected, send_bare

# Of the days that `plant` has filled.
ALL_DAYS = "from=2024-04-01&to=2026-03-01"
DEVICE = "planted-device"
_UNREAD_S = 25.0
_EVERY_S = 2.0  # 30 a minute


async def unread(target: Target, run: Run, connections: int) -> None:
    """Ask for a large answer over each of so many connections, and take nothing of it."""
    run.begin()

    async def client(key: str) -> None:
        await asyncio.sleep(random.uniform(0, 2))
        while run.goes_on:
            with suppress(OSError):
                place = target.host, target.query_port, ADDRESS
                with await connected(*place, receives=4096) as connection:
                    await send_bare(connection, question(target, key, ALL_DAYS))
                    run.told["asked"] += 1
                    await asyncio.sleep(_UNREAD_S)
                continue
            await asyncio.sleep(1)

    keys = [target.keys[at % len(target.keys)] for at in range(connections)]
    await asyncio.gather(*(client(key) for key in keys))


async def unread_large(target: Target, run: Run) -> None:
    """Answers of 15 MB, one for each of eight keys at a time."""
    await unread(target, run, 8)


async def unread_medium(target: Target, run: Run) -> None:
    """Answers of nearly 2 MB, two for each of eight keys at a time."""
    await unread(target, run, 16)


async def heavy(target: Target, run: Run) -> None:
    """Questions about a device with two million events, 30 a minute by each of eight keys."""
    run.begin()

    async def client(key: str) -> None:
        caller = Caller(target.host, target.query_port)
        while run.goes_on:
            asked = asyncio.create_task(
                caller.ask(question(target, key, f"live=false&deviceId={DEVICE}"))
            )
            await asyncio.sleep(_EVERY_S)
            run.told[(await asked).word] += 1
        caller.close()

    await asyncio.gather(*(client(key) for key in target.keys))
