"""An unmodified clickhouse-connect, sync and async, takes the gateway for a ClickHouse server."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime

import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.e2e.waiting import wait_until
from tests.integration.gateway.process import ADMIN, READER, WRITER, Gateway, password_of
from tests.integration.gateway.requests import ask, begin, send

pytestmark = pytest.mark.integration

_INSTANT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
_STRANGE = "NUL \0, quote ' \" ` back \\ tab \t line \n four bytes \U0001f600; FORMAT TSV"


def _plain(data: bytes) -> bytes:
    return data


def test_client_is_told_81_when_its_database_does_not_exist(gateway: Gateway) -> None:
    with pytest.raises(DatabaseError) as refused:
        gateway.client(database="never_made")

    assert refused.value.code == 81


def test_database_stays_when_it_is_made_again(gateway: Gateway, client: Client) -> None:
    client.command("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    name = client.command("SELECT currentDatabase()")

    client.command(f"CREATE DATABASE IF NOT EXISTS {name} ENGINE = Atomic")

    assert client.command("EXISTS TABLE t") == 1


def test_values_return_unchanged_when_inserted_in_native(client: Client) -> None:
    client.command("""CREATE TABLE t (i UInt64, s String, l LowCardinality(String), d Date,
        at DateTime64(3, 'UTC'), n Nullable(Int32), a Array(Tuple(id String, name String)))
        ENGINE = MergeTree ORDER BY i""")
    row = [2**64 - 1, _STRANGE, _STRANGE, date(2026, 1, 2), _INSTANT, None, [("x", _STRANGE)]]

    written = client.insert("t", [row])

    assert written.written_rows == 1
    (read,) = client.query(
        "SELECT i, s, l, d, toUnixTimestamp64Milli(at), n, a.id, a.name FROM t"
    ).result_rows
    assert read == (*row[:4], 1767323045678, None, ["x"], [_STRANGE])
    (at,) = client.query("SELECT at FROM t").result_columns[0]
    assert at == _INSTANT.replace(tzinfo=None)  # the client's own way of reading UTC


def test_tuples_are_read_from_objects_when_inserted_as_json(client: Client) -> None:
    client.command("""CREATE TABLE t (at DateTime64(3, 'UTC'), s String,
        a Array(Tuple(id String, name String))) ENGINE = MergeTree ORDER BY s""")
    row = {"at": "2026-01-02 03:04:05.678", "s": _STRANGE, "a": [{"id": "x", "name": _STRANGE}]}

    client.raw_insert("t", None, json.dumps(row), fmt="JSONEachRow")

    read = client.query("SELECT toUnixTimestamp64Milli(at), s, a FROM t").result_rows
    assert read == [(1767323045678, _STRANGE, [{"id": "x", "name": _STRANGE}])]


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [(None, _plain), ("gzip", gzip.compress), ("zstd", zstandard.compress),
     ("lz4", lz4.frame.compress)],
)  # fmt: skip
def test_rows_are_stored_when_a_raw_insert_is_compressed(
    client: Client, encoding: str | None, compress: Callable[[bytes], bytes]
) -> None:
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")

    written = client.raw_insert("t", ["a"], compress(b"1\n2\n"), fmt="TSV", compression=encoding)

    assert written.written_rows == 2
    assert client.command("SELECT sum(a) FROM t") == 3


def test_insert_is_one_part_and_feeds_its_view_when_it_has_10000_rows(client: Client) -> None:
    client.command("""CREATE TABLE t (p UInt16, k String, PROJECTION counts
        (SELECT p, count() GROUP BY p)) ENGINE = MergeTree ORDER BY k""")
    client.command("CREATE TABLE d (k String, n Int64) ENGINE = SummingMergeTree(n) ORDER BY k")
    client.command("CREATE MATERIALIZED VIEW v TO d AS SELECT k, count() AS n FROM t GROUP BY k")
    lines = "".join(json.dumps({"p": i % 12, "k": f"k{i % 7}"}) + "\n" for i in range(10_000))

    client.raw_insert("t", None, lines, fmt="JSONEachRow")

    parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active"
    assert client.command(f"{parts} AND table = 't'") == 1
    assert client.command("SELECT count() FROM t") == 10_000
    assert client.command("SELECT sum(n) FROM d") == 10_000
    assert client.command("SELECT count() FROM (SELECT p, count() FROM t GROUP BY p)") == 12


def test_latest_row_is_read_when_a_query_says_final(client: Client) -> None:
    client.command("CREATE TABLE t (i UInt8, u UInt8) ENGINE = ReplacingMergeTree(u) ORDER BY i")
    client.insert("t", [[1, 1]])
    client.insert("t", [[1, 2]])

    client.command("ALTER TABLE t ADD COLUMN IF NOT EXISTS w UInt8 DEFAULT 3")

    assert client.query("SELECT * FROM t FINAL").result_rows == [(1, 2, 3)]


def test_parameters_arrive_unchanged_when_bound_by_the_server(client: Client) -> None:
    values = {
        "s": _STRANGE,
        "d": date(2026, 5, 6),
        "t": ["it's", "back\\slash", "comma, \U0001f600"],
        "u": [0, 2**64 - 1],
        "n": None,
    }

    (row,) = client.query(
        "SELECT {s:String}, {d:Date}, {t:Array(String)}, {u:Array(UInt64)}, {n:Nullable(String)}",
        parameters=values,
    ).result_rows

    assert list(row) == list(values.values())


def test_parameters_arrive_when_sent_as_a_form(gateway: Gateway, database: str) -> None:
    with gateway.client(database=database, form_encode_query_params=True) as client:
        text = "x" * 100_000

        rows = client.query("SELECT {t:Array(String)}", parameters={"t": [text, "y"]}).result_rows

    assert rows == [([text, "y"],)]


def test_setting_holds_for_its_query_only(client: Client) -> None:
    ask = "SELECT getSetting('max_block_size')"

    assert client.command(ask, settings={"max_block_size": 4321}) == 4321
    assert client.command(ask) != 4321


def test_writer_sends_settings_with_its_inserts(
    gateway: Gateway, client: Client, database: str
) -> None:
    client.command("CREATE TABLE events (a UInt8) ENGINE = MergeTree ORDER BY a")

    with gateway.client(WRITER, database=database) as writer:
        writer.command("INSERT INTO events SELECT 1", settings={"async_insert": 0})
        writer.raw_insert("events", ["a"], b"2\n", fmt="TSV", settings={"async_insert": 0})

    assert client.command("SELECT sum(a) FROM events") == 3


def test_rows_are_whole_when_an_answer_is_read_as_a_stream(client: Client) -> None:
    sql = "SELECT number, toString(number) FROM numbers(500000)"

    with client.query_row_block_stream(sql) as blocks:
        rows = sum(len(block) for block in blocks)

    assert rows == 500_000


def test_columns_are_described_when_the_limit_is_0(client: Client) -> None:
    assert client.query("SELECT 1 AS x LIMIT 0").column_names == ("x",)


async def test_everything_works_when_the_client_is_async(gateway: Gateway, database: str) -> None:
    async with await gateway.async_client(database=database) as client:
        await client.command("CREATE TABLE t (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
        await client.insert("t", [[1, _STRANGE]])
        await client.raw_insert("t", ["a", "s"], b"2\ty\n", fmt="TSV")

        read = await client.query("SELECT s FROM t WHERE a = {a:UInt64}", parameters={"a": 1})

        assert read.result_rows == [(_STRANGE,)]
        assert await client.command("SELECT count() FROM t") == 2


def test_table_comes_along_with_a_question(gateway: Gateway, client: Client) -> None:
    ids = ExternalData(file_name="ids.tsv", data=b"1\n2\n700\n", fmt="TSV", structure=["id UInt64"])
    sql = "SELECT count() FROM numbers(100) WHERE number IN (SELECT id FROM ids)"

    for _ in range(2):
        assert client.query(sql, external_data=ids).result_rows == [(2,)]
    # It answers first.
    wait_until(lambda: not list(gateway.directory.glob("data-uploads/*")), "the tables are gone")


def test_readonly_user_brings_a_table_along(gateway: Gateway, database: str) -> None:
    ids = ExternalData(file_name="ids.tsv", data=b"1\n2\n", fmt="TSV", structure=["id UInt64"])

    with gateway.client(READER, database=database) as reader:
        assert reader.query("SELECT sum(id) FROM ids", external_data=ids).result_rows == [(3,)]


def test_session_keeps_its_tables_and_settings_and_not_what_came_along(gateway: Gateway) -> None:
    ids = ExternalData(file_name="ids.tsv", data=b"1\n", fmt="TSV", structure=["id UInt64"])
    with gateway.client(session_id="one") as client:
        client.command("CREATE TEMPORARY TABLE kept (a UInt8)")
        client.command("SET max_block_size = 4321")
        client.query("SELECT * FROM ids", external_data=ids, settings={"max_threads": 3})

        assert client.command("SELECT count() FROM kept") == 0
        assert client.command("SELECT getSetting('max_block_size')") == 4321
        assert client.command("SELECT getSetting('max_threads')") != 3
        with pytest.raises(DatabaseError, match="ids"):
            client.query("SELECT * FROM ids")


def _knows_session(gateway: Gateway, name: str) -> bool:
    return ask(gateway, "SELECT 1", session_id=name, session_check="1").status == 200


def test_session_is_refused_when_another_has_it_or_it_must_exist(gateway: Gateway) -> None:
    slow = begin(gateway, b"SELECT sleep(3)", 15, session_id="two")
    with slow:
        running = "SELECT count() FROM system.processes WHERE query = 'SELECT sleep(3)'"
        wait_until(lambda: ask(gateway, running).body == b"1\n", "the session is in use")
        assert ask(gateway, "SELECT 1", session_id="two").code == "373"
        assert slow.recv(12) == b"HTTP/1.1 200"

    wait_until(lambda: _knows_session(gateway, "two"), "it is free again")
    assert ask(gateway, "SELECT 1", session_id="three", session_check="1").code == "372"
    assert ask(gateway, "SELECT 1", session_id="four", session_timeout="9999").code == "374"


@pytest.mark.parametrize("encoding", ["zstd", "lz4", "gzip", "deflate"])
def test_answer_is_compressed_when_the_client_offers_it(gateway: Gateway, encoding: str) -> None:
    head = {
        "X-ClickHouse-User": ADMIN,
        "X-ClickHouse-Key": password_of(ADMIN),
        "Accept-Encoding": encoding,
    }
    plain = send(gateway, "POST", "/?enable_http_compression=0", "SELECT 'x'", head)
    packed = send(gateway, "POST", "/", "SELECT repeat('x', 100000)", head)

    assert plain.body == b"x\n"
    assert packed.headers["Content-Encoding"] == encoding
    assert len(packed.body) < 2_000


def test_answer_tells_what_was_read_and_written(gateway: Gateway, client: Client) -> None:
    client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")

    written = client.insert("t", [[1], [2]])
    read = client.query("SELECT a FROM t").summary

    assert written.written_rows == 2
    assert (read["read_rows"], read["result_rows"]) == ("2", "2")
    assert int(read["elapsed_ns"]) > 0
