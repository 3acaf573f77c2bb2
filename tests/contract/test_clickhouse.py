"""clickhouse-connect's client and the fake one behave alike, as far as the services use them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Protocol

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error, OperationalError
from pydantic import SecretStr

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings
from tests.fakes import FakeClickHouse
from tests.servers import Servers

_NUMBERS = "SELECT number, toString(number) FROM numbers({n:UInt8})"
_NOTHING = "SELECT number FROM numbers(10) WHERE number > 100"
_ENDLESS = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"


class Database(Protocol):
    """A ClickHouse to ask, real or not."""

    client: AsyncClient

    def break_it(self) -> str:
        """Make the next statement fail; the statement."""
        ...

    def hang(self) -> str:
        """Make the next statement endless; the statement."""
        ...

    def mend(self) -> None: ...

    def connect_to_nobody(self) -> Awaitable[AsyncClient]: ...


@dataclass
class RealDatabase:
    client: AsyncClient

    def break_it(self) -> str:
        return "SELECT never_made"

    def hang(self) -> str:
        return _ENDLESS

    def mend(self) -> None:
        pass

    def connect_to_nobody(self) -> Awaitable[AsyncClient]:
        nobody = ClickHouseSettings(
            url="http://127.0.0.1:1", user="nobody", password=SecretStr("nothing")
        )
        return connect(nobody)


@dataclass
class FakeDatabase:
    client: AsyncClient
    fake: FakeClickHouse

    def break_it(self) -> str:
        self.fake.failure = OperationalError("broken")
        return "SELECT never_made"

    def hang(self) -> str:
        self.fake.hangs = True
        return _ENDLESS

    def mend(self) -> None:
        self.fake.failure = None
        self.fake.hangs = False

    def connect_to_nobody(self) -> Awaitable[AsyncClient]:
        self.fake.failure = OperationalError("nobody")
        return self.fake.connect()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.contract)])
def servers(request: pytest.FixtureRequest) -> Servers | None:
    """The real servers, asked for outside of a running loop; None for the fake."""
    if request.param == "fake":
        return None
    real: Servers = request.getfixturevalue("real_servers")
    return real


@pytest.fixture
async def database(servers: Servers | None) -> AsyncIterator[Database]:
    if servers is None:
        fake = FakeClickHouse()
        fake.rows[_NUMBERS] = [(0, "0"), (1, "1")]
        yield FakeDatabase(await fake.connect(), fake)
        return
    settings = ClickHouseSettings(
        url=servers.clickhouse_url,
        user=servers.admin.user,
        password=SecretStr(servers.admin.password),
    )
    client = await connect(settings, database="system")
    yield RealDatabase(client)
    await client.close()


async def test_rows_are_tuples_in_order(database: Database) -> None:
    result = await database.client.query(_NUMBERS, parameters={"n": 2})

    assert list(result.result_rows) == [(0, "0"), (1, "1")]


async def test_rows_are_empty_when_there_are_none(database: Database) -> None:
    assert list((await database.client.query(_NOTHING)).result_rows) == []


async def test_query_fails_with_an_error_of_the_driver_and_then_works_again(
    database: Database,
) -> None:
    with pytest.raises(Error):
        await database.client.query(database.break_it())
    database.mend()

    assert len((await database.client.query(_NUMBERS, parameters={"n": 2})).result_rows) == 2


async def test_timeout_ends_a_query_and_the_client_works_again(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await database.client.query(database.hang())
    database.mend()

    assert len((await database.client.query(_NUMBERS, parameters={"n": 2})).result_rows) == 2


async def test_query_is_cancelled_when_its_task_is(database: Database) -> None:
    query = asyncio.create_task(database.client.query(database.hang()))
    await asyncio.wait({query}, timeout=0.2)

    query.cancel()

    with pytest.raises(asyncio.CancelledError):
        await query


async def test_connecting_fails_with_an_error_of_the_driver_when_nobody_is_there(
    database: Database,
) -> None:
    with pytest.raises(Error):
        await database.connect_to_nobody()


async def test_query_fails_with_an_error_of_the_driver_when_the_client_was_closed(
    database: Database,
) -> None:
    await database.client.close()
    await database.client.close()  # a second time does nothing

    with pytest.raises(Error):
        await database.client.query(_NOTHING)
