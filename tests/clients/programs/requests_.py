"""Python's requests."""

import gzip
from collections.abc import Iterator

import requests

from tests.clients.programs.commands import Answer, Command, obey

_session = requests.Session()


def _body(command: Command) -> bytes | Iterator[bytes] | None:
    if command.gzip:
        return gzip.compress(command.body)
    return command.parts() if command.chunked else command.body or None


def _send(command: Command) -> Answer:
    headers = command.headers | ({"Content-Encoding": "gzip"} if command.gzip else {})
    headers |= {"Expect": "100-continue"} if command.expect else {}
    answer = _session.request(
        command.method,
        command.url,
        params=command.query,
        headers=headers,
        json=command.event,
        data=_body(command),
        timeout=60,
    )
    return Answer(answer.status_code, dict(answer.headers), answer.json())


obey(_send)
