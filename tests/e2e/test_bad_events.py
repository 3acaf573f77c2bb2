"""Odd and wrong bodies sent to ingest: events counted, or a 4xx that says why, never a 500."""

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.asking import STRANGE_TEXTS, assert_problem, bearer, message
from tests.e2e.model import Event
from tests.e2e.stack import Project, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


@pytest.mark.parametrize(
    ("body", "headers", "refusal"),
    [
        (b"", {}, (400, "empty_body")),
        (b"   \n", {}, (400, "empty_body")),
        (b"[]", {}, (400, "empty_body")),
        (b"{", {}, (400, "invalid_json")),
        (b'[{"id": "a"', {}, (400, "invalid_json")),
        (b"[" * 5000, {}, (400, "invalid_json")),
        (b"\xff\xfe", {}, (400, "invalid_json")),
        (b"null", {}, (400, "no_valid_event")),
        (b'"text"', {}, (400, "no_valid_event")),
        (b"[1, 2, [], {}]", {}, (400, "no_valid_event")),
        (b"{\n[\n\n", {"Content-Type": "application/x-ndjson"}, (400, "no_valid_event")),
        (b"{}", {"Content-Type": "text/plain"}, (415, None)),
        (b"{}", {"Content-Type": ""}, (415, None)),
        (b"{}", {"Content-Encoding": "br"}, (415, None)),
        (b"not gzip", {"Content-Encoding": "gzip"}, (400, "broken_compression")),
        (
            gzip.compress(b"[]", mtime=0)[:-9],
            {"Content-Encoding": "gzip"},
            (400, "broken_compression"),
        ),
        (b"", {"Content-Encoding": "gzip"}, (400, None)),
        (b"not zstd", {"Content-Encoding": "zstd"}, (400, "broken_compression")),
        (b" " * (5 * 1024 * 1024 + 1), {}, (413, "body_too_large")),
        (
            gzip.compress(b" " * (5 * 1024 * 1024 + 1), mtime=0),
            {"Content-Encoding": "gzip"},
            (413, None),
        ),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_body_is_refused_as_a_whole_when_nothing_in_it_is_an_event(
    stack: Stack,
    project: Project,
    body: bytes,
    headers: dict[str, str],
    refusal: tuple[int, str | None],
) -> None:
    response = stack.http.post(
        stack.events_url(project.id),
        content=body,
        headers=bearer(project.live_key) | {"Content-Type": "application/json"} | headers,
    )

    assert_problem(response, *refusal)


def test_body_is_refused_when_it_brings_10_001_events(stack: Stack, project: Project) -> None:
    for media_type, events in (
        ("application/json", b"[" + b",".join([b"{}"] * 10_001) + b"]"),
        ("application/x-ndjson", b"{}\n" * 10_001),
    ):
        response = stack.http.post(
            stack.events_url(project.id),
            content=events,
            headers=bearer(project.live_key) | {"Content-Type": media_type},
        )
        assert_problem(response, 413, "too_many_events")


def test_body_is_taken_when_it_brings_10_000_events(stack: Stack) -> None:
    (project,) = stack.new_projects(1)
    stack.post_events(project, [message(f"m-{number}") for number in range(10_000)])

    stack.wait_until_counted()
    (row,) = stack.analytics(project, category="usage")["stats"]
    assert row["value"] == 10_000


def test_valid_events_are_counted_when_others_in_the_request_are_refused(stack: Stack) -> None:
    (project,) = stack.new_projects(1)
    now = datetime.now(UTC)
    events: list[Any] = [
        message("good-1"),
        7,
        message("no-role", role=None),
        message("old", occurredAt=(now - timedelta(days=31)).isoformat()),
        message("ahead", occurredAt=(now + timedelta(minutes=6)).isoformat()),
        message("id with space"),
        message("live", live=True),
        message("good-2", language="en_US", deviceId="", context={"ip": "1.2.3", "country": "XX"}),
        message("near", user_type="logged_in"),
        message("mode", isLive=False),
    ]
    response = stack.http.post(
        stack.events_url(project.id), json=events, headers=bearer(project.test_key)
    )

    assert response.status_code == 202
    verdicts = response.json()
    assert verdicts["accepted"] == 2
    assert [(one["index"], one["code"]) for one in verdicts["rejected"]] == [
        (1, "not_an_object"),
        (2, "missing_field"),
        (3, "occurred_at_too_old"),
        (4, "occurred_at_in_future"),
        (5, "invalid_field"),
        (6, "live_not_allowed"),
        (8, "unknown_field"),
        (9, "unknown_field"),
    ]
    warned = [(one["index"], one["field"]) for one in verdicts["warnings"]]
    assert warned == [(7, "deviceId"), (7, "context.ip"), (7, "context.country")]
    stack.wait_until_counted()
    assert stack.analytics(project, category="usage")["stats"] == []
    (row,) = stack.analytics(project, category="usage", live="false")["stats"]
    assert (row["value"], row["isLive"]) == (2, False)


def test_strange_texts_come_back_as_they_were_sent(stack: Stack) -> None:
    (project,) = stack.new_projects(1)
    sent: list[Event] = []
    for number, text in enumerate(STRANGE_TEXTS):
        shared = {"sessionId": text, "conversationId": text, "deviceId": text}
        sent += [
            message(f"m-{number}", **shared),
            message(f"a-{number}", **shared) | {"type": "chat.action", "action": text},
            message(f"r-{number}", **shared)
            | {
                "type": "rag.retrieval",
                "hit": True,
                "sources": [{"id": text, "name": f"<{text}>"}],
            },
        ]
    stack.post_events(project, sent)
    stack.wait_until_counted()

    answer = stack.analytics(project)
    for category in ("action", "source"):
        keys = {row["key"] for row in answer["stats"] if row["category"] == category}
        assert keys == set(STRANGE_TEXTS)
    assert {one["id"]: one["name"] for one in answer["sources"]} == {
        text: f"<{text}>" for text in STRANGE_TEXTS
    }
    for text in STRANGE_TEXTS:
        rows = stack.analytics(project, deviceId=text)["stats"]
        assert {row["key"]: row["value"] for row in rows if row["category"] == "action"} == {
            text: 1
        }
        assert {row["value"] for row in rows if row["category"] == "conversation"} == {1}


def _post_under(
    stack: Stack,
    project: Project,
    idempotency_key: str,
    events: list[dict[str, Any]],
    *,
    by_test_key: bool = False,
) -> None:
    key = project.test_key if by_test_key else project.live_key
    response = stack.http.post(
        stack.events_url(project.id),
        json=events,
        headers=bearer(key) | {"Idempotency-Key": idempotency_key},
    )
    assert response.status_code == 202, response.text


def test_events_count_once_when_the_request_is_repeated_under_its_idempotency_key(
    stack: Stack,
) -> None:
    (project,) = stack.new_projects(1)
    events = [{key: value for key, value in message("").items() if key != "id"}] * 3
    for _ in range(2):
        _post_under(stack, project, "try-again", events)

    stack.wait_until_counted()
    (row,) = stack.analytics(project, category="usage")["stats"]
    assert row["value"] == 3


@pytest.mark.parametrize("order", [(True, False, True, False), (False, False, True, True)])
def test_events_count_once_in_each_mode_when_both_keys_send_them_under_one_idempotency_key(
    stack: Stack, order: tuple[bool, ...]
) -> None:
    (project,) = stack.new_projects(1)
    nameless = {key: value for key, value in message("").items() if key != "id"}
    session = {"type": "session.started", "sessionId": "s-1"}
    for by_test_key in order:
        events = [nameless, nameless, session]
        _post_under(stack, project, "rehearsal", events, by_test_key=by_test_key)

    stack.wait_until_counted()
    stats = stack.analytics(project, live="false")["stats"]
    counted = {(row["category"], row["key"], row["isLive"]): row["value"] for row in stats}
    for is_live in (True, False):
        assert counted["usage", "public", is_live] == 2
        assert counted["session", "total", is_live] == 1
    assert stack.rows_of(project) == 6


def test_next_page_counts_in_full_when_it_comes_under_the_same_idempotency_key(
    stack: Stack,
) -> None:
    (project,) = stack.new_projects(1)
    nameless = {key: value for key, value in message("").items() if key != "id"}
    page = [nameless, {}, nameless, nameless | {"conversationId": "another"}]
    next_page = [nameless | {"sessionId": "next"}] * 2
    for events in (page, page[:1] + page[2:], next_page):
        _post_under(stack, project, "import", events)

    stack.wait_until_counted()
    (row,) = stack.analytics(project, category="usage")["stats"]
    assert row["value"] == 3 + 2
