"""API10:2023, unsafe consumption of APIs: what others wrote to the topic is checked, too."""

import json
from typing import Any

import pytest

from tests.e2e.stack import Project, Stack
from tests.security.tenants import Tenants
from tests.security.test_injections import INJECTIONS

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


def _line(project: Project, event_id: str, **fields: Any) -> dict[str, Any]:
    now = "2026-03-25T09:30:00Z"
    return {
        "type": "chat.message",
        "project_id": project.id,
        "is_live": True,
        "id": event_id,
        "occurred_at": now,
        "accepted_at": now,
        "session_id": "s-1",
        "conversation_id": "c-1",
        "role": "user",
    } | fields


def test_foreign_records_are_dead_lettered_and_counted_nowhere_when_they_are_no_events(
    stack: Stack, tenants: Tenants
) -> None:
    (project,) = stack.new_projects(1)
    names = ("type", "id", "country", "language", "role", "user_type", "project_id", "occurred_at")
    values = [
        json.dumps(_line(project, "upstream") | {name: text}).encode()
        for name in names
        for text in INJECTIONS
    ]
    values += [text.encode() for text in INJECTIONS if text.strip()]
    stack.topics.write([value for value in values if b"\n" not in value])
    stack.wait_until_counted()

    found = stack.database.query("SELECT count() FROM events WHERE id = 'upstream'").result_rows
    assert found == [(0,)]
    letters = {letter.value for letter in stack.topics.read_dead_letters()}
    assert {value for value in values if b"\n" not in value} <= letters
    assert stack.analytics(tenants.b, live="false")["stats"] == []
