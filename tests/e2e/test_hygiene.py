"""Planted words, in every place that a request has: none of them in a log, a metric, a record."""

import gzip
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from libs.access.api_keys import Mode, generate_key
from tests.e2e.asking import bearer, message
from tests.e2e.canaries import leaks, places_of
from tests.e2e.stack import Project, Stack

pytestmark = pytest.mark.e2e

_ADDRESSES = ["203.0.113.177", "198.51.100.177", "2001:db8:77::177"]
_AGENT = "Mozilla/5.0 (canary-agent; iPad) Mobile/15E148"
_UNKNOWN_KEY = generate_key(Mode.LIVE)
_MALFORMED_KEY = "rt_live_canary-malformed"
_WORDS = [
    *_ADDRESSES,
    "canary-",
    _UNKNOWN_KEY,
    _UNKNOWN_KEY.removeprefix("rt_live_"),
    _MALFORMED_KEY,
]


def _planted_headers(key: str) -> dict[str, str]:
    first, second, third = _ADDRESSES
    return {
        **bearer(key),
        "User-Agent": _AGENT,
        "X-Forwarded-For": f"{first}, {second}",
        "Forwarded": f'for="[{third}]"',
        "X-Real-IP": first,
        "X-Request-Id": "canary-id {with: blanks}",
        "X-Api-Key": "canary-key",
        "Cookie": "session=canary-cookie",
        "Referer": "https://canary-referer.example/",
        "Origin": "https://canary-origin.example",
    }


def _bodies() -> list[bytes]:
    context = {"ip": _ADDRESSES[0], "userAgent": _AGENT, "note": "canary-note"}
    good = message("good", context=context, note="canary-unknown-field")
    return [
        json.dumps([good, "canary-text", {"type": "canary-type"}]).encode(),
        json.dumps(good | {"role": "canary-role", "sessionId": "canary-session"}).encode(),
        json.dumps(good | {"live": "canary-live", "id": "canary id"}).encode(),
        b'{"canary-broken": "canary-\xff',
        b"canary-no-json",
        gzip.compress(b"canary-packed"),
    ]


def _send_events(stack: Stack, project: Project, key: str) -> None:
    url, http = stack.events_url(project.id), stack.http
    headers = _planted_headers(key) | {"Content-Type": "application/json"}
    for body in _bodies():
        http.post(url, content=body, headers=headers)
    for more in (
        {"Content-Type": "text/canary-type"},
        {"Content-Encoding": "canary-encoding"},
        {"Content-Encoding": "gzip"},
        {"Idempotency-Key": "canary-idempotency"},
        {"Idempotency-Key": "canary-idempotency" * 50},
    ):
        http.post(url, content=_bodies()[0], headers=headers | more)


def _ask(stack: Stack, project: Project, key: str) -> None:
    url, http, headers = stack.analytics_url(project.id), stack.http, _planted_headers(key)
    for query in (
        "deviceId=canary-device",
        f"from=canary-{quote(chr(10))}day&token={key}",
        "category=canary-category",
        "live=canary-live",
    ):
        http.get(f"{url}?{query}", headers=headers)
    for method in ("HEAD", "OPTIONS", "DELETE"):
        http.request(method, f"{url}?live=canary-live", headers=headers)


def _ask_elsewhere(stack: Stack, project: Project, key: str) -> None:
    for service in ("ingest", "query"):
        base = stack.services[service].url
        headers = _planted_headers(key)
        stack.http.get(f"{base}/canary-path/{project.id}?key={key}", headers=headers)
        stack.http.get(f"{base}/api/v1/projects/canary-project/analytics", headers=headers)
        stack.http.post(f"{base}/api/v1/projects/canary-project/events", headers=headers)
        stack.http.get(f"{base}/api/v1", auth=httpx.BasicAuth("canary-user", key))


def _send_no_http(stack: Stack, _project: Project, key: str) -> None:
    for service in ("ingest", "query"):
        for sent in (
            f"CANARY-METHOD /canary-path HTTP/1.1\r\nX: {key}\r\n\r\n",
            f"GET /canary-\xe9 HTTP/1.1\r\nAuthorization: {key}\r\n\r\n",
            f"GET / HTTP/1.1\r\nX: canary-header {key}\r\nX-{'canary-long' * 60_000}",
        ):
            address = ("127.0.0.1", stack.services[service].port)
            with socket.create_connection(address, timeout=10) as connection:
                try:
                    connection.sendall(sent.encode("latin-1"))
                    connection.recv(65_536)
                except ConnectionError:
                    pass  # it was cut off, as it should be


@pytest.fixture(scope="module")
def planted(stack: Stack, project: Project) -> list[str]:
    """All planted words, after they were sent in every way."""
    ways: list[Callable[[Stack, Project, str], None]] = [
        _send_events,
        _ask,
        _ask_elsewhere,
        _send_no_http,
    ]
    for key in (project.live_key, project.test_key, _UNKNOWN_KEY, _MALFORMED_KEY):
        for way in ways:
            way(stack, project, key)
    stack.wait_until_counted()
    return [*_WORDS, project.live_key, project.test_key]


def test_no_planted_word_is_anywhere_when_it_was_sent_in_every_way(
    stack: Stack, planted: list[str]
) -> None:
    places = places_of(stack)

    assert "request.answered" in places["log of ingest"]
    assert "ragtime_requests_total" in places["metrics of query"]
    assert "chat.message" in places["topics"]
    assert leaks(places, planted) == []


def test_each_event_of_the_log_is_one_line_when_fields_hold_anything(
    stack: Stack, planted: list[str]
) -> None:
    assert planted
    for service in stack.services.values():
        for line in service.log.read_text("utf-8").splitlines():
            read: dict[str, Any] = json.loads(line)
            assert {"event", "service", "level", "timestamp"} <= read.keys()


@pytest.mark.parametrize(
    "word",
    ["sparrow-on-purpose", "192.0.2.199", generate_key(Mode.LIVE)],
    ids=["word", "address", "key"],
)
def test_search_fails_when_a_word_is_planted_on_purpose(
    stack: Stack, project: Project, word: str
) -> None:
    """What would be wrong is done: a word is logged, counted by, and published."""
    line = {"event": "leak", "service": "query", "level": "info", "timestamp": "2026-03-25"}
    # It stays in the log, as all that a service writes: no other test looks for this word.
    with stack.services["query"].log.open("a") as leaky:
        leaky.write(json.dumps(line | {"field": f"<{word.upper()}>"}) + "\n")
    stack.topics.write([f'{{"id": "{word}", "project_id": "{project.id}"}}'.encode()])
    places = places_of(stack)
    places["metrics of ingest"] += f'leak_total{{label="{word}"}} 1.0\n'

    found = {place for place, _ in leaks(places, [word])}
    assert found == {"log of query", "metrics of ingest", "topics"}
