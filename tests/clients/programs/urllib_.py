"""Python's urllib: a connection a request, JSON, gzip and query strings by hand."""

import json
from collections.abc import Iterator
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.clients.programs.commands import Answer, Command, obey


def _body(command: Command) -> bytes | Iterator[bytes] | None:
    if command.event is not None:
        return json.dumps(command.event).encode()
    return command.body_by_hand()


def _send(command: Command) -> Answer:
    headers = command.headers_by_hand()
    headers |= {"Content-Type": "application/json"} if command.event is not None else {}
    url = f"{command.url}?{urlencode(command.query)}" if command.query else command.url
    request = Request(url, _body(command), headers, method=command.method)  # noqa: S310 - http
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310 - http
            return _told(answer)
    except HTTPError as refusal:
        with refusal:
            return _told(refusal)


def _told(answer: HTTPResponse | HTTPError) -> Answer:
    return Answer(answer.status or 0, dict(answer.headers), json.load(answer))


obey(_send)
