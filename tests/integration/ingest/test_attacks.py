"""What strangers and bad producers try: each is answered or cut in time, in little memory."""

import asyncio
import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import suppress
from functools import reduce

import pytest
import pytest_asyncio
from backports import zstd

from tests.integration.ingest.conftest import PARTITIONS, PROJECT
from tests.integration.ingest.process import IngestProcess, add_producer, ingest_process
from tests.integration.ingest.topics import new_topic
from tests.servers import Servers
from tests.tables import new_database, tables

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

_MAX_MB = 200
_HEAD_S, _BODY_S, _WAIT_S = 2, 8, 3
_LATE_S = 3  # the server looks twice a second, and the machine is busy
_KNOWN_WITHIN_S = 20
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_MOST_BYTES = 5 * 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(
    real_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[IngestProcess]:
    """Ingest with short deadlines, one for all these attacks."""
    deadlines = {
        "RAGTIME_HTTP__HEAD_TIMEOUT_S": str(_HEAD_S),
        "RAGTIME_HTTP__BODY_WINDOW_S": str(_BODY_S),
        "RAGTIME_BODY__WAIT_S": str(_WAIT_S),
    }
    kafka, settings = real_servers.kafka, new_database(real_servers)
    folder = tmp_path_factory.mktemp("attacked")
    async with (
        tables(settings) as client,
        new_topic(kafka, PARTITIONS) as topic,
        ingest_process(folder, settings, kafka, topic, deadlines) as running,
    ):
        key = await add_producer(client, PROJECT)
        running.http.headers["Authorization"] = f"Bearer {key}"
        await running.answers("/healthz/ready", 200)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ingest(process: IngestProcess) -> AsyncIterator[IngestProcess]:
    """It must end each test in little memory, and still at work."""
    async with asyncio.timeout(_KNOWN_WITHIN_S):
        while not (await _post(process, _events(1))).startswith(b"HTTP/1.1 202"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # it reads the key, or is at what the last test left
    yield process
    print(f"peak {process.peak_mb:.0f} MB")  # noqa: T201 - a figure for the report
    assert process.peak_mb < _MAX_MB
    answer = await _post(process, _events(1))
    assert answer.startswith(b"HTTP/1.1 202"), answer
    assert "Traceback" not in process.log.read_text("utf-8")


def _events(number: int) -> bytes:
    return b"[%b]" % b",".join(
        b'{"id":"e-%d","type":"chat.message","role":"user","sessionId":"s","conversationId":"c-%d"%b}'
        % (n, n % 100, b',"note":"%b"' % (b"x" * 400) if number > 1 else b"")
        for n in range(number)
    )


def _head(ingest: IngestProcess, length: int, *more: str) -> bytes:
    lines = [
        f"POST /api/v1/projects/{PROJECT}/events HTTP/1.1",
        "Host: ingest",
        f"Authorization: {ingest.http.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _connect(ingest: IngestProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", ingest.port)


async def _post(ingest: IngestProcess, body: bytes, *more: str) -> bytes:
    """The answer to a body, or as much as came before the connection ended."""
    return await _send(ingest, [_head(ingest, len(body), "Connection: close", *more), body])


async def _send(ingest: IngestProcess, parts: Iterable[bytes], pause_s: float = 0) -> bytes:
    reader, writer = await _connect(ingest)
    answer = asyncio.create_task(_read(reader))
    with suppress(ConnectionError):
        for part in parts:
            if answer.done():
                break
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
    read = await answer
    writer.close()
    return read


async def _read(reader: asyncio.StreamReader) -> bytes:
    read = bytearray()
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            read += data
    return bytes(read)


def _problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body)["code"]


async def _within(seconds: float, attack: Awaitable[bytes]) -> bytes:
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        answer = await attack
    print(f"after {time.monotonic() - started:.2f} s: {answer[:40]!r}")  # noqa: T201
    return answer


def _zeros(compressed: str, size_bytes: int) -> bytes:
    """A bomb, packed in steps: it must not blow up here either."""
    step, times = bytes(1024 * 1024), size_bytes >> 20
    if compressed == "gzip":
        packer = zlib.compressobj(9, wbits=-15)
        # What is packed after it does not refer to it, so that it can be repeated.
        packed = packer.compress(step) + packer.flush(zlib.Z_FULL_FLUSH)
        crc = reduce(lambda crc, _: zlib.crc32(step, crc), range(times), 0)
        return _GZIP_HEAD + packed * times + packer.flush() + struct.pack("<II", crc, size_bytes)
    zipper = zstd.ZstdCompressor(level=3)
    parts = [zipper.compress(step) for _ in range(times)]
    return b"".join(parts) + zipper.flush()


@pytest.mark.parametrize(("compression", "size_mb"), [("zstd", 1024), ("gzip", 2048)])
async def test_bomb_is_refused_when_it_would_unpack_to_gigabytes(
    ingest: IngestProcess, compression: str, size_mb: int
) -> None:
    bomb = _zeros(compression, size_mb << 20)

    answer = await _within(_LATE_S, _post(ingest, bomb, f"Content-Encoding: {compression}"))

    assert _problem(answer) == (413, "body_too_large")


def _write_then_read(port: int, head: bytes, size_mb: int, pause_s: float = 0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        for _ in range(size_mb):
            connection.sendall(bytes(1024 * 1024))
            time.sleep(pause_s)
        answer = bytearray()
        while data := connection.recv(65_536):
            answer += data
        return bytes(answer)


@pytest.mark.parametrize("size_mb", [6, 20, 60])
async def test_who_writes_all_and_reads_then_hears_why_it_was_refused(
    ingest: IngestProcess, size_mb: int
) -> None:
    # As Python's urllib does: a reset would take the answer from it.
    head = _head(ingest, size_mb << 20, "Connection: close")

    answers = [
        await asyncio.to_thread(_write_then_read, ingest.port, head, size_mb) for _ in range(5)
    ]

    assert {_problem(answer) for answer in answers} == {(413, "body_too_large")}


async def test_who_writes_all_slowly_hears_why_it_was_refused(ingest: IngestProcess) -> None:
    head = _head(ingest, 6 << 20, "Connection: close")

    answer = await asyncio.to_thread(_write_then_read, ingest.port, head, 6, 2.5)

    assert _problem(answer) == (413, "body_too_large")


async def test_body_is_cut_when_it_drips(ingest: IngestProcess) -> None:
    drops = [_head(ingest, 1000), *([b"a"] * 1000)]

    answer = await _within(_BODY_S + _LATE_S, _send(ingest, drops, pause_s=0.2))

    assert _problem(answer) == (408, "request_timeout")


async def test_headers_are_cut_when_they_drip(ingest: IngestProcess) -> None:
    drops = [b"GET / HTTP/1.1\r\n", *([b"X: y\r\n"] * 1000)]

    answer = await _within(_HEAD_S + _LATE_S, _send(ingest, drops, pause_s=0.2))

    assert _problem(answer) == (408, "request_timeout")


async def test_idle_connections_are_cut_and_others_are_served_meanwhile(
    ingest: IngestProcess,
) -> None:
    started = time.monotonic()
    idle = [await _connect(ingest) for _ in range(2_000)]
    answer = await _within(_HEAD_S + _LATE_S, _post(ingest, _events(1)))
    assert answer.startswith(b"HTTP/1.1 202")
    async with asyncio.timeout(_HEAD_S + 2 * _LATE_S):
        answers = await asyncio.gather(*(_read(reader) for reader, _ in idle))
    print(f"2,000 idle connections cut after {time.monotonic() - started:.2f} s")  # noqa: T201
    assert set(answers) == {b""}
    for _, writer in idle:
        writer.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000 + b"]" * 10_000,
        b"[" * 2_000_000,
        b"[" + b"[]," * 1_700_000 + b"[]]",
        b"[" + b"0," * 2_600_000 + b"0]",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=["nested", "open", "empty arrays", "zeros", "objects"],
)
async def test_body_is_refused_when_it_is_made_to_exhaust(
    ingest: IngestProcess, body: bytes
) -> None:
    answers = await asyncio.gather(*(_within(15, _post(ingest, body)) for _ in range(5)))

    assert {_problem(answer)[0] for answer in answers} <= {400, 413}


@pytest.mark.parametrize("compression", ["identity", "gzip"])
async def test_memory_is_bounded_when_200_send_the_largest_bodies(
    ingest: IngestProcess, compression: str
) -> None:
    body = _events(10_000)
    assert _MOST_BYTES * 0.9 < len(body) < _MOST_BYTES
    packed = gzip.compress(body) if compression == "gzip" else body

    started = time.monotonic()
    async with asyncio.timeout(90):
        answers = await asyncio.gather(
            *(_post(ingest, packed, f"Content-Encoding: {compression}") for _ in range(200))
        )
    statuses = [answer[9:12].decode() for answer in answers]
    counts = {status: statuses.count(status) for status in set(statuses)}
    print(f"200 bodies: {counts} after {time.monotonic() - started:.1f} s")  # noqa: T201
    assert counts.keys() <= {"202", "503"}
    assert counts["202"] >= 1
    for answer in answers:
        if answer[9:12] == b"503":
            assert _problem(answer)[1] in {"overloaded", "unavailable"}
            assert b"retry-after: " in answer.lower()
