"""Those who ask the gateway during the soak test: good clients, bad ones, and ones that leave."""

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, Error

from tests.integration.gateway.process import ADMIN, READER, Gateway, password_of
from tests.soak.accounts import Accounts, Outcome, rows_of

ENDLESS = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
_LARGE = "SELECT number, repeat('x', 100) FROM numbers(200000)"
_INSERT = "INSERT INTO soak.events FORMAT TSV"
_LEFT = (OSError, EOFError, asyncio.IncompleteReadError)
_TOO_MANY, _KILLED = 202, 394


@dataclass
class Soak:
    """What all callers share: the gateway, the accounts, and when to end."""

    gateway: Gateway
    client: AsyncClient
    accounts: Accounts
    random: random.Random
    done: dict[str, int] = field(default_factory=dict)
    is_over: bool = False

    def lines(self) -> int:
        """How long the next batch is: mostly short, sometimes long."""
        return self.random.choice((1, 10, 500, 500, 5_000, 20_000))


Caller = Callable[[Soak], Awaitable[None]]


async def repeat(soak: Soak, caller: Caller) -> None:
    """Call again and again until the soak test is over, and count how often."""
    while not soak.is_over:
        await caller(soak)
        soak.done[caller.__name__] = soak.done.get(caller.__name__, 0) + 1


async def insert(soak: Soak) -> None:
    """A batch by clickhouse-connect, acknowledged or refused for good reasons."""
    batch = soak.accounts.begin(lines := soak.lines())
    try:
        await soak.client.raw_insert(
            "soak.events", ["batch", "line", "key", "value"], rows_of(batch, lines), fmt="TSV"
        )
    except DatabaseError as error:
        if error.code != _TOO_MANY:
            raise
    else:
        soak.accounts.acknowledge(batch)


async def insert_and_leave(soak: Soak) -> None:
    """A whole batch whose sender does not wait for the answer."""
    batch = soak.accounts.begin(lines := soak.lines())
    body = rows_of(batch, lines)
    await _send_and_leave(soak, body, len(body), soak.random.random() * 0.02)


async def cut_upload(soak: Soak) -> None:
    """A sender that leaves in the middle of its upload, at a line's end or within one."""
    batch = soak.accounts.begin(lines := soak.lines() + 1, Outcome.NEVER_WHOLE)
    body = rows_of(batch, lines)
    cut_at = soak.random.choice((body.rfind(b"\n", 0, -1) + 1, soak.random.randrange(len(body))))
    await _send_and_leave(soak, body[:cut_at], len(body), soak.random.random() * 0.02)


async def half_closed_upload(soak: Soak) -> None:
    """A sender that ends its side early and waits for an answer: it must not be 200."""
    batch = soak.accounts.begin(10, Outcome.NEVER_WHOLE)
    body = rows_of(batch, 10)
    reader, writer = await _begin(soak, body[: body.rfind(b"\n", 0, -1) + 1], len(body))
    with suppress(*_LEFT):
        writer.write_eof()
        assert not (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def cut_compression(soak: Soak) -> None:
    """A body whose length is right but whose compressed data end early."""
    batch = soak.accounts.begin(500, Outcome.NEVER_WHOLE)
    body = gzip.compress(rows_of(batch, 500))
    body = body[: soak.random.randrange(1, len(body))]
    assert await _status(soak, _INSERT, body, {"Content-Encoding": "gzip"}) == 500


async def bad_row(soak: Soak) -> None:
    """A batch whose last row is no row."""
    batch = soak.accounts.begin(lines := soak.lines(), Outcome.NEVER_WHOLE)
    status = await _status(soak, _INSERT, rows_of(batch, lines) + b"no number\t1\tk\t1\n")
    assert status >= 400


async def killed_query(soak: Soak) -> None:
    """An endless SELECT, killed by its id."""
    name = f"soak-{soak.random.getrandbits(60)}"
    query = asyncio.create_task(soak.client.query(ENDLESS, settings={"query_id": name}))
    while not query.done():
        with suppress(DatabaseError):
            await soak.client.command(f"KILL QUERY WHERE query_id = '{name}' SYNC")
    error = query.exception()
    assert isinstance(error, DatabaseError), error
    assert error.code in {_TOO_MANY, _KILLED}


async def cancelled_query(soak: Soak) -> None:
    """An endless SELECT whose client gives up, at once or a little later."""
    query = asyncio.create_task(soak.client.query(ENDLESS))
    await asyncio.wait({query}, timeout=soak.random.random() * 0.2)
    query.cancel()
    with suppress(asyncio.CancelledError, Error):
        await query


async def slow_reader(soak: Soak) -> None:
    """Takes a little of 20 MB and leaves."""
    sql = _LARGE.encode()
    reader, writer = await _begin(soak, sql, len(sql), query="")
    with suppress(*_LEFT):
        await reader.readexactly(soak.random.choice((1, 10_000, 1_000_000)))
    writer.close()


async def crowd(soak: Soak) -> None:
    """More at once than the gateway takes: each is answered, or told that there are too many."""
    answers = await asyncio.gather(*(_status(soak, "SELECT sleep(0.01)", b"") for _ in range(250)))
    assert set(answers) <= {200, 500}, set(answers)


async def stranger(soak: Soak) -> None:
    """A wrong password, with an insert."""
    batch = soak.accounts.begin(1, Outcome.NEVER_WHOLE)
    wrong = {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": "wrong"}
    assert await _status(soak, _INSERT, rows_of(batch, 1), wrong) == 403


async def intruder(soak: Soak) -> None:
    """A reader who would insert: is refused, or told that there are too many."""
    batch = soak.accounts.begin(1, Outcome.NEVER_WHOLE)
    reader = {"X-ClickHouse-User": READER, "X-ClickHouse-Key": password_of(READER)}
    assert await _status(soak, _INSERT, rows_of(batch, 1), reader) in {403, 500}


async def looker(soak: Soak) -> None:
    """Whoever looks sees whole batches only."""
    with suppress(DatabaseError):
        rows = await soak.client.query(
            "SELECT batch, count() FROM soak.events WHERE batch >= {since:UInt64} GROUP BY batch",
            parameters={"since": max(0, len(soak.accounts.lines) - 200)},
        )
        assert all(soak.accounts.lines[batch] == lines for batch, lines in rows.result_rows)


GOOD: tuple[Caller, ...] = (insert, insert, looker)
BAD: tuple[Caller, ...] = (
    insert_and_leave,
    cut_upload,
    half_closed_upload,
    cut_compression,
    bad_row,
    killed_query,
    cancelled_query,
    slow_reader,
    crowd,
    stranger,
    intruder,
)


async def _status(soak: Soak, sql: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    admin = {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": password_of(ADMIN)}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.post(
            soak.gateway.url, params={"query": sql}, data=body, headers=admin | (headers or {})
        ) as answer,
    ):
        await answer.read()
        return answer.status


async def _send_and_leave(soak: Soak, body: bytes, length: int, after_s: float) -> None:
    reader, writer = await _begin(soak, body, length)
    with suppress(TimeoutError, *_LEFT):
        async with asyncio.timeout(after_s):
            await reader.read(1)
    writer.close()


async def _begin(
    soak: Soak, body: bytes, length: int, query: str = _INSERT
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", soak.gateway.port)
    head = (
        f"POST /?{urlencode({'query': query})} HTTP/1.1\r\nHost: gateway\r\n"
        f"X-ClickHouse-User: {ADMIN}\r\nX-ClickHouse-Key: {password_of(ADMIN)}\r\n"
        f"Connection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    with suppress(*_LEFT):
        await writer.drain()
    return reader, writer
