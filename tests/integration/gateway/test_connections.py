"""How a service's client meets a server that closes connections, and answers that break off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import StreamFailureError
from pydantic import SecretStr

from libs.clickhouse import connection
from libs.settings import ClickHouseSettings
from tests.integration.gateway.process import ADMIN, Gateway, password_of
from tests.polling import until

pytestmark = pytest.mark.integration

# Fails in its second block of rows, when the first was sent.
_LATE = "SELECT throwIf(number = 70000, 'boom') FROM numbers(100000)"
_IN_ORDER = {"max_threads": 1, "max_block_size": 1000}


@dataclass
class Between:
    """Stands between a client and the gateway, and counts connections."""

    port: int = 0
    made: int = 0
    open: int = 0


@asynccontextmanager
async def _between(gateway: Gateway) -> AsyncIterator[Between]:
    between = Between()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        between.made += 1
        between.open += 1
        there, back = await asyncio.open_connection("127.0.0.1", gateway.port)
        await asyncio.gather(copy(reader, back), copy(there, writer))
        between.open -= 1

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    yield between
    server.close()
    await until(lambda: between.open == 0)


async def _connect(port: int) -> AsyncClient:
    settings = ClickHouseSettings(
        url=f"http://127.0.0.1:{port}", user=ADMIN, password=SecretStr(password_of(ADMIN))
    )
    return await connection.connect(settings, database="system")


async def test_idle_connection_is_given_up_before_the_server_closes_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection._IDLE_S < 3
    monkeypatch.setattr(connection, "_IDLE_S", 0.2)
    async with _between(gateway) as between:
        client = await _connect(between.port)
        await client.query("SELECT 1")

        await until(lambda: between.open == 0)
        made = between.made

        await client.query("SELECT 1")
        await client.close()
        assert between.made == made + 1


async def _consume(stream: Any, read: bytearray | None = None) -> None:
    async with stream as chunks:
        async for chunk in chunks:
            if read is not None:
                read += chunk


async def test_late_error_is_one_of_the_driver_when_rows_are_read(gateway: Gateway) -> None:
    client = await _connect(gateway.port)

    async def read_all() -> None:
        await _consume(await client.query_row_block_stream(_LATE, settings=_IN_ORDER))

    with pytest.raises(StreamFailureError, match="boom"):
        await read_all()
    await client.close()


async def test_late_error_breaks_a_raw_stream_off(gateway: Gateway) -> None:
    client, read = await _connect(gateway.port), bytearray()
    stream = await client.raw_stream(_LATE, settings=_IN_ORDER, fmt="TabSeparated")

    with pytest.raises(aiohttp.ClientPayloadError):
        await _consume(stream, read)

    assert read.startswith(b"0\n0\n")
    assert (await client.query("SELECT 1")).result_rows == [(1,)]
    await client.close()


async def _read(response: aiohttp.ClientResponse, read: bytearray) -> None:
    async for chunk in response.content.iter_any():
        read += chunk


async def test_answer_has_the_error_behind_its_rows_when_it_comes_late(gateway: Gateway) -> None:
    head = {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": password_of(ADMIN)}
    sql, read = f"{_LATE} SETTINGS max_threads = 1, max_block_size = 1000", bytearray()

    async with aiohttp.ClientSession(headers=head) as session:
        async with session.post(gateway.url, data=sql) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await _read(response, read)
        async with session.post(f"{gateway.url}/?wait_end_of_query=1", data=sql) as waited:
            code = waited.headers["X-ClickHouse-Exception-Code"]

    tag = response.headers["X-ClickHouse-Exception-Tag"].encode()
    rows, _, rest = bytes(read).partition(b"\r\n__exception__\r\n" + tag + b"\r\n")
    message, _, end = rest.partition(b"\n")
    assert (response.status, waited.status, code) == (200, 500, "395")
    assert rows == b"0\n" * (len(rows) // 2) != b""
    assert message.startswith(b"Code: 395. DB::Exception: boom")
    assert end == b"%d %s\r\n__exception__\r\n" % (len(message), tag)
