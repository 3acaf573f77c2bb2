"""Errors have ClickHouse's codes and statuses; strangers stay out, users within their rights."""

from base64 import b64encode

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.integration.gateway.process import ADMIN, READER, WRITER, Gateway, password_of
from tests.integration.gateway.requests import ask, send

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("foo", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT * FROM system.never_made", 404, "60"),
        ("SELECT * FROM never_made.t", 404, "81"),
        ("SELECT never_made", 404, "47"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT sleep(3) SETTINGS max_execution_time = 1", 408, "159"),
    ],
)
def test_error_has_the_code_of_clickhouse_when_a_statement_fails(
    gateway: Gateway, sql: str, status: int, code: str
) -> None:
    answer = ask(gateway, sql)

    assert (answer.status, answer.code) == (status, code)
    assert answer.body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_error_is_115_when_a_setting_is_unknown(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT 1", never_made="1").code == "115"


def test_error_is_raised_when_it_happens_late_in_an_answer(client: Client) -> None:
    with pytest.raises(DatabaseError, match="boom") as failed:
        client.query(
            "SELECT throwIf(number = 400000, 'boom') FROM numbers(500000)",
            settings={"max_block_size": 1000},
        )

    assert failed.value.code == 395


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-ClickHouse-User": "default"},
        {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-User": "nobody", "X-ClickHouse-Key": "wrong"},
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer x"},
    ],
)
def test_request_is_refused_when_nobody_known_asks(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    answer = send(gateway, "POST", "/", "SELECT 1", headers)

    assert (answer.status, answer.code) == (403, "516")


def test_request_is_answered_when_the_password_comes_another_way(gateway: Gateway) -> None:
    password = password_of(ADMIN)
    basic = b64encode(f"{ADMIN}:{password}".encode()).decode()
    by_url = f"/?user={ADMIN}&password={password.replace(' ', '%20')}"

    assert send(gateway, "POST", "/", "SELECT 1", {"Authorization": f"Basic {basic}"}).status == 200
    assert send(gateway, "POST", by_url, "SELECT 1", {}).status == 200


def test_answer_names_its_query_when_the_client_gave_an_id(gateway: Gateway) -> None:
    headers = ask(gateway, "SELECT 1", query_id="mine").headers

    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Format"] == "TabSeparated"


def test_sql_is_read_when_it_comes_as_curl_sends_it(gateway: Gateway) -> None:
    form = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-ClickHouse-User": ADMIN,
        "X-ClickHouse-Key": password_of(ADMIN),
    }

    assert ask(gateway, "SELECT '100%2B1'", headers=form).body == b"100%2B1\n"


@pytest.mark.parametrize(
    ("user", "sql"),
    [
        (READER, "INSERT INTO events FORMAT TSV\n1\n"),
        (READER, "INSERT INTO events VALUES (1)"),
        (READER, "DROP TABLE events"),
        (READER, "KILL QUERY WHERE 1 SYNC"),
        (WRITER, "INSERT INTO others FORMAT TSV\n1\n"),
        (WRITER, "/* a comment */ INSERT INTO others FORMAT TSV\n1\n"),
        (WRITER, "INSERT INTO others SELECT 1"),
        (WRITER, "-- INSERT INTO events\nINSERT INTO others SELECT 1"),
        (WRITER, "INSERT INTO FUNCTION null('a UInt8') SELECT 1"),
        (WRITER, "DROP TABLE events"),
        (WRITER, "ALTER TABLE events ADD COLUMN z UInt8"),
        (WRITER, "CREATE TABLE more (a UInt8) ENGINE = Memory"),
    ],
)
def test_statement_is_refused_when_it_is_beyond_the_user(
    gateway: Gateway, client: Client, database: str, user: str, sql: str
) -> None:
    for table in ("events", "others"):
        client.command(f"CREATE TABLE {table} (a UInt8) ENGINE = MergeTree ORDER BY a")

    answer = ask(gateway, sql, user=user, database=database)

    assert (answer.status, answer.code) == (403, "497")
    assert client.command("SELECT count() FROM others") == 0


def test_refusal_names_the_user_and_the_grant_that_is_missing(
    gateway: Gateway, client: Client, database: str
) -> None:
    client.command("CREATE TABLE others (a UInt8) ENGINE = MergeTree ORDER BY a")

    answer = ask(gateway, "SELECT a FROM others", user=READER, database=database)

    assert (
        answer.body
        == (
            "Code: 497. DB::Exception: reader: Not enough privileges. To execute this query, it's"
            f" necessary to have the grant SELECT ON {database}.others. (ACCESS_DENIED)"
            " (version 26.9.2.1)\n"
        ).encode()
    )


def test_writer_inserts_when_the_table_is_named_for_it(
    gateway: Gateway, client: Client, database: str
) -> None:
    client.command("CREATE TABLE events (a UInt8) ENGINE = MergeTree ORDER BY a")

    answer = ask(gateway, b"1\n", user=WRITER, database=database,
                 query="INSERT INTO events FORMAT TSV")  # fmt: skip

    assert answer.status == 200
    assert client.command("SELECT count() FROM events") == 1


def test_writer_inserts_what_it_selects_when_the_table_is_named_for_it(
    gateway: Gateway, client: Client, database: str
) -> None:
    client.command("CREATE TABLE events (a UInt8) ENGINE = MergeTree ORDER BY a")
    sql = "-- a comment\nINSERT INTO events (a) WITH 3 AS b SELECT b"

    assert ask(gateway, sql, user=WRITER, database=database).status == 200
    assert client.command("SELECT a FROM events") == 3


def test_reader_cannot_leave_readonly_when_it_tries(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT 1 SETTINGS readonly = 0", user=READER).code == "164"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a Int8) ENGINE = Kafka('a', 'b', 'c', 'JSON')",
        "SELECT 1 INTO OUTFILE '/dev/null'",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT file('/etc/hostname')",
        "INSERT INTO t FROM INFILE '/etc/hostname' FORMAT TSV",
        "INSERT INTO t SELECT a FROM input('a UInt8') FORMAT TSV\n1\n",
        "SYSTEM SHUTDOWN",
    ],
)
def test_statement_is_refused_when_it_would_harm_the_machine(
    own_gateway: Gateway, sql: str
) -> None:
    assert ask(own_gateway, sql).code == "48"
    assert own_gateway.answers()


def test_text_is_only_text_when_it_names_what_is_refused(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT 'ENGINE=Kafka file(', 'it''s'").status == 200
