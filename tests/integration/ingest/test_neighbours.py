"""What one key or one address does keeps no other from ingest. The attacker is A, the victim B."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.ingest.conftest import PARTITIONS
from tests.integration.ingest.process import IngestProcess, add_producer, ingest_process
from tests.integration.ingest.topics import new_topic
from tests.polling import until_answered
from tests.servers import Servers
from tests.tables import new_database, tables

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

_MAX_MB = 250
_MAX_CONNECTIONS = 60
_HALF = _MAX_CONNECTIONS // 2
_B_ADDRESS = "127.0.0.200"
_WAIT_S = 2

Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Tenant:
    """A project and its key, and the address that its producer has."""

    project: str
    key: str
    address: str

    def head(self, length: int, *more: str) -> bytes:
        lines = [
            f"POST /api/v1/projects/{self.project}/events HTTP/1.1",
            "Host: ingest",
            f"Authorization: Bearer {self.key}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def _running(
    servers: Servers, folder: Path, more: Mapping[str, str]
) -> AsyncIterator[tuple[IngestProcess, tuple[Tenant, Tenant]]]:
    """Ingest as these settings say, which knows A and B."""
    settings = new_database(servers)
    async with (
        tables(settings) as client,
        new_topic(servers.kafka, PARTITIONS) as topic,
        ingest_process(folder, settings, servers.kafka, topic, more) as running,
    ):
        a = Tenant("a", await add_producer(client, "a"), "127.0.0.1")
        b = Tenant("b", await add_producer(client, "b"), _B_ADDRESS)
        await running.answers("/healthz/ready", 200)
        for tenant in (a, b):
            await until_answered(partial(_knows, running, tenant))
        yield running, (a, b)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(
    real_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[IngestProcess, tuple[Tenant, Tenant]]]:
    """Ingest with few connections, one for all these attacks."""
    limits = {
        "RAGTIME_HTTP__MAX_CONNECTIONS": str(_MAX_CONNECTIONS),
        "RAGTIME_BODY__WAIT_S": str(_WAIT_S),
    }
    async with _running(real_servers, tmp_path_factory.mktemp("neighbours"), limits) as running:
        yield running


@pytest.fixture
def tenants(process: tuple[IngestProcess, tuple[Tenant, Tenant]]) -> tuple[Tenant, Tenant]:
    """A and B."""
    return process[1]


@pytest_asyncio.fixture(loop_scope="module")
async def ingest(
    process: tuple[IngestProcess, tuple[Tenant, Tenant]],
) -> AsyncIterator[IngestProcess]:
    """It must end each test in little memory; it begins when the last attack is over."""
    running, tenants = process
    for tenant in tenants:
        await until_answered(partial(_knows, running, tenant))
    yield running
    print(f"peak {running.peak_mb:.0f} MB")  # noqa: T201 - a figure for the report
    assert running.peak_mb < _MAX_MB
    assert "Traceback" not in running.log.read_text("utf-8")


async def _knows(ingest: IngestProcess, tenant: Tenant) -> bool:
    return _status(await _post(ingest, tenant, _event())) == 202


def _event(note_bytes: int = 0) -> bytes:
    return (
        b'[{"type":"chat.message","role":"user","sessionId":"s","conversationId":"c","note":"%b"}]'
        % (b"x" * note_bytes)
    )


async def _connect(ingest: IngestProcess, address: str) -> Socket:
    return await asyncio.open_connection("127.0.0.1", ingest.port, local_addr=(address, 0))


async def _connect_deaf(ingest: IngestProcess, address: str) -> Socket:
    """A connection whose own end takes hardly anything in."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    deaf.bind((address, 0))
    await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", ingest.port))
    return await asyncio.open_connection(sock=deaf, limit=4096)


async def _post(ingest: IngestProcess, tenant: Tenant, body: bytes, *more: str) -> bytes:
    """The answer, or as much as came before the connection ended."""
    reader, writer = await _connect(ingest, tenant.address)
    writer.write(tenant.head(len(body), "Connection: close", *more) + body)
    read = b""
    with suppress(ConnectionError):
        read = await reader.read()
    writer.close()
    return read


def _status(answer: bytes) -> int:
    return int(answer[9:12] or 0)


async def _statuses_of_b(ingest: IngestProcess, b: Tenant, bodies: Sequence[bytes]) -> list[int]:
    """What B is answered, one request after the other, each on a connection of its own."""
    async with asyncio.timeout(60):
        return [_status(await _post(ingest, b, body)) for body in bodies]


@asynccontextmanager
async def _attack(
    ingest: IngestProcess, addresses: Sequence[str], each: bytes, number: int
) -> AsyncIterator[list[Socket]]:
    """So many connections, in turn from these addresses, which send this and nothing more."""
    async with AsyncExitStack() as ended:
        sockets: list[Socket] = []
        for place in range(number):
            with suppress(ConnectionError):
                reader, writer = await _connect_deaf(ingest, addresses[place % len(addresses)])
                ended.callback(writer.close)
                writer.write(each)
                sockets.append((reader, writer))
        await asyncio.sleep(0.5)
        if each is _UNREAD:  # the kernel takes the first megabytes of answers
            await _ask_on(sockets)
        yield sockets


async def _ask_on(sockets: Sequence[Socket]) -> None:
    for _ in range(5):
        for _, writer in sockets:
            with suppress(ConnectionError):
                writer.write(_UNREAD)
        await asyncio.sleep(0.5)


async def _answers(sockets: Sequence[Socket]) -> Counter[int]:
    """How many got which status so far; 0: nothing, and the connection stands or was cut."""
    counts: Counter[int] = Counter()
    for reader, _ in sockets:
        read = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.01):
                read = await reader.read(12)
        counts[_status(read)] += 1
    return counts


_UNREAD = b"GET /openapi.json HTTP/1.1\r\nHost: ingest\r\n\r\n" * 30
_LINES = b"GET / HTTP/1.1\r\nHost: ingest\r\n" + b"a:\r\n" * 15_000
_SLOW_HEAD = b"GET / HTTP/1.1\r\nHost: in"


@pytest.mark.parametrize("sources", [1, 3])
@pytest.mark.parametrize(
    "sent", [_UNREAD, _LINES, _SLOW_HEAD, b""], ids=["unread", "lines", "slow head", "idle"]
)
async def test_b_is_served_when_addresses_without_a_key_have_taken_all_connections(
    ingest: IngestProcess, tenants: tuple[Tenant, Tenant], sent: bytes, sources: int
) -> None:
    addresses = [f"127.0.0.{number + 1}" for number in range(sources)]
    async with _attack(ingest, addresses, sent, 2 * _MAX_CONNECTIONS):
        statuses = await _statuses_of_b(ingest, tenants[1], [_event()] * 20)

    assert set(statuses) == {202}


async def test_b_is_served_when_unread_connections_roll_on(
    ingest: IngestProcess, tenants: tuple[Tenant, Tenant]
) -> None:
    async def roll(ended: AsyncExitStack) -> None:
        while True:
            sockets = []
            for _ in range(_MAX_CONNECTIONS):
                with suppress(ConnectionError):
                    sockets.append(await _connect_deaf(ingest, "127.0.0.1"))
                    ended.callback(sockets[-1][1].close)
            await _ask_on(sockets)

    async with AsyncExitStack() as ended:
        rolling = asyncio.create_task(roll(ended))
        await asyncio.sleep(3)
        statuses = await _statuses_of_b(ingest, tenants[1], [_event()] * 20)
        rolling.cancel()
        await asyncio.gather(rolling, return_exceptions=True)

    assert set(statuses) == {202}


async def test_b_is_served_when_slow_bodies_of_one_key_come_from_everywhere(
    ingest: IngestProcess, tenants: tuple[Tenant, Tenant]
) -> None:
    a, b = tenants
    addresses = [f"127.0.1.{number + 1}" for number in range(_MAX_CONNECTIONS)]
    async with _attack(ingest, addresses, a.head(50_000) + b"[", _MAX_CONNECTIONS) as sockets:
        statuses = await _statuses_of_b(ingest, b, [_event()] * 20)
        answers = await _answers(sockets)

    assert set(statuses) == {202}
    assert answers[429] >= _HALF - 1, answers


@pytest.mark.parametrize(
    ("announced", "more", "number"),
    [(5_000_000, "identity", 4), (5_000_000, "gzip", 4), (5_000_000, "identity", 40)],
)
async def test_large_bodies_of_b_are_taken_when_those_of_a_trickle(
    ingest: IngestProcess,
    tenants: tuple[Tenant, Tenant],
    announced: int,
    more: str,
    number: int,
) -> None:
    a, b = tenants
    sent = a.head(announced, f"Content-Encoding: {more}") + b"x" * 1_000
    async with _attack(ingest, ["127.0.0.1"], sent, number):
        statuses = await _statuses_of_b(ingest, b, [_event(200_000), _event(4_000_000)] * 5)

    assert set(statuses) == {202}


async def test_large_bodies_of_b_are_taken_when_a_holds_as_much_as_it_may(
    ingest: IngestProcess, tenants: tuple[Tenant, Tenant]
) -> None:
    a, b = tenants
    sent = a.head(5_000_000) + b" " * 1_000_000
    async with _attack(ingest, ["127.0.0.1"], sent, 25):
        await asyncio.sleep(2)
        statuses = await _statuses_of_b(ingest, b, [_event(4_000_000)] * 5)

    assert set(statuses) == {202}


async def test_honest_slow_body_is_taken_when_it_takes_longer_than_a_window(
    tmp_path: Path, real_servers: Servers
) -> None:
    window = {"RAGTIME_HTTP__BODY_WINDOW_S": "1"}
    async with _running(real_servers, tmp_path, window) as (running, (a, _)):
        body = _event(9_000)
        reader, writer = await _connect(running, a.address)
        writer.write(a.head(len(body), "Connection: close"))
        for start in range(0, len(body), 850):  # at 1.7 kB/s
            writer.write(body[start : start + 850])
            await asyncio.sleep(0.5)
        answer = await reader.read()
        writer.close()

    assert _status(answer) == 202
