"""How statements end before their time: killed, left by their client, cut, or with the process."""

import asyncio
import json

import aiohttp
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.integration.gateway.process import ADMIN, Gateway, password_of
from tests.integration.gateway.requests import begin
from tests.polling import until, until_answered

pytestmark = pytest.mark.integration

_ENDLESS = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"


_BEGUN = (
    "SELECT count() FROM system.processes WHERE startsWith(query, 'SELECT count() FROM numbers(')"
)


async def _begun(client: AsyncClient) -> bool:
    return await client.command(_BEGUN) == 1


async def test_query_ends_with_394_when_it_is_killed_by_its_id(own_gateway: Gateway) -> None:
    async with await own_gateway.async_client() as client:
        query = asyncio.create_task(client.query(_ENDLESS, settings={"query_id": "mine"}))
        await until_answered(lambda: _begun(client))

        await client.command("KILL QUERY WHERE query_id = 'mine' SYNC")

        with pytest.raises(DatabaseError) as killed:
            await query
        assert killed.value.code == 394


async def test_query_ends_when_its_client_leaves(own_gateway: Gateway) -> None:
    with own_gateway.client() as client:
        sql = _ENDLESS.encode()
        connection = begin(own_gateway, sql, len(sql))
        await until(lambda: client.command(_BEGUN) == 1)

        connection.close()

        await until(lambda: client.command(_BEGUN) == 0)


async def test_insert_ends_with_394_when_it_is_killed_by_its_comment(
    own_gateway: Gateway,
) -> None:
    async with await own_gateway.async_client() as client:
        await client.command("CREATE DATABASE d ENGINE = Atomic")
        await client.command(
            "CREATE TABLE d.slow (a UInt8, b UInt8 DEFAULT sleepEachRow(0.04))"
            " ENGINE = MergeTree ORDER BY a"
        )
        insert = asyncio.create_task(
            client.raw_insert(
                "d.slow", ["a"], "1\n" * 60, fmt="TSV", settings={"log_comment": "mine"}
            )
        )
        running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'mine'"

        async def has_begun() -> bool:
            return await client.command(running) == 1

        await until_answered(has_begun)
        await client.command("KILL QUERY WHERE Settings['log_comment'] = 'mine' SYNC")

        with pytest.raises(DatabaseError) as killed:
            await insert
        assert killed.value.code == 394
        assert await client.command("SELECT count() FROM d.slow") == 0


def test_insert_fails_with_469_when_a_constraint_is_violated(client: Client) -> None:
    client.command(
        "CREATE TABLE t (a UInt64, CONSTRAINT small CHECK a < 5) ENGINE = MergeTree ORDER BY a"
    )

    with pytest.raises(DatabaseError) as refused:
        client.raw_insert("t", ["a"], "1\n9\n", fmt="TSV")

    assert refused.value.code == 469
    assert client.command("SELECT count() FROM t") == 0


def test_nothing_is_stored_when_one_row_is_bad(client: Client) -> None:
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")

    with pytest.raises(DatabaseError):
        client.raw_insert("t", ["a"], "1\n" * 100_000 + "x\n", fmt="TSV")

    assert client.command("SELECT count() FROM t") == 0


def test_acknowledged_rows_are_there_when_the_gateway_was_killed(own_gateway: Gateway) -> None:
    with own_gateway.client() as admin:
        admin.command("CREATE DATABASE d ENGINE = Atomic")
        admin.command("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a")
        for batch in range(20):
            rows = "".join(json.dumps({"a": batch * 100 + i}) + "\n" for i in range(100))
            admin.raw_insert("d.t", None, rows, fmt="JSONEachRow")

    own_gateway.kill()
    own_gateway.start()

    with own_gateway.client() as admin:
        assert admin.command("SELECT uniqExact(a) FROM d.t") == 2000


async def _sleep(session: aiohttp.ClientSession, gateway: Gateway) -> str | None:
    head = {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": password_of(ADMIN)}
    async with session.post(gateway.url, data="SELECT sleep(0.3)", headers=head) as answer:
        return answer.headers.get("X-ClickHouse-Exception-Code")


async def test_some_are_told_202_when_too_many_ask_at_once(own_gateway: Gateway) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        asked = [group.create_task(_sleep(session, own_gateway)) for _ in range(300)]
        assert await asyncio.to_thread(own_gateway.answers)  # two threads are kept for it

    codes = {task.result() for task in asked}
    assert codes == {None, "202"}
    assert own_gateway.answers()


def test_exit_code_is_0_when_stopped_idle(own_gateway: Gateway) -> None:
    assert own_gateway.stop() == 0
