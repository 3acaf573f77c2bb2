"""The one route over HTTP, without servers: every status, and what reaches the topic."""

import gzip
import json
import time
from typing import Any

import httpx
import msgspec
import pytest
from backports import zstd

from libs.access.api_keys import NO_LIMIT, Mode, Scope
from libs.access.key_snapshot import KeySnapshot
from libs.telemetry.logs import RequestLine
from libs.telemetry.metrics import RATE_LIMITED
from services.ingest.settings import BodySettings, WriteLimitSettings
from tests.golden_events import ACCEPTED_AT, PROJECT
from tests.unit.services.ingest.service import PATH, Service, service

_MESSAGE = {
    "id": "evt-1",
    "type": "chat.message",
    "sessionId": "ses-1",
    "conversationId": "con-1",
    "role": "user",
}
_BAD = {"type": "chat.message"}
_JSON = {"Content-Type": "application/json"}
_NDJSON = {"Content-Type": "application/x-ndjson"}


async def _post(
    running: Service, content: bytes | Any, headers: dict[str, str], path: str = PATH
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await running.http.post(path, content=body, headers=_JSON | headers)


def _problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert {"type", "title", "status", "code", "detail"} <= set(body)
    return response.status_code, body["code"]


def _published(running: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.kafka.lines]


@pytest.mark.parametrize(
    ("headers", "body", "accepted"),
    [
        (_JSON, json.dumps(_MESSAGE).encode(), 1),
        (
            _JSON | {"Content-Type": "APPLICATION/JSON; charset=utf-8"},
            b"[%s]" % json.dumps(_MESSAGE).encode(),
            1,
        ),
        (
            _NDJSON,
            b"%s\r\n\r\n%s\n" % (json.dumps(_MESSAGE).encode(), json.dumps(_MESSAGE).encode()),
            2,
        ),
        (
            _JSON | {"Content-Encoding": "gzip"},
            gzip.compress(json.dumps([_MESSAGE] * 3).encode()),
            3,
        ),
        (_NDJSON | {"Content-Encoding": "ZSTD"}, zstd.compress(json.dumps(_MESSAGE).encode()), 1),
        (_JSON, b"\xef\xbb\xbf%s" % json.dumps(_MESSAGE).encode(), 1),
        (_NDJSON, b"\xef\xbb\xbf%s\n" % json.dumps(_MESSAGE).encode(), 1),
        ({"Content-Encoding": "X-Gzip"}, gzip.compress(json.dumps(_MESSAGE).encode()), 1),
        ({"Content-Type": "application/ndjson"}, b"%s\n" % json.dumps(_MESSAGE).encode() * 2, 2),
        ({"Content-Type": "application/jsonl"}, b"%s\n" % json.dumps(_MESSAGE).encode() * 2, 2),
        ({"Content-Type": "application/vnd.museum+JSON"}, json.dumps([_MESSAGE] * 2).encode(), 2),
    ],
    ids=[
        *("object", "array", "ndjson", "gzip", "zstd", "byte order mark", "byte order mark, lines"),
        *("x-gzip", "application/ndjson", "application/jsonl", "another +json"),
    ],
)
async def test_events_are_accepted_in_every_form(
    headers: dict[str, str], body: bytes, accepted: int
) -> None:
    async with service() as running:
        response = await _post(running, body, running.keys.add() | headers)

    assert (response.status_code, response.json()) == (202, {"accepted": accepted, "rejected": []})
    assert [event["id"] for event in _published(running)] == ["evt-1"] * accepted


async def test_valid_events_are_accepted_beside_refused_ones() -> None:
    async with service() as running:
        response = await _post(running, [_MESSAGE, 7, _BAD], running.keys.add())

    assert response.status_code == 202
    body = response.json()
    assert body["accepted"] == 1
    assert [(r["index"], r["code"]) for r in body["rejected"]] == [
        (1, "not_an_object"),
        (2, "missing_field"),
    ]
    assert "`sessionId`" in body["rejected"][1]["message"]
    assert len(_published(running)) == 1


async def test_valid_events_are_accepted_beside_one_that_holds_half_a_surrogate_pair() -> None:
    whole, half = (json.dumps(_MESSAGE | {"sessionId": text}) for text in ("\U0001f600", "\ud83d"))
    async with service() as running:
        response = await _post(running, f"[{whole}, {half}]".encode(), running.keys.add())

    assert response.status_code == 202
    [rejection] = response.json()["rejected"]
    assert (rejection["index"], rejection["code"]) == (1, "invalid_json")
    assert "surrogate" in rejection["message"]
    assert [event["session_id"] for event in _published(running)] == ["\U0001f600"]


async def test_request_is_refused_when_not_one_event_is_valid() -> None:
    async with service() as running:
        response = await _post(running, [_BAD, 7], running.keys.add())

    assert _problem(response) == (400, "no_valid_event")
    assert [r["index"] for r in response.json()["rejected"]] == [0, 1]
    assert running.kafka.lines == []


@pytest.mark.parametrize(
    ("body", "headers", "problem"),
    [
        (b"", {}, (400, "empty_body")),
        (b"[]", {}, (400, "empty_body")),
        (b"[{}", {}, (400, "invalid_json")),
        (b"\0", {}, (400, "invalid_json")),
        (b"{}", {"Content-Encoding": "gzip"}, (400, "broken_compression")),
        (b"{}", {"Content-Encoding": "br"}, (415, "unsupported_content_encoding")),
        (b"{}", {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        (b"{}", {"Content-Type": "application/x+y"}, (415, "unsupported_media_type")),
        (b"{}", {"Content-Type": "text/x+json"}, (415, "unsupported_media_type")),
        (b"{}", {"Content-Encoding": "x-zstd"}, (415, "unsupported_content_encoding")),
        (b"{}", {"Content-Encoding": "xx-gzip"}, (415, "unsupported_content_encoding")),
        (b"\xef\xbb\xbf \n", {}, (400, "empty_body")),
        (b"{}", {"Content-Type": ""}, (415, "unsupported_media_type")),
        (b"{}", {"Idempotency-Key": ""}, (400, "invalid_idempotency_key")),
        (b"{}", {"Idempotency-Key": "k" * 256}, (400, "invalid_idempotency_key")),
        (b"[%s]" % b",".join([b"{}"] * 11), {}, (413, "too_many_events")),
        (b" " * 1025, {}, (413, "body_too_large")),
        (gzip.compress(b" " * 100_000), {"Content-Encoding": "gzip"}, (413, "body_too_large")),
    ],
)
async def test_request_is_refused_as_a_whole(
    body: bytes, headers: dict[str, str], problem: tuple[int, str]
) -> None:
    limits = BodySettings(max_body_bytes=1024, max_events=10)
    async with service(body=limits) as running:
        assert _problem(await _post(running, body, running.keys.add() | headers)) == problem

    assert running.kafka.lines == []


async def test_request_is_refused_when_its_body_is_nested_deep() -> None:
    async with service() as running:
        response = await _post(running, b"[" * 4_000_000, running.keys.add())

    assert _problem(response) == (400, "invalid_json")


async def test_caller_is_refused_when_the_key_is_none() -> None:
    async with service() as running:
        shown = running.keys.add()
        for headers in (
            {},
            {"Authorization": "Basic abc"},
            {"Authorization": shown["Authorization"][:-1] + "!"},
            running.keys.add(revoked_at=ACCEPTED_AT),
        ):
            response = await _post(running, _MESSAGE, headers)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            _problem(response)


async def test_caller_is_refused_when_the_key_is_for_something_else() -> None:
    async with service() as running:
        foreign = running.keys.add(project_id="other")
        reader = running.keys.add(scopes=frozenset({Scope.ANALYTICS_READ}))
        writer = running.keys.add()
        answers = [
            await _post(running, _MESSAGE, foreign),
            await _post(running, _MESSAGE, reader),
            await _post(running, _MESSAGE, writer, path="/api/v1/projects/nowhere/events"),
        ]

    assert [_problem(answer) for answer in answers] == [(403, "forbidden")] * 3
    assert len({answer.json()["detail"] for answer in answers}) == 1


async def test_request_is_unavailable_when_no_keys_are_known_yet() -> None:
    async with service() as running:
        shown = running.keys.add()
        running.keys.store.snapshot = KeySnapshot()
        response = await _post(running, _MESSAGE, shown)

    assert _problem(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1


async def test_no_request_is_one_too_many_when_no_keys_are_known_yet() -> None:
    async with service(rate_limit=WriteLimitSettings(per_address=3)) as running:
        shown = running.keys.add()
        read, running.keys.store.snapshot = running.keys.store.snapshot, KeySnapshot()
        answers = [await _post(running, _MESSAGE, shown) for _ in range(5)]
        running.keys.store.snapshot = read
        answers.append(await _post(running, _MESSAGE, shown))

    assert [answer.status_code for answer in answers] == [503] * 5 + [202]


async def test_many_requests_are_taken_when_the_key_may_read_once_a_minute() -> None:
    async with service() as running:
        shown = running.keys.add()
        answers = [await _post(running, _MESSAGE, shown) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {202}
    assert [limits(answer) for answer in answers] == [
        (120_000, left) for left in range(119_999, 119_994, -1)
    ]


def limits(answer: httpx.Response) -> tuple[int, int]:
    """What an answer tells of the limit, and of what is left."""
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining")
    limit, remaining = (int(answer.headers[name]) for name in names)
    return limit, remaining


async def test_events_are_taken_all_or_none_when_the_key_has_a_limit() -> None:
    async with service() as running:
        shown = running.keys.add(events_per_minute=10)
        before = RATE_LIMITED.labels("events")._value.get()
        answers = [await _post(running, [_MESSAGE] * number, shown) for number in (6, 5, 3, 1)]
        unlimited = await _post(
            running, [_MESSAGE] * 50, running.keys.add(events_per_minute=NO_LIMIT)
        )

    assert [answer.status_code for answer in answers] == [202, 429, 202, 429]
    assert [limits(answer) for answer in answers] == [(10, 4), (10, 3), (10, 0), (10, 0)]
    assert RATE_LIMITED.labels("events")._value.get() == before + 2
    assert unlimited.status_code == 202
    assert "X-RateLimit-Limit" not in unlimited.headers
    assert len(running.kafka.lines) == 6 + 3 + 50
    refused = answers[1]
    assert _problem(refused) == (429, "rate_limited")
    assert "of which 3 are left" in refused.json()["detail"]
    assert time.time() + int(refused.headers["Retry-After"]) >= int(
        refused.headers["X-RateLimit-Reset"]
    )


async def test_request_is_refused_for_good_when_it_is_larger_than_the_keys_limit() -> None:
    async with service() as running:
        shown = running.keys.add(events_per_minute=10)
        too_large = await _post(running, [_MESSAGE] * 11, shown)
        whole = await _post(running, [_MESSAGE] * 8, shown)

    assert _problem(too_large) == (413, "too_many_events")
    assert "10 events a minute" in too_large.json()["detail"]
    assert limits(too_large) == (10, 8)  # two begun KiB were read for it
    assert "Retry-After" not in too_large.headers
    assert whole.status_code == 202


async def test_address_is_limited_when_it_shows_no_valid_key() -> None:
    async with service(rate_limit=WriteLimitSettings(per_address=3)) as running:
        shown = running.keys.add()
        refused = [await _post(running, _MESSAGE, {}) for _ in range(5)]
        taken = await _post(running, _MESSAGE, shown)

    assert [answer.status_code for answer in refused] == [401, 401, 401, 429, 429]
    assert taken.status_code == 202
    assert limits(taken) == (120_000, 119_999)


@pytest.mark.parametrize("failure", ["is_refusing", "is_holding"])
async def test_request_is_unavailable_when_kafka_does_not_acknowledge(failure: str) -> None:
    async with service() as running:
        setattr(running.kafka, failure, True)
        response = await _post(running, _MESSAGE, running.keys.add())
        running.kafka.release()

    assert _problem(response) == (503, "unavailable")
    assert "Idempotency-Key" in response.json()["detail"]
    assert int(response.headers["Retry-After"]) >= 1


async def test_events_are_test_events_when_the_key_is_a_test_key() -> None:
    async with service() as running:
        response = await _post(
            running, [_MESSAGE, _MESSAGE | {"live": True}], running.keys.add(Mode.TEST)
        )

    assert [r["code"] for r in response.json()["rejected"]] == ["live_not_allowed"]
    assert [event["is_live"] for event in _published(running)] == [False]


async def _made_ids(*requests: tuple[str, list[Any]]) -> list[list[str]]:
    """The ids that reach the topic for each of these requests with its Idempotency-Key."""
    made = []
    async with service() as running:
        shown = running.keys.add()
        for key, events in requests:
            before = len(running.kafka.lines)
            await _post(running, events, shown | {"Idempotency-Key": key})
            made.append([event["id"] for event in _published(running)[before:]])
    assert all(len(id_) <= 64 for ids in made for id_ in ids)
    return made


_NAMELESS = {key: value for key, value in _MESSAGE.items() if key != "id"}
_ANOTHER = _NAMELESS | {"role": "assistant"}


async def test_ids_are_the_same_when_an_idempotency_key_is_repeated() -> None:
    events = [_NAMELESS, _MESSAGE, _NAMELESS, _ANOTHER]
    first, again, other = await _made_ids(("a", events), ("a", events), ("b", events))

    assert first == again
    assert first[1] == other[1] == "evt-1"
    assert len({*first, *other}) == 7


async def test_ids_are_the_same_when_the_refused_events_are_left_out() -> None:
    whole, rest = await _made_ids(
        ("a", [_BAD, _NAMELESS, 7, _ANOTHER, _NAMELESS]), ("a", [_NAMELESS, _ANOTHER, _NAMELESS])
    )

    assert whole == rest


async def test_ids_are_others_when_another_body_comes_under_the_same_idempotency_key() -> None:
    page, next_page = await _made_ids(("a", [_NAMELESS, _NAMELESS]), ("a", [_ANOTHER, _ANOTHER]))

    assert len({*page, *next_page}) == 4


async def test_ids_are_the_same_when_events_come_as_lines_or_in_an_array() -> None:
    line = json.dumps(_NAMELESS).encode()
    async with service() as running:
        shown = running.keys.add() | {"Idempotency-Key": "a"}
        await _post(running, b"[ %s ]" % line, shown)
        await _post(running, b" %s \r\n" % line, shown | _NDJSON)

    assert len({event["id"] for event in _published(running)}) == 1


async def test_answer_warns_of_descriptions_that_cannot_be_understood() -> None:
    events = [_MESSAGE, _MESSAGE | {"language": "?", "deviceId": ""}, 7]
    async with service() as running:
        response = await _post(running, events, running.keys.add())
        without = await _post(running, _MESSAGE, running.keys.add())

    body = response.json()
    assert (response.status_code, body["accepted"]) == (202, 2)
    assert [(one["index"], one["field"]) for one in body["warnings"]] == [
        (1, "language"),
        (1, "deviceId"),
    ]
    assert "X-RateLimit-Limit" in response.headers
    assert "warnings" not in without.json()


@pytest.mark.parametrize(
    ("header", "values", "code"),
    [
        ("Content-Type", ["application/json", "text/plain"], "unsupported_media_type"),
        ("Content-Encoding", ["gzip", "gzip"], "unsupported_content_encoding"),
    ],
)
async def test_request_is_refused_when_its_body_is_described_twice(
    header: str, values: list[str], code: str
) -> None:
    async with service() as running:
        others = (running.keys.add() | _JSON).items()
        headers = [(name, value) for name, value in others if name != header]
        headers += [(header, value) for value in values]
        body = gzip.compress(json.dumps(_MESSAGE).encode())
        response = await running.http.post(PATH, content=body, headers=headers)

    assert _problem(response) == (415, code)


async def test_request_is_refused_when_there_are_two_idempotency_keys() -> None:
    async with service() as running:
        headers = [
            *(_JSON | running.keys.add()).items(),
            ("Idempotency-Key", "a"),
            ("Idempotency-Key", "b"),
        ]
        response = await running.http.post(PATH, json=_MESSAGE, headers=headers)

    assert _problem(response) == (400, "invalid_idempotency_key")


async def test_country_and_device_are_the_callers_when_the_event_tells_nothing() -> None:
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148"
    async with service() as running:
        await _post(running, _MESSAGE, running.keys.add() | {"User-Agent": agent})

    [event] = _published(running)
    assert (event["country"], event["device_type"]) == ("US", "mobile")


@pytest.mark.parametrize(("trusted", "country"), [((), "US"), (("8.8.8.0/24",), "AT")])
async def test_forwarded_address_counts_when_the_proxy_is_trusted(
    trusted: tuple[str, ...], country: str
) -> None:
    async with service(trusted_proxies=trusted) as running:
        await _post(running, _MESSAGE, running.keys.add() | {"X-Forwarded-For": "194.232.104.150"})

    assert _published(running)[0]["country"] == country


_TELLS_ALL = {"context": {"country": "DE", "deviceType": "mobile"}}


@pytest.mark.parametrize(("trusted", "warnings"), [((), 1), (("8.8.8.0/24",), 0)])
@pytest.mark.parametrize("told", [{}, _TELLS_ALL], ids=["nothing", "its country"])
async def test_proxy_is_told_of_once_when_its_word_does_not_count(
    trusted: tuple[str, ...],
    warnings: int,
    told: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with service(trusted_proxies=trusted) as running:
        shown = running.keys.add()
        await _post(running, _MESSAGE | told, shown)
        for _ in range(3):
            await _post(running, _MESSAGE | told, shown | {"X-Forwarded-For": "194.232.104.150"})

    written = "".join(capsys.readouterr())
    assert written.count("proxy.not_trusted") == warnings
    assert "194.232.104.150" not in written


async def test_proxy_is_told_of_when_it_comes_after_many_requests_without_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.http.admission._LOOKS", 4)
    async with service() as running:
        shown = running.keys.add()
        for _ in range(9):
            await _post(running, _MESSAGE | _TELLS_ALL, shown)
        for _ in range(5):
            await _post(
                running, _MESSAGE | _TELLS_ALL, shown | {"X-Forwarded-For": "194.232.104.150"}
            )

    assert "".join(capsys.readouterr()).count("proxy.not_trusted") == 1


async def test_line_in_the_log_tells_whose_request_it_was_and_what_was_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[RequestLine] = []
    monkeypatch.setattr("libs.http.requests_log.log_request", lines.append)
    async with service() as running:
        good = running.keys.add()
        poor = running.keys.add(events_per_minute=1)
        await _post(running, _MESSAGE, good)
        await _post(running, [_MESSAGE, _BAD, _BAD], good)
        await _post(running, _BAD, good)
        await _post(running, [_MESSAGE, _MESSAGE], poor)
        await _post(running, _MESSAGE, poor, PATH.replace(PROJECT, "zoo"))
        await _post(running, _MESSAGE, {})

    unset = msgspec.UNSET
    assert [(line.status, line.key_id, line.code, line.rejected) for line in lines] == [
        (202, "key-0", unset, unset),
        (202, "key-0", unset, 2),
        (400, "key-0", "no_valid_event", 1),
        (413, "key-1", "too_many_events", unset),
        (403, "key-1", "forbidden", unset),
        (401, unset, "missing_key", unset),
    ]
    assert b"rejected" not in msgspec.json.encode(lines[0])


async def test_address_and_user_agent_reach_neither_topic_nor_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event = _MESSAGE | {"context": {"ip": "203.0.113.77", "userAgent": "canary-agent"}}
    async with service() as running:
        shown = running.keys.add()
        await _post(running, [event, event | {"id": " "}], shown | {"User-Agent": "canary-own"})

    written = b"\n".join(running.kafka.lines).decode() + "".join(capsys.readouterr())
    assert "203.0.113.77" not in written
    assert "8.8.8.8" not in written
    assert "canary" not in written
    assert shown["Authorization"] not in written


@pytest.mark.parametrize(
    ("method", "path", "problem"),
    [
        ("GET", PATH, (405, "method_not_allowed")),
        ("POST", "/nowhere", (404, "not_found")),
        ("POST", f"{PATH}//", (404, "not_found")),
        ("POST", f"{PATH}/", (401, "missing_key")),
        ("POST", "/healthz/live", (405, "method_not_allowed")),
    ],
)
async def test_path_or_method_is_refused_when_there_is_no_such_route(
    method: str, path: str, problem: tuple[int, str]
) -> None:
    async with service() as running:
        assert _problem(await running.http.request(method, path)) == problem


async def test_options_tell_the_method_when_asked_for_the_events() -> None:
    async with service() as running:
        options = await running.http.options(PATH)
        head = await running.http.head(PATH)

    assert (options.status_code, options.headers["Allow"]) == (204, "OPTIONS, POST")
    assert (head.status_code, head.headers["Allow"]) == (405, "OPTIONS, POST")


_DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        (b'"id": "first", "id": "evt-2"', None),
        (b'"type": "chat.message"', None),
        (b'"type": "chat.action"', "unknown_type"),
        (b'"live": 1', "invalid_field"),
        (b'"occurredAt": 1e999', "invalid_field"),
        (b'"sessionId": ' + b"9" * 5_000, "invalid_field"),
        (b'"unknown": NaN', "invalid_json"),
        (b'"unknown": ' + _DEEP, "invalid_json"),
        (b'"sessionId": "\xff"', "invalid_json"),
        (b'"sessionId": "%b"' % (b"s" * 1_000_000), "invalid_field"),
    ],
    ids=[
        "id twice",
        "type again",
        "other type",
        "number",
        "infinite",
        "long",
        "nan",
        "deep",
        "bytes",
        "text",
    ],
)
async def test_event_has_a_verdict_when_its_json_is_odd(odd: bytes, code: str | None) -> None:
    body = json.dumps(_MESSAGE).encode().removesuffix(b"}") + b", " + odd + b"}"
    async with service() as running:
        response = await _post(running, body, running.keys.add() | _NDJSON)

    if code is None:
        assert response.status_code == 202
        assert _published(running)[0]["id"] in {"evt-1", "evt-2"}
    else:
        assert [rejection["code"] for rejection in response.json()["rejected"]] == [code]


async def test_service_is_ready_when_it_has_keys_and_kafka() -> None:
    async with service() as running:
        waiting = await running.http.get("/healthz/ready")
        running.keys.add()
        ready = await running.http.get("/healthz/ready")
        live = await running.http.get("/healthz/live")

    checks = {"kafka": True, "keys": False, "running": True}
    assert (waiting.status_code, waiting.json()["checks"]) == (503, checks)
    assert (ready.status_code, live.status_code) == (200, 200)


async def test_metrics_count_what_was_accepted_and_refused() -> None:
    async with service() as running:
        await _post(running, [_MESSAGE, _BAD], running.keys.add())
        text = (await running.http.get("/metrics")).text

    assert 'ragtime_events_accepted_total{type="chat.message"}' in text
    assert 'ragtime_events_rejected_total{code="missing_field"}' in text
    assert 'route="/api/v1/projects/{projectId}/events"' in text
