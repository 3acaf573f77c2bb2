"""Bodies that never end: they hold a place, memory or a connection for as long as they may."""

import asyncio
import random
from contextlib import suppress

from tests.bench.neighbours.bodies import head_of
from tests.bench.neighbours.target import ADDRESS, Run, Target
from tests.bench.neighbours.wire import connected, send_bare, was_answered

_ANNOUNCED = 5 * 1024 * 1024
_PIECE_EVERY_S = 1.0


async def trickle(target: Target, run: Run, head: bytes, *, clients: int, piece: bytes) -> None:
    """Send heads of large requests, and a piece of their body a second, until each is cut."""

    place = target.host, target.ingest_port, ADDRESS
    run.begin()

    async def client() -> None:
        await asyncio.sleep(random.uniform(0, 2))
        while run.goes_on:
            with suppress(OSError), await connected(*place) as connection:
                await send_bare(connection, head)
                run.told["uploads"] += 1
                while run.goes_on:
                    await send_bare(connection, piece)
                    if await was_answered(connection, _PIECE_EVERY_S):
                        break
            await asyncio.sleep(0.1)

    await asyncio.gather(*(client() for _ in range(clients)))


async def uploads(target: Target, run: Run) -> None:
    """110 bodies of 5 MiB, of which 100 bytes come in a second."""
    head = head_of(target, target.keys[0], _ANNOUNCED) + b"["
    await trickle(target, run, head, clients=110, piece=b" " * 100)


async def packed_uploads(target: Target, run: Run) -> None:
    """20 compressed bodies of 100 kB, which may become 5 MiB, likewise."""
    head = head_of(target, target.keys[0], 100_000, Content_Encoding="gzip")
    start = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    await trickle(target, run, head + start, clients=20, piece=b"\x00" * 100)


async def small_bodies(target: Target, run: Run) -> None:
    """900 bodies of 10 kB of one key, of which a byte comes in a second."""
    head = head_of(target, target.keys[0], 10_000) + b"["
    await trickle(target, run, head, clients=900, piece=b" ")
