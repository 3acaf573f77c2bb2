"""API10:2023, unsafe consumption of APIs: what others wrote to the topic is checked, too."""

import pytest

from tests.e2e.lines import line
from tests.e2e.stack import Stack
from tests.security.tenants import Tenants
from tests.security.test_injections import INJECTIONS

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


def test_foreign_records_are_dead_lettered_and_counted_nowhere_when_they_are_no_events(
    stack: Stack, tenants: Tenants
) -> None:
    (project,) = stack.new_projects(1)
    event_id = f"{project.id}-upstream"
    names = ("type", "id", "country", "language", "role", "user_type", "project_id", "occurred_at")
    values = [line(project.id, event_id, **{name: text}) for name in names for text in INJECTIONS]
    values += [text.encode() for text in INJECTIONS if text.strip() and "\n" not in text]
    offsets = stack.topics.write(values, partition=0)
    stack.wait_until_counted()

    found = stack.database.query(
        "SELECT count() FROM events WHERE id = {id:String}", {"id": event_id}
    ).result_rows
    assert found == [(0,)]
    letters = {letter.place: letter.value for letter in stack.topics.read_dead_letters()}
    for offset, value in zip(offsets, values, strict=True):
        assert letters["0", str(offset)] == value
    assert stack.analytics(tenants.b, live="false")["stats"] == []
