"""Plain HTTP requests to the gateway, for what clickhouse-connect cannot be made to send."""

import http.client
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from tests.integration.gateway.process import ADMIN, Gateway, password_of


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        return self.headers.get("X-ClickHouse-Exception-Code")


def ask(
    gateway: Gateway,
    sql: str | bytes,
    *,
    user: str = ADMIN,
    headers: Mapping[str, str] | None = None,
    **parameters: str,
) -> Answer:
    """POST a statement, or the data of the one in `query`."""
    head = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password_of(user)}
    return send(gateway, "POST", f"/?{urlencode(parameters)}", sql, headers or head)


def send(
    gateway: Gateway, method: str, path: str, body: str | bytes, headers: Mapping[str, str]
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        data = body.encode() if isinstance(body, str) else body
        connection.request(method, path, data, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def begin(gateway: Gateway, body: bytes, length: int, **parameters: str) -> socket.socket:
    """Send the beginning of a request that claims `length` bytes; close it to cut it."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    head = (
        f"POST /?{urlencode(parameters)} HTTP/1.1\r\nHost: gateway\r\n"
        f"X-ClickHouse-User: {ADMIN}\r\nX-ClickHouse-Key: {password_of(ADMIN)}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection
