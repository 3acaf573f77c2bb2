"""Bodies that never end: they hold a place, memory or a connection for as long as they may."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from tests.bench.neighbours.bodies import head_of
from tests.bench.neighbours.target import ADDRESS, Run, Target
from tests.bench.neighbours.wire import connected, send_bare, was_answered

_ANNOUNCED = 5 * 1024 * 1024
_PIECE_EVERY_S = 1.0


async def trickle(
    target: Target, run: Run, heads: Sequence[bytes], *, clients: int, piece: bytes
) -> None:
    """Send heads of large requests, and a piece of their body a second, until each is cut."""

    place = target.host, target.ingest_port, ADDRESS
    run.begin()

    async def client(head: bytes) -> None:
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

    await asyncio.gather(*(client(heads[number % len(heads)]) for number in range(clients)))


async def uploads(target: Target, run: Run) -> None:
    """110 bodies of 5 MiB, of which 100 bytes come in a second."""
    heads = [head_of(target, key, _ANNOUNCED) + b"[" for key in target.keys]
    await trickle(target, run, heads, clients=110, piece=b" " * 100)


async def packed_uploads(target: Target, run: Run) -> None:
    """20 compressed bodies of 100 kB, which may become 5 MiB, likewise."""
    start = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    packed = {"Content_Encoding": "gzip"}
    heads = [head_of(target, key, 100_000, **packed) + start for key in target.keys]
    await trickle(target, run, heads, clients=20, piece=b"\x00" * 100)


async def small_bodies(target: Target, run: Run) -> None:
    """900 bodies of 10 kB of one project, of which a byte comes in a second."""
    heads = [head_of(target, key, 10_000) + b"[" for key in target.keys]
    await trickle(target, run, heads, clients=900, piece=b" ")
