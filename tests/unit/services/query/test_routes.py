"""The endpoint, over HTTP in this process, with a fake ClickHouse."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from pydantic import SecretStr

from libs.access.api_keys import Mode, Scope, generate_key
from libs.telemetry.metrics import RATE_LIMITED
from services.query import routes
from services.query.settings import KeyLimitSettings
from tests.fakes import Row
from tests.polling import until
from tests.unit.services.query.conftest import PATH, PROJECT, Service, bearer

DAY = date(2026, 3, 25)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RATE_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def limits(answer: httpx.Response) -> tuple[int, int]:
    """The limit and what remains; the reset lies within the next minute."""
    limit, remaining, reset = (int(answer.headers[name]) for name in RATE_HEADERS)
    assert 0 <= reset - time.time() <= 61
    return limit, remaining


async def test_answer_is_the_documented_one_when_asked_like_the_documentation(
    service: Service,
) -> None:
    token = service.add_key()
    service.clickhouse.rows["FROM daily_counts"] = [
        (date(2026, 3, 24), "usage", "public", True, 129),
        (DAY, "usage", "logged_in", True, 38),
        (DAY, "usage", "public", True, 142),
    ]
    async with service.run() as http:
        answer = await http.get(
            f"{PATH}?from=2026-03-01&to=2026-03-25&category=usage", headers=bearer(token)
        )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert limits(answer) == (5, 4)
    assert answer.json() == {
        "projectId": PROJECT,
        "range": {"from": "2026-03-01", "to": "2026-03-25"},
        "category": "usage",
        "liveOnly": True,
        "stats": [
            {
                "date": "2026-03-25",
                "category": "usage",
                "key": "public",
                "value": 142,
                "isLive": True,
            },
            {
                "date": "2026-03-25",
                "category": "usage",
                "key": "logged_in",
                "value": 38,
                "isLive": True,
            },
            {
                "date": "2026-03-24",
                "category": "usage",
                "key": "public",
                "value": 129,
                "isLive": True,
            },
        ],
        "sources": [],
    }


async def test_names_are_fetched_when_sources_are_in_the_answer(service: Service) -> None:
    token = service.add_key()
    service.clickhouse.rows["last_name"] = [("src-1", "Visitor guide")]
    service.clickhouse.rows["FROM daily_counts"] = [
        (DAY, "source", "src-1", True, 2),
        (DAY, "source", "src-2", True, 1),
    ]
    async with service.run() as http:
        answer = await http.get(PATH, headers=bearer(token))
    assert answer.json()["sources"] == [
        {"id": "src-1", "name": "Visitor guide"},
        {"id": "src-2", "name": "src-2"},
    ]
    assert answer.json()["category"] == "all"


async def test_names_are_not_fetched_when_no_source_is_in_the_answer(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        answer = await http.get(f"{PATH}?category=source", headers=bearer(token))
    assert (answer.json()["stats"], answer.json()["sources"]) == ([], [])
    assert not service.clickhouse.parameters_of("last_name")


async def test_today_is_the_day_of_the_clock_when_no_day_is_given(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        service.clock.now = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
        answer = await http.get(PATH, headers=bearer(token))
    assert answer.json()["range"] == {"from": "2026-03-01", "to": "2026-03-31"}


async def test_device_is_read_from_raw_events_when_given(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        answer = await http.get(f"{PATH}?deviceId=lobby-kiosk&live=FALSE", headers=bearer(token))
    assert answer.json()["liveOnly"] is False
    [parameters] = service.clickhouse.parameters_of("FROM events")
    assert parameters["device_id"] == "lobby-kiosk"
    assert parameters["modes"] == [True, False]
    assert not service.clickhouse.parameters_of("FROM daily_counts")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": ""}, "invalid_key"),
        ({"Authorization": "Basic cnQ6bGl2ZQ=="}, "invalid_key"),
        ({"Authorization": "Bearer"}, "invalid_key"),
        (bearer("rt_live_nonsense"), "invalid_key"),
        (bearer(generate_key(Mode.LIVE)), "invalid_key"),
    ],
)
async def test_caller_is_refused_when_no_valid_key_is_shown(
    service: Service, headers: dict[str, str], code: str
) -> None:
    async with service.run() as http:
        answer = await http.get(f"{PATH}?from=nonsense", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert limits(answer) == (3, 2)


async def test_refusal_tells_nothing_when_key_is_unknown_revoked_or_expired(
    service: Service,
) -> None:
    tokens = [
        generate_key(Mode.LIVE),
        service.add_key(revoked_at=LONG_AGO),
        service.add_key(expires_at=LONG_AGO),
    ]
    async with service.run() as http:
        same_id = {"X-Request-Id": "r-1"}
        bodies = {
            (await http.get(PATH, headers=bearer(token) | same_id)).content for token in tokens
        }
    assert len(bodies) == 1


async def test_key_is_dead_when_it_was_revoked_meanwhile(service: Service) -> None:
    token = service.add_key(id="key_1", rate_per_minute=1000)
    async with service.run() as http:
        assert (await http.get(PATH, headers=bearer(token))).status_code == 200
        service.change_key(0, revoked_at=LONG_AGO)
        await service.keys_are_read()
        assert (await http.get(PATH, headers=bearer(token))).status_code == 401


@pytest.mark.parametrize(
    ("project", "fields"),
    [
        ("elsewhere", {}),
        ("m%C3%BCseum%00", {}),
        (PROJECT, {"scopes": frozenset({Scope.EVENTS_WRITE})}),
        (PROJECT, {"scopes": frozenset[Scope]()}),
        ("elsewhere", {"scopes": frozenset({Scope.EVENTS_WRITE})}),
    ],
)
async def test_key_is_refused_when_project_or_scope_is_not_its_own(
    service: Service, project: str, fields: dict[str, Any]
) -> None:
    token = service.add_key(**fields)
    async with service.run() as http:
        answer = await http.get(
            f"/api/v1/projects/{project}/analytics?live=maybe", headers=bearer(token)
        )
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert limits(answer) == (5, 4)


async def test_bad_parameter_is_a_problem_and_counts_when_key_is_valid(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        headers = bearer(token) | {"X-Request-Id": "r-1"}
        answer = await http.get(f"{PATH}?from=2026-02-30", headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid_date",
        "detail": "from must be a real date written YYYY-MM-DD.",
        "requestId": "r-1",
    }
    assert limits(answer) == (5, 4)


async def test_key_is_limited_when_its_rate_is_used_up_by_any_answer(service: Service) -> None:
    token, other = service.add_key(), service.add_key(rate_per_minute=2)
    queries = ["", "?live=maybe", "", "?from=x", "?category=rag", "", "?live=maybe"]
    async with service.run() as http:
        answers = [await http.get(PATH + query, headers=bearer(token)) for query in queries]
        others = [await http.get(PATH, headers=bearer(other)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 400, 200, 429, 429]
    assert [limits(answer)[1] for answer in answers] == [4, 3, 2, 1, 0, 0, 0]
    assert [answer.status_code for answer in others] == [200, 200, 429]
    assert limits(others[-1]) == (2, 0)
    refusal = answers[-1]
    assert refusal.json()["code"] == "rate_limited"
    assert int(refusal.headers["retry-after"]) >= 1
    assert time.time() + int(refusal.headers["retry-after"]) >= int(
        refusal.headers["x-ratelimit-reset"]
    )
    assert "retry-after" not in answers[0].headers


async def test_foreign_key_is_limited_when_it_asks_too_often(service: Service) -> None:
    token = service.add_key(project_id="elsewhere")
    async with service.run() as http:
        statuses = [(await http.get(PATH, headers=bearer(token))).status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]


async def test_address_is_limited_when_it_shows_no_key(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        answers = [await http.get(PATH) for _ in range(4)]
        spoofed = await http.get(PATH, headers={"X-Forwarded-For": "203.0.113.1"})
        with_key = await http.get(PATH, headers=bearer(token))
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert limits(answers[-1]) == (3, 0)
    assert spoofed.status_code == 429
    assert with_key.status_code == 200


async def test_limit_that_was_met_is_counted_by_its_kind(service: Service) -> None:
    token = service.add_key()

    def counted() -> list[float]:
        return [RATE_LIMITED.labels(limit)._value.get() for limit in ("key", "address", "events")]

    before = counted()
    async with service.run() as http:
        for _ in range(5 + 2):
            await http.get(PATH, headers=bearer(token))
        for _ in range(3 + 1):
            await http.get(PATH)
    met = [after - old for after, old in zip(counted(), before, strict=True)]
    assert met == [2, 1, 0]


async def test_addresses_are_told_apart_when_a_trusted_proxy_names_them(service: Service) -> None:
    service.settings = service.settings.model_copy(
        update={"trusted_proxies": (ip_network("10.0.0.0/8"),)}
    )
    async with service.run(peer="10.0.0.1") as http:
        statuses = [
            (await http.get(PATH, headers={"X-Forwarded-For": address})).status_code
            for address in ["203.0.113.1"] * 4 + ["203.0.113.2"]
        ]
    assert statuses == [401, 401, 401, 429, 401]


async def test_addresses_are_one_when_they_are_of_one_ipv6_network(service: Service) -> None:
    service.settings = service.settings.model_copy(
        update={"trusted_proxies": (ip_network("10.0.0.0/8"),)}
    )
    network = [f"2001:db8:0:1::{number}" for number in range(4)]
    async with service.run(peer="10.0.0.1") as http:
        statuses = [
            (await http.get(PATH, headers={"X-Forwarded-For": address})).status_code
            for address in [*network, "2001:db8:0:2::1"]
        ]
    assert statuses == [401, 401, 401, 429, 401]


async def test_key_has_all_its_quota_when_others_failed_to_guess_it(service: Service) -> None:
    token = service.add_key()
    guesses = [
        generate_key(Mode.LIVE),
        token[:-1] + ("0" if token[-1] != "0" else "1"),
        service.add_key(revoked_at=LONG_AGO),
    ]
    async with service.run() as http:
        for guess in guesses * 3:
            assert (await http.get(PATH, headers=bearer(guess))).status_code in {401, 429}
        answer = await http.get(PATH, headers=bearer(token))
    assert limits(answer) == (5, 4)


async def test_rate_changes_without_a_new_minute_when_the_table_says_so(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        before = await http.get(PATH, headers=bearer(token))
        service.change_key(0, rate_per_minute=3)
        await service.keys_are_read()
        after = [await http.get(PATH, headers=bearer(token)) for _ in range(3)]
    assert limits(before) == (5, 4)
    assert [limits(answer) for answer in after] == [(3, 1), (3, 0), (3, 0)]
    assert [answer.status_code for answer in after] == [200, 200, 429]
    resets = {answer.headers["x-ratelimit-reset"] for answer in (before, *after)}
    assert len(resets) == 1


async def test_key_is_refused_when_the_clock_comes_to_its_end(service: Service) -> None:
    token = service.add_key(expires_at=service.clock.now + timedelta(seconds=1))
    async with service.run() as http:
        before = await http.get(PATH, headers=bearer(token))
        service.clock.now += timedelta(seconds=1)
        after = await http.get(PATH, headers=bearer(token))
    assert (before.status_code, after.status_code) == (200, 401)


async def test_limits_are_kept_in_memory_when_the_store_is_away(service: Service) -> None:
    service.settings = service.settings.model_copy(
        update={
            "rate_limit": KeyLimitSettings(
                per_key=5, store_url=SecretStr("valkey://:hidden@127.0.0.1:1/0")
            )
        }
    )
    token = service.add_key()
    async with service.run() as http:
        answers = [await http.get(PATH, headers=bearer(token)) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


@pytest.mark.parametrize(
    "failure",
    [
        OperationalError("connection refused"),
        DatabaseError("Code: 241. DB::Exception: (total) memory limit exceeded"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_answer_is_503_when_clickhouse_is_away(service: Service, failure: Exception) -> None:
    token = service.add_key()
    async with service.run() as http:
        service.clickhouse.failure = failure
        answer = await http.get(PATH, headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert limits(answer) == (5, 4)
    assert "memory" not in answer.text


async def test_answer_is_503_within_deadline_when_clickhouse_is_slow(service: Service) -> None:
    service.limit(timeout_s=0.2)
    token = service.add_key()
    async with service.run() as http, asyncio.timeout(5):
        service.clickhouse.hangs = True
        answer = await http.get(PATH, headers=bearer(token))
        service.clickhouse.hangs = False
    assert answer.status_code == 503


async def test_answer_is_503_within_one_deadline_when_the_second_statement_is_slow(
    service: Service,
) -> None:
    service.limit(timeout_s=0.2)
    token = service.add_key()
    service.clickhouse.rows["FROM daily_counts"] = [(DAY, "source", "src-1", True, 2)]
    service.clickhouse.slow = {"last_name": 0.15, "FROM daily_counts": 0.15}
    async with service.run() as http, asyncio.timeout(5):
        answer = await http.get(PATH, headers=bearer(token))
    assert answer.status_code == 503


@pytest.mark.parametrize("code", [158, 307, 396])
async def test_question_is_refused_when_its_answer_would_be_too_large(
    service: Service, code: int
) -> None:
    token = service.add_key()
    async with service.run() as http:
        text = f"Code: {code}. DB::Exception: Limit exceeded in FROM daily_counts"
        service.clickhouse.failure = DatabaseError(text)
        answer = await http.get(PATH, headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (400, "answer_too_large")
    assert limits(answer) == (5, 4)
    assert "daily_counts" not in answer.text


async def test_questions_wait_for_each_other_when_one_key_asks_many(service: Service) -> None:
    token = service.add_key(rate_per_minute=1000)
    service.limit(max_running=4, timeout_s=5)
    async with service.run() as http:
        service.clickhouse.slow = {"FROM daily_counts": 0.01}
        answers = await asyncio.gather(*(http.get(PATH, headers=bearer(token)) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert service.clickhouse.most_running == 2, "half of four"


async def test_question_ends_when_its_caller_goes_away(service: Service) -> None:
    token = service.add_key()
    leaving = asyncio.Event()
    async with service.run() as http, asyncio.timeout(5):
        service.clickhouse.slow = {"FROM daily_counts": 60}
        request = asyncio.create_task(service.ask_and_leave(token, leaving))
        await until(lambda: service.clickhouse.running == 1)
        leaving.set()
        await request
        await until(lambda: service.clickhouse.running == 0)
        text = (await http.get("/metrics")).text
    assert 'status="499"' in text


async def test_head_is_answered_like_get_when_asked(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        head = await http.head(PATH, headers=bearer(token))
        refused = await http.head(PATH)
    assert (head.status_code, limits(head)) == (200, (5, 4))
    assert (refused.status_code, limits(refused)) == (401, (3, 2))


async def test_options_tell_the_methods_and_count_nowhere(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        options = await http.options(PATH)
        answer = await http.get(PATH, headers=bearer(token))
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert limits(answer) == (5, 4)


async def test_bad_parameter_is_told_when_clickhouse_is_away(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        service.clickhouse.failure = OperationalError("away")
        answer = await http.get(f"{PATH}?live=maybe", headers=bearer(token))
    assert answer.status_code == 400


async def test_bug_is_a_500_problem_with_limits_when_something_unforeseen_happens(
    service: Service,
) -> None:
    token = service.add_key()
    async with service.run() as http:
        service.clickhouse.rows["FROM daily_counts"] = [("a row of another shape",)]
        answer = await http.get(PATH, headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert limits(answer) == (5, 4)


async def test_other_paths_are_problems_when_asked(service: Service) -> None:
    async with service.run() as http:
        nowhere = await http.get("/api/v1/projects/museum")
        with_slashes = await http.get(f"{PATH}//")
        posted = await http.post("/healthz/live")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (with_slashes.status_code, with_slashes.json()["code"]) == (404, "not_found")
    assert (posted.status_code, posted.json()["code"]) == (405, "method_not_allowed")
    assert not set(RATE_HEADERS) & {*nowhere.headers, *posted.headers}


async def test_trailing_slash_changes_nothing(service: Service) -> None:
    token = service.add_key()
    async with service.run() as http:
        answers = [await http.get(path, headers=bearer(token)) for path in (PATH, f"{PATH}/")]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "BREW"])
async def test_other_method_tells_the_limit_and_takes_nothing_of_it(
    service: Service, method: str
) -> None:
    token = service.add_key()
    async with service.run() as http:
        with_key = [await http.request(method, PATH, headers=bearer(token)) for _ in range(2)]
        without_key = [await http.request(method, PATH) for _ in range(2)]
        answer = await http.get(PATH, headers=bearer(token))
    assert [limits(one) for one in with_key] == [(5, 5)] * 2
    assert [limits(one) for one in without_key] == [(3, 3)] * 2
    assert limits(answer) == (5, 4)


@pytest.mark.parametrize(
    ("offered", "coding"),
    [("gzip, deflate, br", "gzip"), ("gzip, zstd", "zstd"), ("br", None), ("", None)],
)
async def test_answer_is_packed_when_that_is_offered_and_saves_something(
    service: Service, offered: str, coding: str | None
) -> None:
    token = service.add_key()
    head = bearer(token) | {"Accept-Encoding": offered}
    async with service.run() as http:
        small = await http.get(PATH, headers=head)
        service.clickhouse.rows["FROM daily_counts"] = _MANY
        large = await http.get(PATH, headers=head)
    assert (small.status_code, small.headers.get("content-encoding")) == (200, None)
    assert large.headers.get("content-encoding") == coding
    assert large.headers["vary"] == small.headers["vary"] == "Accept-Encoding"
    assert len(large.json()["stats"]) == len(_MANY)
    if coding is not None:
        assert int(large.headers["content-length"]) < len(large.content) / 3


async def test_device_is_refused_when_its_raw_events_are_gone(service: Service) -> None:
    token = service.add_key()
    service.clickhouse.rows["FROM retention"] = [(datetime(2026, 1, 1), 60)]  # noqa: DTZ001
    async with service.run() as http:
        await until(lambda: bool(service.clickhouse.parameters_of("FROM retention")))
        old = await http.get(f"{PATH}?deviceId=k&from=2026-01-01", headers=bearer(token))
        project = await http.get(f"{PATH}?from=2026-01-01", headers=bearer(token))
    assert (old.status_code, old.json()["code"]) == (400, "days_not_kept")
    assert "2026-01-26" in old.json()["detail"]
    assert project.status_code == 200


async def test_header_that_is_no_bearer_token_is_told_so(service: Service) -> None:
    async with service.run() as http:
        answer = await http.get(PATH, headers={"Authorization": "rt_live_nonsense"})
    assert "Bearer <API key>" in answer.json()["detail"]


_MANY: list[Row] = [
    (DAY, "action", f"action-{number}", True, number + 1) for number in range(6_000)
]


@pytest.mark.parametrize("knows_its_limits", [True, False])
async def test_answers_of_many_rows_are_made_one_after_the_other(
    service: Service, *, knows_its_limits: bool
) -> None:
    token = service.add_key(rate_per_minute=100)
    service.clickhouse.rows["FROM daily_counts"] = _MANY
    service.clickhouse.slow["FROM daily_counts"] = 0.01
    if not knows_its_limits:
        service.clickhouse.sent = {}
    async with service.run() as http, asyncio.timeout(20):
        ask = partial(http.get, f"{PATH}?to=2026-03-25", headers=bearer(token))
        answers = await asyncio.gather(*(ask() for _ in range(5)))

    assert {answer.status_code for answer in answers} == {200}
    assert {len(answer.json()["stats"]) for answer in answers} == {6_000}
    assert (service.clickhouse.most_running == 1) is not knows_its_limits


async def test_large_answer_waits_when_others_are_not_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_MAX_UNREAD_BYTES", 1)
    service.limit(timeout_s=2)
    token = service.add_key(rate_per_minute=100)
    service.clickhouse.rows["FROM daily_counts"] = _MANY[:4_000]
    async with service.run() as http:
        unread = asyncio.create_task(service.ask_and_stall(token))
        await until(lambda: bool(service.stalled))
        refused = await http.get(PATH, headers=bearer(token))
        service.stalled[0].set()
        await unread
        answer = await http.get(PATH, headers=bearer(token))

    assert (refused.status_code, answer.status_code) == (503, 200)
