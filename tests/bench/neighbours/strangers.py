"""What can be done without a key: connections, headers, answers that nobody takes, false keys."""

import asyncio
import random
import socket
from contextlib import suppress

from tests.bench.neighbours.target import ADDRESS, Run, Target
from tests.bench.neighbours.wire import Caller, connected, send_bare, was_answered

_CONNECTIONS = 900
_HEAD_BYTES = 60 * 1024
_DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
_READY = b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n"
_READY_AT_ONCE = 4
_HAMMERS = 400
_FALSE_KEY = "rt_live_" + "a" * 49


async def headers(target: Target, run: Run) -> None:
    """300 connections, each with 60 KiB of the shortest header lines, held and then ended."""
    head = b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n"
    lines = b"a:\r\n" * ((_HEAD_BYTES - len(head)) // 4)
    run.begin()

    async def client() -> None:
        while run.goes_on:
            with suppress(OSError):
                connection = await connected(target.host, target.ingest_port, ADDRESS)
                with connection:
                    await send_bare(connection, head + lines)
                    run.told["heads"] += 1
                    if not await was_answered(connection, 5.0):
                        await send_bare(connection, b"\r\n")
                        await was_answered(connection, 5.0)
                continue
            run.told["cut"] += 1
            await asyncio.sleep(0.1)

    await asyncio.gather(*(client() for _ in range(300)))


async def unread_documents(target: Target, run: Run) -> None:
    """900 connections a service that ask for the API's document 30 times and read nothing."""
    run.begin()

    async def client(port: int) -> None:
        await asyncio.sleep(random.uniform(0, 2))
        while run.goes_on:
            with suppress(OSError):
                with await connected(target.host, port, ADDRESS, receives=4096) as connection:
                    await send_bare(connection, _DOCUMENT * 30)
                    run.told["connections"] += 1
                    await asyncio.sleep(8)  # before the service calls it unread
                continue
            run.told["cut"] += 1
            await asyncio.sleep(0.2)

    ports = (target.ingest_port, target.query_port)
    await asyncio.gather(*(client(port) for port in ports for _ in range(_CONNECTIONS)))


async def hammering(target: Target, run: Run) -> None:
    """400 connections a service that ask whether it is ready, four times at once, without end."""
    run.begin()

    async def hammer(port: int) -> None:
        with await connected(target.host, port, ADDRESS) as connection:
            while run.goes_on:
                await send_bare(connection, _READY * _READY_AT_ONCE)
                await _answers(connection, _READY_AT_ONCE)
                run.told["answers"] += _READY_AT_ONCE

    async def client(port: int) -> None:
        while run.goes_on:
            with suppress(OSError, TimeoutError):
                await hammer(port)
            await asyncio.sleep(0.2)

    ports = (target.ingest_port, target.query_port)
    await asyncio.gather(*(client(port) for port in ports for _ in range(_HAMMERS)))


async def _answers(connection: socket.socket, count: int) -> None:
    """Read so many answers. Raises OSError when the connection was cut."""
    async with asyncio.timeout(30):
        while count > 0:
            read = await asyncio.get_running_loop().sock_recv(connection, 16_384)
            if not read:
                raise ConnectionResetError
            count -= read.count(b"HTTP/1.1 ")


async def idle(target: Target, run: Run) -> None:
    """900 connections a service that say nothing, made anew as soon as they are cut."""
    run.begin()

    async def client(port: int) -> None:
        await asyncio.sleep(random.uniform(0, 2))
        while run.goes_on:
            with suppress(OSError):
                with await connected(target.host, port, ADDRESS) as connection:
                    run.told["connections"] += 1
                    await was_answered(connection, 30.0)
                continue
            await asyncio.sleep(0.2)

    ports = (target.ingest_port, target.query_port)
    await asyncio.gather(*(client(port) for port in ports for _ in range(_CONNECTIONS)))


async def strangers(target: Target, run: Run) -> None:
    """False keys, each from an address that was never seen, as fast as they are refused."""
    ask = (
        f"GET {target.analytics_path} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {_FALSE_KEY}\r\nConnection: close\r\n\r\n"
    ).encode()
    post = ask.replace(b"GET", b"POST").replace(b"/analytics", b"/events")
    run.begin()

    async def client(port: int, request: bytes) -> None:
        while run.goes_on:
            caller = Caller(target.host, port, _any_address())
            run.told[(await caller.ask(request)).word] += 1
            caller.close()

    ways = ((target.query_port, ask), (target.ingest_port, post))
    await asyncio.gather(*(client(*way) for way in ways for _ in range(25)))


def _any_address() -> str:
    """One of 16 million of this machine; not B's, nor A's."""
    return f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
