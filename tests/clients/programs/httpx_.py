"""Python's httpx."""

import gzip
from collections.abc import Iterator

import httpx

from tests.clients.programs.commands import Answer, Command, obey

_client = httpx.Client(timeout=60)


def _body(command: Command) -> bytes | Iterator[bytes] | None:
    if command.gzip:
        return gzip.compress(command.body)
    return command.parts() if command.chunked else command.body or None


def _send(command: Command) -> Answer:
    headers = command.headers | ({"Content-Encoding": "gzip"} if command.gzip else {})
    headers |= {"Expect": "100-continue"} if command.expect else {}
    answer = _client.request(
        command.method,
        command.url,
        params=command.query,
        headers=headers,
        json=command.event,
        content=_body(command),
    )
    return Answer(answer.status_code, dict(answer.headers), answer.json())


obey(_send)
