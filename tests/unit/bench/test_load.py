"""What the benchmarks send: no id twice, and requests that say their length."""

import json
from itertools import islice
from urllib.parse import urlsplit

import pytest

from tests.bench.load import requests_of

_URL = urlsplit("http://127.0.0.1:8081/api/v1/projects/museum/events")


@pytest.mark.parametrize("a_request", [1, 500])
def test_ids_are_new_when_requests_come_again(a_request: int) -> None:
    number = 2 * 20_000 // a_request + 1  # all that are prepared, twice, and one
    ids: list[str] = []
    for request in islice(requests_of(_URL, "key", a_request, seed=1, as_rows=False), number):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        events = json.loads(body)
        ids += [event["id"] for event in (events if a_request > 1 else [events])]
    assert len(set(ids)) == len(ids) == number * a_request
