"""What is uploaded is stored whole or not at all, however it arrives."""

import gzip
import socket
import zlib
from collections.abc import Callable
from contextlib import ExitStack

import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client

from tests.integration.gateway.process import ADMIN, Gateway, password_of
from tests.integration.gateway.requests import Answer, begin, send

pytestmark = [pytest.mark.integration, pytest.mark.alone]

_Compress = Callable[[bytes], bytes]
_ENCODINGS = pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress),
     ("lz4", lz4.frame.compress)],
)  # fmt: skip
_OF_CUT = {"gzip": "354", "deflate": "354", "zstd": "561", "lz4": "618"}
_LINES = b"".join(b"%d\n" % (number * 7919 % 1_000_003) for number in range(1_000))


@pytest.fixture
def table(client: Client, database: str) -> str:
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    return f"{database}.t"


def _upload(gateway: Gateway, table: str, body: bytes, encoding: str) -> Answer:
    head = {
        "X-ClickHouse-User": ADMIN,
        "X-ClickHouse-Key": password_of(ADMIN),
        "Content-Encoding": encoding,
    }
    return send(gateway, "POST", f"/?query=INSERT+INTO+{table}+FORMAT+TSV", body, head)


@_ENCODINGS
def test_all_frames_are_stored_when_a_body_has_several(
    gateway: Gateway, client: Client, table: str, encoding: str, compress: _Compress
) -> None:
    body = compress(b"1\n2\n") + compress(b"3\n") + compress(_LINES)

    assert _upload(gateway, table, body, encoding).status == 200
    assert client.command("SELECT count() FROM t") == 1_003


@_ENCODINGS
def test_nothing_is_stored_when_a_compressed_body_is_cut(
    gateway: Gateway, client: Client, table: str, encoding: str, compress: _Compress
) -> None:
    body = compress(_LINES)

    for size in (len(body) - 1, len(body) - 12, len(body) // 2, 5):
        assert _upload(gateway, table, body[:size], encoding).code == _OF_CUT[encoding]
    assert client.command("SELECT count() FROM t") == 0


@_ENCODINGS
def test_memory_is_bounded_when_a_small_body_is_large_inside(
    own_gateway: Gateway, encoding: str, compress: _Compress
) -> None:
    with own_gateway.client() as client:
        client.command("CREATE DATABASE d ENGINE = Atomic")
        client.command("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a")

    answer = _upload(own_gateway, "d.t", compress(bytes(400 << 20)), encoding)

    assert answer.status >= 400
    assert own_gateway.peak_memory_mb() < 2_000


@pytest.mark.parametrize("cut_at", range(len(b"INSERT INTO t FORMAT"), 38))
def test_rows_are_the_same_when_the_head_arrives_in_pieces(
    gateway: Gateway, client: Client, table: str, cut_at: int
) -> None:
    body = b'INSERT INTO t FORMAT JSONEachRow \r\n{"a":1}\n{"a":2}\n'
    database = table.partition(".")[0]

    with begin(gateway, body[:cut_at], len(body), database=database) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert gateway.answers()  # so the first piece has been read by itself
        connection.sendall(body[cut_at:])
        assert connection.recv(12) == b"HTTP/1.1 200"

    assert client.query("SELECT a FROM t ORDER BY a").result_rows == [(1,), (2,)]


def test_settings_hold_when_they_stand_in_the_insert(
    gateway: Gateway, client: Client, table: str
) -> None:
    client.command(f"INSERT INTO {table} (a) SETTINGS max_threads = 1, format_csv_delimiter = ';'"
                   " FORMAT CSV\n1\n2\n")  # fmt: skip

    assert client.command("SELECT sum(a) FROM t") == 3


def test_others_are_served_when_many_uploads_stall(own_gateway: Gateway) -> None:
    sql = "INSERT INTO d.t FORMAT TSV"
    with own_gateway.client() as client, ExitStack() as stalled:
        client.command("CREATE DATABASE d ENGINE = Atomic")
        client.command("CREATE TABLE d.t (a UInt64) ENGINE = MergeTree ORDER BY a")
        for _ in range(60):
            stalled.enter_context(begin(own_gateway, b"1\n", 1_000, query=sql))

        assert client.command("SELECT count() FROM d.t") == 0


def test_upload_is_given_up_when_it_stalls(own_gateway: Gateway) -> None:
    own_gateway.kill()
    own_gateway.settings["GATEWAY_HTTP_RECEIVE_TIMEOUT"] = "0.2"
    own_gateway.start()

    with begin(own_gateway, b"SELECT", 1_000) as connection:
        answer = connection.recv(10_000)

    assert b"X-ClickHouse-Exception-Code: 209" in answer
