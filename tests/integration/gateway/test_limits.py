"""What a server refuses, the gateway refuses: sizes and numbers, with the server's defaults."""

import http.client
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from deploy.local.gateway.errors import VERSION
from deploy.local.gateway.settings import Settings
from tests.integration.gateway.process import ADMIN, Gateway, new_gateway, password_of
from tests.integration.gateway.requests import Answer, ask, send

pytestmark = pytest.mark.integration

_HEAD = {"X-ClickHouse-User": ADMIN, "X-ClickHouse-Key": password_of(ADMIN)}
_FIELD = 131_072
_TOO_LONG = (
    b"Poco::Exception. Code: 1000, e.code() = 0, HTML Form Exception: Field value too long"
    b" (version 26.9.2.1)\n"
)
# The gateway's name of a limit, where it is not the server's own.
_OTHERWISE = {"max_concurrent_queries": "100"}


@pytest.fixture(scope="module")
def low(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with limits that are quickly reached."""
    own = new_gateway(tmp_path_factory.mktemp("low"))
    own.settings |= {
        "GATEWAY_HTTP_MAX_FIELDS": "20",
        "GATEWAY_HTTP_MAX_FIELD_NAME_SIZE": "100",
        "GATEWAY_HTTP_MAX_FIELD_VALUE_SIZE": "1000",
        "GATEWAY_HTTP_MAX_REQUEST_HEADER_SIZE": "3000",
        "GATEWAY_HTTP_MAX_MULTIPART_FORM_DATA_SIZE": "5000",
        "GATEWAY_HTTP_MAX_URI_SIZE": "4000",
        "GATEWAY_KEEP_ALIVE_TIMEOUT": "0.3",
        "GATEWAY_MAX_KEEP_ALIVE_REQUESTS": "3",
        "GATEWAY_MAX_CONCURRENT_QUERIES": "2",
    }
    own.start()
    yield own
    own.stop()


def _form(gateway: Gateway, fields: dict[str, bytes], file: bytes = b"", query: str = "") -> Answer:
    lines = [
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    if file:
        head = b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n%s\r\n'
        lines.append(head % file)
    body = b"".join(lines) + b"--x--\r\n"
    headers = _HEAD | {"Content-Type": "multipart/form-data; boundary=x"}
    return send(gateway, "POST", f"/?{query}", body, headers)


def test_limits_are_those_of_the_engine_when_nobody_set_them(client: Client) -> None:
    sql = (
        "SELECT name, default FROM system.settings UNION ALL"
        " SELECT name, default FROM system.server_settings"
    )
    of_engine = {str(name): str(value) for name, value in client.query(sql).result_rows}
    of_engine |= _OTHERWISE

    for name, field in Settings.model_fields.items():
        if name.startswith(("http_", "keep_alive", "max_")):
            assert float(of_engine[name]) == field.default, name
    assert client.command("SELECT version()") == VERSION


@pytest.mark.parametrize("size", [_FIELD, _FIELD + 1])
def test_field_is_refused_with_1000_when_it_is_a_byte_too_long(gateway: Gateway, size: int) -> None:
    in_form = _form(gateway, {"query": b"SELECT length({a:String})", "param_a": b"x" * size})
    path = "/?" + urlencode({"query": "SELECT length({a:String})", "param_a": "x" * size})
    in_url = send(gateway, "POST", path, b"", _HEAD)

    for answer in (in_form, in_url):
        if size == _FIELD:
            assert (answer.status, answer.body) == (200, b"131072\n")
        else:
            assert (answer.status, answer.code, answer.body) == (500, "1000", _TOO_LONG)


def test_field_is_measured_as_it_is_sent_when_it_is_in_the_url(low: Gateway) -> None:
    encoded = "%20" * 334  # 334 blanks, 1002 bytes

    assert send(low, "POST", f"/?param_a={encoded}", b"SELECT 1", _HEAD).body.startswith(b"Poco::")
    assert _form(low, {"query": b"SELECT 1", "param_a": b" " * 334}).status == 200


def test_driver_raises_1000_when_a_question_has_a_long_list(client: Client) -> None:
    ids = [f"{number:064}" for number in range(2_000)]

    with pytest.raises(DatabaseError) as refused:
        client.query("SELECT 'x' IN {ids:Array(String)}", parameters={"ids": ids})

    assert refused.value.code == 1000


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"query": b"SELECT 1", "param_" + "a" * 95: b"1"}, b"Field name too long"),
        ({"query": b"SELECT 1"} | {f"param_{i}": b"1" for i in range(20)}, b"Too many form fields"),
    ],
)
def test_form_is_refused_when_a_name_is_long_or_fields_are_many(
    low: Gateway, fields: dict[str, bytes], says: bytes
) -> None:
    of_url = "/?" + urlencode(fields)

    for answer in (_form(low, fields), send(low, "POST", of_url, b"SELECT 1", _HEAD)):
        assert (answer.status, answer.code) == (500, "1000")
        assert says in answer.body


def test_form_is_refused_when_it_brings_too_much_data(low: Gateway) -> None:
    query = urlencode({"t_structure": "a UInt64"})
    fields = {"query": b"SELECT count() FROM t"}

    assert _form(low, fields, b"1\n" * 2_000, query).body == b"2000\n"
    assert _form(low, fields, b"1\n" * 3_000, query).code == "290"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/?param_a=" + "x" * 4_000, {}),
        ("/", {"X-Long": "x" * 1_001}),
        ("/", {"X-" + "a" * 100: "1"}),
        ("/", {f"X-{i}": "1" for i in range(20)}),
        ("/", {f"X-{i}": "x" * 900 for i in range(4)}),
    ],
)
def test_request_is_a_400_without_a_code_when_its_head_is_too_large(
    low: Gateway, path: str, headers: dict[str, str]
) -> None:
    answer = send(low, "POST", path, b"SELECT 1", _HEAD | headers)

    assert (answer.status, answer.code) == (400, None)
    assert "Keep-Alive" not in answer.headers


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT '" + "x" * 262_140 + "'", "62"),
        ("SELECT " + "n," * 51_000 + "n FROM (SELECT 1 AS n)", "168"),
        ("SELECT " + "(" * 2_000 + "1" + ")" * 2_000, "306"),
    ],
)
def test_statement_is_refused_when_it_is_long_or_deep(
    gateway: Gateway, sql: str, code: str
) -> None:
    assert ask(gateway, sql).code == code


def test_post_is_refused_with_411_when_nobody_says_how_long_it_is(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"POST /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = connection.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"X-ClickHouse-Exception-Code: 381\r\n" in answer


def _kept(gateway: Gateway) -> tuple[http.client.HTTPConnection, Callable[[], bytes]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)

    def ask_once() -> bytes:
        connection.request("POST", "/", b"SELECT 1", _HEAD)
        return connection.getresponse().read()

    return connection, ask_once


def test_connection_is_closed_when_it_was_idle_for_its_time(low: Gateway) -> None:
    connection, ask_once = _kept(low)
    assert ask_once() == b"1\n"

    assert connection.sock.recv(1) == b""  # the server closes it, after 0.3 s
    connection.close()


def test_connection_is_closed_when_it_has_had_its_requests(low: Gateway) -> None:
    connection, ask_once = _kept(low)

    assert [ask_once() for _ in range(3)] == [b"1\n"] * 3
    assert connection.sock is None  # the last answer said Connection: close


def test_third_statement_is_refused_with_202_when_two_may_run(low: Gateway) -> None:
    slow = "SELECT sleep(1.5)"
    connections = [http.client.HTTPConnection("127.0.0.1", low.port, timeout=20) for _ in range(2)]
    for connection in connections:
        connection.request("POST", "/", slow, _HEAD)
    answers = {ask(low, "SELECT 1").code for _ in range(5)}
    looked = ask(low, "SELECT count() FROM system.processes WHERE query LIKE '%sleep(%'")
    killed = ask(low, "KILL QUERY WHERE query_id = 'nobody'")
    for connection in connections:
        assert connection.getresponse().status == 200
        connection.close()

    assert answers == {"202"}
    assert (looked.status, killed.status) == (200, 200)  # these are never too many


def test_answer_tells_how_long_its_connection_is_kept(gateway: Gateway) -> None:
    assert ask(gateway, "SELECT 1").headers["Keep-Alive"] == "timeout=30, max=10000"
