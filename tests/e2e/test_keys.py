"""Who may read and write what: keys as the command makes them, on both services."""

import http.client
import json
from typing import Any

import httpx
import pytest

from tests.e2e.asking import assert_problem, assert_rate_headers, bearer, message
from tests.e2e.stack import Project, Stack
from tests.e2e.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

HTTP_SERVICES = ("ingest", "query")
REVOKED_WITHIN_S = 5.0


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic dXNlcjpwYXNzd29yZA==",
        "Bearer rt_live_unknown",
        "Bearer rt_live_" + "a" * 49,
        "Bearer rt_live_" + "a" * 10_000,
        "rt_live_unknown",
    ],
)
@pytest.mark.parametrize("service", HTTP_SERVICES)
def test_request_is_refused_when_its_key_is_none(
    stack: Stack, project: Project, service: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    if service == "query":
        response = stack.http.get(stack.analytics_url(project.id), headers=headers)
        assert_rate_headers(response)
    else:
        response = stack.http.post(stack.events_url(project.id), json=message("x"), headers=headers)

    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_foreign_and_unknown_projects_are_refused_alike(stack: Stack, project: Project) -> None:
    (other,) = stack.new_projects(1)

    bodies = []
    for project_id in (other.id, "no-such-project", "%00", "a b", "x" * 5000, "a%3Fb"):
        response = stack.http.get(stack.analytics_url(project_id), headers=bearer(project.live_key))
        assert_problem(response, 403, "forbidden")
        assert_rate_headers(response)
        bodies.append(response.json() | {"requestId": ""})
        written = stack.http.post(
            stack.events_url(project_id), json=message("x"), headers=bearer(project.live_key)
        )
        assert_problem(written, 403, "forbidden")
    assert all(body == bodies[0] for body in bodies)


def test_key_without_the_scope_is_refused(stack: Stack, project: Project) -> None:
    reader = _new_key(stack, project, "--scope", "analytics:read")
    writer = _new_key(stack, project, "--scope", "events:write")

    written = stack.http.post(
        stack.events_url(project.id), json=message("x"), headers=bearer(reader["key"])
    )
    read = stack.http.get(stack.analytics_url(project.id), headers=bearer(writer["key"]))

    assert_problem(written, 403, "forbidden")
    assert_problem(read, 403, "forbidden")
    assert_rate_headers(read)


def test_log_tells_what_was_done_to_a_key_and_by_whom(stack: Stack, project: Project) -> None:
    key = _new_key(stack, project, "--scope", "analytics:read", "--rate", "7")
    stack.ragtime("keys", "set-rate", key["id"], "--events-per-minute", "unlimited")
    rotated = json.loads(stack.ragtime("keys", "rotate", key["id"], "--json"))
    for _ in range(2):  # the second does nothing
        stack.ragtime("keys", "revoke", key["id"])

    said = stack.ragtime("keys", "log", key["id"], "--json")
    log = json.loads(said)

    assert [(one["change"], one["detail"]) for one in log] == [
        ("created", "live, analytics:read, 7 requests"),
        ("rates", "7 requests, unlimited events"),
        ("rotated", "the old secret goes on for 24 h"),
        ("revoked", ""),
    ]
    assert {(one["id"], one["projectId"]) for one in log} == {(key["id"], project.id)}
    assert all(one["changedBy"] for one in log)
    assert key["key"] not in said
    assert rotated["key"] not in said
    assert key["id"] in stack.ragtime("keys", "log")


def test_activity_tells_what_became_of_a_keys_requests(stack: Stack, project: Project) -> None:
    key = _new_key(stack, project, "--scope", "events:write", "--label", "kiosk")
    stack.wait_until_key_works(project.id, key["key"])
    headers = {"Authorization": f"Bearer {key['key']}", "Content-Type": "application/json"}
    for body in ("[{}, {}]", "no json", "[]"):
        stack.http.post(stack.events_url(project.id), content=body, headers=headers)
    stack.http.get(stack.analytics_url(project.id), headers=headers)

    def activity() -> list[dict[str, Any]]:
        said = stack.ragtime("keys", "activity", "--project", project.id, "--json")
        return [one for one in json.loads(said) if one["id"] == key["id"]]

    # Each process writes once a minute.
    wait_until(lambda: any(one["rejectedEvents"] for one in activity()), "activity is told", 150)
    (told,) = activity()
    assert told["rejectedEvents"] >= 2
    assert (told["label"], told["projectId"]) == ("kiosk", project.id)
    assert told["refused"] >= 3
    assert told["requests"] >= told["refused"]
    assert key["key"] not in json.dumps(told)


def test_key_is_refused_within_5_s_when_it_was_revoked(stack: Stack, project: Project) -> None:
    key = _new_key(stack, project, "--scope", "analytics:read", "--scope", "events:write")
    stack.ragtime("keys", "revoke", key["id"])

    wait_until(
        lambda: not any(stack.knows_key(name, project.id, key["key"]) for name in HTTP_SERVICES),
        "query and ingest refuse the revoked key",
        timeout_s=REVOKED_WITHIN_S,
    )
    listed = {one["id"]: one for one in json.loads(stack.ragtime("keys", "list", "--json"))}
    assert listed[key["id"]]["revokedAt"]
    assert key["key"] not in stack.ragtime("keys", "list", "--json")


def test_request_is_refused_when_the_rate_of_its_key_is_used_up(
    stack: Stack, project: Project
) -> None:
    key = _new_key(stack, project, "--scope", "analytics:read", "--rate", "3")
    # Waiting for the key may have used some of it; refused questions count like all others.
    responses = [
        stack.http.get(
            stack.analytics_url(project.id), params={"live": "maybe"}, headers=bearer(key["key"])
        )
        for _ in range(4)
    ]

    for response in responses:
        assert_rate_headers(response)
        assert response.headers["X-RateLimit-Limit"] == "3"
    assert_problem(responses[-1], 429, "rate_limited")
    assert responses[-1].headers["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(responses[-1].headers["Retry-After"]) <= 61


def test_bytes_beyond_ascii_in_a_url_are_refused_at_the_keys_cost(
    stack: Stack, project: Project
) -> None:
    key = _new_key(stack, project, "--scope", "analytics:read", "--rate", "100")
    stack.wait_until_key_works(project.id, key["key"])
    path = stack.analytics_url(project.id).removeprefix(stack.services["query"].url)
    connection = http.client.HTTPConnection("127.0.0.1", stack.services["query"].port, timeout=30)
    statuses, left = [], []
    for target in (path, f"{path}?category=usag\xe9", f"{path}?category=usage"):
        # What `http.client` sends of a URL it writes as Latin-1 where it is let.
        connection._encode_request = lambda line: line.encode("latin-1")  # type: ignore[attr-defined]
        connection._validate_path = lambda _: None  # type: ignore[attr-defined]
        connection.request("GET", target, headers=bearer(key["key"]))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        left.append(int(answer.headers["X-RateLimit-Remaining"]))
        statuses.append(answer.status)
        if answer.status == 400:
            assert said["code"] == "invalid_http"
            assert "percent-encoded" in said["detail"]
    connection.close()

    assert statuses == [200, 400, 200]
    assert [left[0] - one for one in left] == [0, 1, 2]


def test_events_are_refused_when_the_limit_of_their_key_is_used_up(
    stack: Stack, project: Project
) -> None:
    key = _new_key(stack, project, "--scope", "events:write", "--events-per-minute", "12")

    # Waiting for the key took some, and of what is refused the KiB count.
    too_large = _send(stack, project, key["key"], 13)
    taken = _send(stack, project, key["key"], 5)
    refused = _send(stack, project, key["key"], 7)
    singles = [_send(stack, project, key["key"], 1) for _ in range(7)]

    assert_problem(too_large, 413, "too_many_events")
    assert taken.status_code == 202
    assert_problem(refused, 429, "rate_limited")
    assert [one.status_code for one in singles] == sorted(one.status_code for one in singles)
    assert singles[-1].status_code == 429
    for answer in (too_large, taken, refused, *singles):
        assert answer.headers["X-RateLimit-Limit"] == "12"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    stack.ragtime("keys", "set-rate", key["id"], "--events-per-minute", "unlimited")
    wait_until(
        lambda: _send(stack, project, key["key"], 50).status_code == 202, "there is no limit"
    )
    assert "X-RateLimit-Limit" not in _send(stack, project, key["key"], 1).headers
    listed = {one["id"]: one for one in json.loads(stack.ragtime("keys", "list", "--json"))}
    assert listed[key["id"]]["eventsPerMinute"] == "unlimited"


def test_key_keeps_its_events_when_another_one_spends_its_own(
    stack: Stack, project: Project
) -> None:
    limited = ("--scope", "events:write", "--events-per-minute", "20")
    attacker, victim = (_new_key(stack, project, *limited)["key"] for _ in "AB")
    for _ in range(20):
        stack.http.post(
            stack.events_url(project.id), content=b"[" * 9_000, headers=bearer(attacker)
        )

    assert_problem(_send(stack, project, attacker, 1), 429, "rate_limited")
    assert _send(stack, project, victim, 10).status_code == 202


def _send(stack: Stack, project: Project, key: str, number: int) -> httpx.Response:
    events = [message(f"limited-{number}-{place}") for place in range(number)]
    return stack.http.post(stack.events_url(project.id), json=events, headers=bearer(key))


def test_key_has_30_questions_a_minute_when_it_names_no_rate(
    stack: Stack, project: Project
) -> None:
    key = _new_key(stack, project, "--scope", "analytics:read")

    response = stack.http.get(stack.analytics_url(project.id), headers=bearer(key["key"]))

    assert_rate_headers(response)
    assert response.headers["X-RateLimit-Limit"] == "30"


def _new_key(stack: Stack, project: Project, *arguments: str) -> dict[str, str]:
    """A key as the command makes it, known to both services."""
    made: dict[str, str] = json.loads(
        stack.ragtime("keys", "create", "--project", project.id, "--json", *arguments)
    )
    stack.wait_until_key_works(project.id, made["key"])
    return made
