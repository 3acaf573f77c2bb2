"""What a key may write: what counts, how much at once, and that no key spends what others need."""

import gzip
import json
import random
import time
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from libs.access.api_keys import NO_LIMIT, ActiveKey, Mode, Scope
from libs.access.rate_limits import RateLimiter
from libs.http.problems import Problem
from services.ingest.bodies import Received
from services.ingest.quota import WriteQuota
from services.ingest.settings import BodySettings, WriteLimitSettings
from tests.clock import Clock
from tests.golden_events import PROJECT
from tests.unit.services.ingest.service import PATH, Service, service

_MESSAGE = {
    "type": "chat.message",
    "sessionId": "ses-1",
    "conversationId": "con-1",
    "role": "user",
}
_LIMIT = 1_000
_DEFAULT = 120_000


def key(limit: int | None = None) -> ActiveKey:
    return ActiveKey("key-1", PROJECT, Mode.LIVE, frozenset(Scope), events_per_minute=limit)


def request() -> Request:
    return Request({"type": "http", "headers": []})


async def refused_after(
    quota: WriteQuota, shown: ActiveKey, events: int, most: int = 1_000
) -> tuple[int, Problem]:
    """How many requests with so many events are taken at once, and what the next one is told."""
    limits = quota.limits_of(shown)
    for number in range(most):
        try:
            quota.check(request(), limits)
            await quota.take(request(), limits, events, Received(events * 100, events * 100))
        except Problem as problem:
            return number, problem
    raise AssertionError("all were taken")


async def test_minute_cannot_be_put_into_one_second() -> None:
    clock = Clock()
    quota = WriteQuota(RateLimiter(clock=clock), _DEFAULT, 10_000)
    taken = []
    for _ in range(12):
        number, problem = await refused_after(quota, key(), 10_000)
        assert (problem.status, problem.code) == (429, "rate_limited")
        taken.append(number)
        clock.now += 5
    assert taken == [1] * 11 + [0]  # each refusal has cost its 977 KiB
    number, _ = await refused_after(quota, key(), 12_000)
    assert number == 1


@pytest.mark.parametrize(
    ("limit", "largest", "burst"),
    [
        (120_000, 10_000, 12_000),
        (1_200_000, 10_000, 120_000),
        (60_000, 10_000, 10_000),
        (9_000, 10_000, 9_000),
        (500_000, 100_000, 100_000),
    ],
)
async def test_burst_is_a_tenth_of_the_minute_and_the_largest_request_at_least(
    limit: int, largest: int, burst: int
) -> None:
    quota = WriteQuota(RateLimiter(clock=Clock()), _DEFAULT, largest)
    number, _ = await refused_after(quota, key(limit), 1_000)
    assert number == burst / 1_000


@pytest.mark.parametrize(("default", "limit"), [(0, None), (_DEFAULT, NO_LIMIT), (0, NO_LIMIT)])
async def test_nothing_counts_when_there_is_no_limit(default: int, limit: int | None) -> None:
    limiter = RateLimiter(clock=Clock())
    quota, asked = WriteQuota(limiter, default, 10_000), request()
    for _ in range(100):
        await quota.take(asked, quota.limits_of(key(limit)), 10_000, Received())
        await quota.charge(asked, quota.limits_of(key(limit)), Received())
    assert not hasattr(asked.state, "rate_limit")
    assert len(limiter._keys) == 0


@pytest.mark.parametrize(
    ("events", "body_bytes", "units"),
    [(1, 100, 1), (1, 1_024, 1), (1, 1_025, 2), (10, 10_000, 10), (10, 20_000, 20), (1, 0, 1)],
)
async def test_event_counts_one_and_each_kib_too_where_that_is_more(
    events: int, body_bytes: int, units: int
) -> None:
    quota, asked = WriteQuota(RateLimiter(), _DEFAULT, 10_000), request()
    await quota.take(
        asked, quota.limits_of(key(_LIMIT)), events, Received(body_bytes // 2, body_bytes)
    )
    assert asked.state.rate_limit.remaining == _LIMIT - units


def _bomb() -> bytes:
    return gzip.compress(bytes(8 * 1024 * 1024))


def _incompressible(size_bytes: int) -> bytes:
    return random.Random(1).randbytes(size_bytes)


REFUSED = {
    "no JSON": (400, {}, b"[" + b"0" * 9_999, 10),
    "all events refused": (400, {}, json.dumps([{}] * 50).encode(), 50),
    "nothing": (400, {}, b" " * 5_000, 5),
    "no gzip": (400, {"Content-Encoding": "gzip"}, b"x" * 5_000, 5),
    "gzip cut off": (
        400,
        {"Content-Encoding": "gzip"},
        gzip.compress(_incompressible(50_000))[:30_000],
        30,
    ),
    "a bomb": (413, {"Content-Encoding": "gzip"}, _bomb(), 5 * 1024 + 256),
    "another media type": (415, {"Content-Type": "text/plain"}, b"x" * 5_000, 1),
    "another compression": (415, {"Content-Encoding": "br"}, b"x" * 5_000, 1),
    "two idempotency keys": (400, {"Idempotency-Key": ""}, b"{}", 1),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_refused_body_counts_by_what_was_read_of_it(kind: str) -> None:
    status, headers, body, least = REFUSED[kind]
    async with service() as running:
        shown = running.keys.add(events_per_minute=_DEFAULT)
        answer = await _post(running, body, shown | headers)
        after = await _post(running, json.dumps(_MESSAGE).encode(), shown)
    assert answer.status_code == status
    counted = _DEFAULT - int(answer.headers["X-RateLimit-Remaining"])
    assert least <= counted <= least + 256  # a step of unpacking goes beyond the limit
    assert "Retry-After" not in answer.headers
    assert int(after.headers["X-RateLimit-Remaining"]) == _DEFAULT - counted - 1


async def test_body_counts_when_its_caller_leaves_midway() -> None:
    async def receive() -> Message:
        if not sent:
            sent.append(b"x" * 50_000)
            return {"type": "http.request", "body": sent[0], "more_body": True}
        return {"type": "http.disconnect"}

    sent: list[bytes] = []
    async with service() as running:
        shown = running.keys.add(events_per_minute=_LIMIT)
        headers = [(name.lower().encode(), value.encode()) for name, value in shown.items()]
        headers.append((b"content-type", b"application/json"))
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
        await running.app(scope, receive, _nobody)
        after = await _post(running, json.dumps(_MESSAGE).encode(), shown)
    assert int(after.headers["X-RateLimit-Remaining"]) == _LIMIT - 49 - 1


async def _nobody(_message: Message) -> None:
    pass  # nobody is there


async def test_body_is_not_read_when_nothing_is_left() -> None:
    async with service() as running:
        shown = running.keys.add(events_per_minute=10)
        answers = [await _post(running, b"[" * 5_000, shown) for _ in range(4)]
        unread = await running.http.post(PATH, content=_never(), headers=shown)
    assert [answer.status_code for answer in answers] == [400, 400, 429, 429]
    assert unread.status_code == 429
    assert time.time() + int(unread.headers["Retry-After"]) >= int(
        unread.headers["X-RateLimit-Reset"]
    )


async def _never() -> Any:
    raise AssertionError("nobody reads it")
    yield b""


async def test_refusals_for_the_limit_count_too() -> None:
    async with service() as running:
        shown = running.keys.add(events_per_minute=100)
        body = json.dumps([_MESSAGE] * 90).encode()
        statuses = [(await _post(running, body, shown)).status_code for _ in range(4)]
        single = await _post(running, json.dumps(_MESSAGE).encode(), shown)
    assert statuses == [202, 429, 429, 429]
    assert single.status_code == 429


async def test_key_has_all_its_events_when_another_key_has_spent_its_own() -> None:
    async with service() as running:
        attacker, victim = (running.keys.add(events_per_minute=50) for _ in "AB")
        for _ in range(20):
            await _post(running, b"[" * 30_000, attacker)
        refused = await _post(running, json.dumps(_MESSAGE).encode(), attacker)
        taken = [await _post(running, json.dumps([_MESSAGE] * 25).encode(), victim) for _ in "12"]
    assert refused.status_code == 429
    assert [answer.status_code for answer in taken] == [202, 202]


async def test_requests_of_a_key_are_limited_whatever_they_bring() -> None:
    limits = WriteLimitSettings(requests_per_key=120)
    async with service(rate_limit=limits) as running:
        attacker, victim = running.keys.add(), running.keys.add()
        foreign = PATH.replace(PROJECT, "elsewhere")
        bodies = [(b"[", PATH), (b"{}", foreign), (json.dumps(_MESSAGE).encode(), PATH)] * 9
        statuses = [
            (await _post(running, body, attacker, path)).status_code for body, path in bodies
        ]
        taken = await _post(running, json.dumps(_MESSAGE).encode(), victim)
        refused = await _post(running, b"{}", attacker)
    assert statuses == [400, 403, 202] * 6 + [400, 403] + [429] * 7
    assert taken.status_code == 202
    assert refused.headers["X-RateLimit-Limit"] == "20"
    assert "20 requests in 10 s" in refused.json()["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 11


async def test_requests_are_taken_as_they_come_when_there_is_no_limit() -> None:
    async with service(rate_limit=WriteLimitSettings(requests_per_key=0)) as running:
        shown = running.keys.add(events_per_minute=NO_LIMIT)
        answers = [await _post(running, b"", shown) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {400}
    assert not any("X-RateLimit-Limit" in answer.headers for answer in answers)


async def test_largest_request_is_taken_by_default() -> None:
    largest = 64 * 1024 * 1024
    body = BodySettings(max_body_bytes=largest, max_held_bytes=2 * largest, max_events=100_000)
    async with service(body=body) as running:
        events = json.dumps([_MESSAGE] * 100_000).encode()
        answer = await _post(running, events, running.keys.add())
    assert answer.status_code == 202


async def _post(
    running: Service, content: bytes, headers: dict[str, str], path: str = PATH
) -> httpx.Response:
    given = {"Content-Type": "application/json"} | headers
    return await running.http.post(path, content=content, headers=given)
