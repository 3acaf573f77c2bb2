"""A reader changes nothing and sees no files, a writer does only its work, however they ask."""

from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.integration.gateway.process import READER, WRITER, Gateway, password_of
from tests.integration.gateway.requests import ask, begin, send
from tests.polling import until

pytestmark = pytest.mark.integration

_ENDLESS = b"SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"
_OF_MINE = (
    "SELECT count() FROM system.processes"
    " WHERE endsWith(Settings['query_cache_tag'], '/query_id=mine')"
)


@pytest.fixture
def events(client: Client, database: str) -> str:
    """Two tables, of which a writer may fill the first; its name with the database."""
    for table in ("events", "others"):
        client.command(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
    return f"{database}.events"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.txt"
    file.write_text("a secret\n")
    return file


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM others",
        "SELECT a FROM {database}.others",
        "SELECT a FROM events, `others`",
        'SELECT a FROM events JOIN "others" USING a',
        "SELECT a FROM events WHERE a IN others",
        "SELECT a FROM events WHERE in(a, others)",
        "SELECT (SELECT max(a) FROM others)",
        "WITH x AS (SELECT * FROM others) SELECT * FROM x",
        "FROM others SELECT a",
        "EXPLAIN SELECT a FROM others",
        "SHOW CREATE TABLE others",
        "SELECT * FROM merge(currentDatabase(), '^other')",
        "SELECT * FROM merge(concat('sys', 'tem'), '^processes')",
        "SELECT count() FROM system.processes",
        "SELECT count() FROM `system` . processes",
        "SELECT count() FROM {{t:Identifier}}",
        "SELECT * FROM loop('system', 'processes')",
        "SHOW PROCESSLIST",
        "DESCRIBE TABLE system.processes",
        "KILL QUERY WHERE 1",
        "SELECT * FROM mergeTreeIndex(currentDatabase(), 'others')",
        "SELECT * FROM viewIfPermitted(SELECT a FROM events ELSE null('a UInt64'))",
    ],
)
def test_table_is_not_read_when_it_is_not_for_the_reader(
    gateway: Gateway, database: str, events: str, sql: str
) -> None:
    own = ask(gateway, "SELECT count() FROM events", user=READER, database=database)
    answer = ask(
        gateway,
        sql.format(database=database),
        user=READER,
        database=database,
        param_t="system.processes",
    )

    assert own.status == 200
    assert answer.code in {"497", "48"}


def test_table_of_system_is_not_read_when_it_is_the_database(gateway: Gateway) -> None:
    plain = ask(gateway, "SELECT count() > 0 FROM tables", user=READER, database="system")
    denied = ask(gateway, "SELECT count() FROM processes", user=READER, database="system")

    assert plain.status == 200
    assert denied.code == "497"


@pytest.mark.parametrize("user", [READER, WRITER])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file/**/('{secret}')",
        "SELECT `file`('{secret}')",
        "SELECT `fi\\x6ce`('{secret}')",
        "SELECT $$'$$, file('{secret}'), $$'$$",
        "SELECT ‘'’, file('{secret}'), ‘'’",
        "SELECT 1 /* /* */ ' */, file('{secret}') /* ' */",
        "SELECT * FROM `file`('{secret}', 'LineAsString')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM `{secret}`",
        "SELECT * FROM default.`{secret}`",
        "SELECT * FROM `default` /**/ . '{secret}'",
        "SELECT * FROM loop('default', '{secret}')",
        "SELECT * FROM {{d:Identifier}}.{{t:Identifier}}",
        "DESCRIBE TABLE `file`('{secret}', 'LineAsString')",
        "SELECT * FROM eval('SELECT file(''{secret}'')')",
        "SELECT * FROM url/**/('file://{secret}', 'LineAsString')",
        "INSERT INTO {events} FROM/**/INFILE '{secret}' FORMAT TSV\n",
        "INSERT INTO {events} SELECT length(file/**/('{secret}'))",
        "INSERT INTO {events} SELECT count() FROM default.`{secret}`",
        "INSERT INTO {events} SELECT count() FROM '{secret}'",
    ],
)
def test_file_is_not_read_whoever_asks(
    gateway: Gateway, events: str, secret: Path, user: str, sql: str
) -> None:
    by_name: Any = {"param_d": "default", "param_t": str(secret), "database": "default"}
    answer = ask(gateway, sql.format(secret=secret, events=events), user=user, **by_name)

    assert answer.status >= 400
    assert b"a secret" not in answer.body
    assert ask(gateway, "SELECT count() FROM events", database=events[:-7]).body == b"0\n"


@pytest.mark.parametrize("user", [READER, WRITER])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 INTO/**/OUTFILE '{file}'",
        "SELECT 1 INTO -- \nOUTFILE '{file}'",
        "INSERT INTO FUNCTION `file`('{file}', 'TSV', 'a UInt8') SELECT 1",
        "INSERT INTO FUNCTION file('{file}', 'TSV', 'a UInt8') FORMAT TSV\n1\n",
        "BACKUP TABLE {events} TO/**/`File`('{file}')",
    ],
)
def test_file_is_not_written_whoever_asks(
    gateway: Gateway, events: str, tmp_path: Path, user: str, sql: str
) -> None:
    file = tmp_path / "written"

    assert ask(gateway, sql.format(file=file, events=events), user=user).status >= 400
    assert not file.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"readonly": "0"},
        {"readonly": "2", "allow_ddl": "1"},
        {"profile": "default"},
        {"dialect": "kusto", "allow_experimental_kusto_dialect": "1"},
        {"max_threads": "1', readonly = '0"},
        {"log_comment": "', readonly = 0 --"},
        {"query_id": "\\', readonly = '0"},
        {"database": "system\\`; DROP TABLE {events} -- "},
    ],
)
@pytest.mark.parametrize(
    "sql", ["INSERT INTO {events} SELECT 1", "DROP TABLE {events}", "SELECT 1; DROP TABLE {events}"]
)
def test_reader_changes_nothing_when_it_brings_settings(
    gateway: Gateway, client: Client, events: str, settings: dict[str, str], sql: str
) -> None:
    given: Any = {name: value.format(events=events) for name, value in settings.items()}

    assert ask(gateway, sql.format(events=events), user=READER, **given).status >= 400
    answer = ask(gateway, "SELECT getSetting('readonly')", user=READER, **given)

    assert answer.status >= 400 or answer.body == b"1\n"
    assert client.command("SELECT count() FROM events") == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO {events} VALUES (1)",
        "INSERT INTO {events} SELECT 1",
        "INSERT INTO {events} FORMAT TSV\n1\n",
        "TRUNCATE TABLE {events}",
    ],
)
def test_nothing_changes_when_the_method_is_not_post(
    gateway: Gateway, client: Client, events: str, method: str, sql: str
) -> None:
    client.command("INSERT INTO events VALUES (7)")
    path = "/?query=" + sql.format(events=events).replace(" ", "+").replace("\n", "%0A")
    head = {"X-ClickHouse-User": "admin", "X-ClickHouse-Key": password_of("admin")}

    status = send(gateway, method, path, b"", head).status

    assert status in {405, 500}  # the server makes a 500 of READONLY
    assert client.query("SELECT a FROM events").result_rows == [(7,)]


def test_get_reads_when_it_asks_with_settings(gateway: Gateway) -> None:
    head = {"X-ClickHouse-User": "admin", "X-ClickHouse-Key": password_of("admin")}
    path = "/?query=SELECT+1+SETTINGS+max_threads=1"

    assert send(gateway, "GET", path, b"", head).body == b"1\n"


@pytest.mark.parametrize(
    "sql",
    [
        "DETACH TABLE {events}",
        "SYSTEM STOP MERGES {events}",
        "BACKUP TABLE {events} TO Null",
        "CREATE TEMPORARY TABLE t (a UInt8)",
        "INSERT INTO events .others FORMAT TSV\n1\n",
        "INSERT INTO events/**/.others SELECT 1",
    ],
)
def test_writer_is_refused_when_it_does_not_insert(gateway: Gateway, events: str, sql: str) -> None:
    answer = ask(gateway, sql.format(events=events), user=WRITER)

    assert answer.code in {"497", "81"}  # of a database that is not there


async def test_query_goes_on_when_a_reader_asks_under_its_id(own_gateway: Gateway) -> None:
    begun = begin(own_gateway, _ENDLESS, len(_ENDLESS), query_id="mine")
    with begun, own_gateway.client() as client:
        await until(lambda: client.command(_OF_MINE) == 1)

        by_id = ask(own_gateway, "SELECT 1", user=READER, query_id="mine")
        by_tag = ask(own_gateway, "SELECT 1", query_cache_tag="user=admin/query_id=mine")

        assert (by_id.code, by_tag.code) == ("216", "452")
        assert client.command(_OF_MINE) == 1


async def test_query_is_killed_by_its_id_when_a_comment_stands_before(own_gateway: Gateway) -> None:
    begun = begin(own_gateway, _ENDLESS, len(_ENDLESS), query_id="mine")
    with begun, own_gateway.client() as client:
        await until(lambda: client.command(_OF_MINE) == 1)

        client.command("/* why */ KILL QUERY WHERE `query_id` = 'mine' SYNC")

        assert client.command(_OF_MINE) == 0


def test_memory_is_bounded_when_an_answer_would_be_gigantic(own_gateway: Gateway) -> None:
    # Constant in the engine's memory, 60 GB as text.
    sql = "SELECT repeat('\\0', 1000000) FROM numbers(10000) FORMAT JSON"

    assert ask(own_gateway, sql, user=READER).code == "241"
    assert own_gateway.peak_memory_mb() < 4_000


def test_statement_is_refused_not_cut_when_it_is_too_long(
    gateway: Gateway, client: Client, events: str
) -> None:
    sql = "INSERT INTO events VALUES " + "(1)," * (2 << 20) + "(1)"

    assert ask(gateway, sql, database=events[:-7]).code == "62"
    assert client.command("SELECT count() FROM events") == 0


@pytest.mark.parametrize("path", ["/?query=%ff", "/?query_id=%0d%0aX:+y", "/?database=%00"])
def test_request_is_answered_when_it_holds_odd_bytes(gateway: Gateway, path: str) -> None:
    head = {"X-ClickHouse-User": "admin", "X-ClickHouse-Key": password_of("admin")}

    assert send(gateway, "POST", path, "SELECT 1", head).status < 500
    assert send(gateway, "POST", "/", "SELECT 1", {"X-ClickHouse-User": "\xff"}).code == "516"
    broken_form = {**head, "Content-Type": "multipart/form-data; boundary=x"}
    assert send(gateway, "POST", "/", "no form", broken_form).code == "36"
