"""API3:2023, broken object property level authorization: nothing is read or written untold."""

from typing import Any

import pytest

from tests.e2e.stack import Stack
from tests.security.operations import Operation, each_operation, each_writing
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

# Columns and inner fields that no producer may set.
_INNER: dict[str, Any] = {
    "accepted_at": "2001-01-01T00:00:00Z",
    "acceptedAt": "2001-01-01T00:00:00Z",
    "appended_at": "2001-01-01T00:00:00Z",
    "lease": "2099-01-01T00:00:00Z",
    "first_of_day": False,
    "counts": [["usage", "public", 1_000_000]],
    "kp": 9,
    "ko": 9,
    "line": 9,
    "topic": "another",
}
# Those that are nearly a field of ours are refused.
_NEARLY_OURS: dict[str, Any] = {
    "is_live": True,
    "isLive": True,
    "session_id": "inner",
    "user_type": "logged_in",
}


@each_writing
def test_inner_fields_are_not_set_when_an_event_brings_them(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    # In a conversation of its own: it is the first message of its day there.
    own = {"id": "brings-inner-fields", "conversationId": "brings-inner-fields"}
    body = _INNER | operation.body | own
    assert operation.ask(stack, tenants.a.id, tenants.a.test_key, body=body).is_success
    stack.wait_until_counted()
    (row,) = stack.database.query(
        "SELECT is_live, year(accepted_at), year(lease), year(appended_at), session_id, user_type,"
        " first_of_day, topic FROM events WHERE id = 'brings-inner-fields'"
        " AND project_id = {id:String}",
        {"id": tenants.a.id},
    ).result_rows
    assert row[0] is False
    assert all(2001 < year < 2099 for year in row[1:4])
    assert row[4:7] == ("ses-1", "public", True)
    assert row[7] == stack.topics.events


@each_writing
@pytest.mark.parametrize("name", _NEARLY_OURS)
def test_event_is_refused_when_an_inner_field_is_nearly_one_of_ours(
    stack: Stack, tenants: Tenants, operation: Operation, name: str
) -> None:
    body = {name: _NEARLY_OURS[name]} | operation.body
    answer = operation.ask(stack, tenants.a.id, tenants.a.test_key, body=body)
    assert [one["code"] for one in answer.json()["rejected"]] == ["unknown_field"]


@each_operation
def test_answer_has_the_documented_properties_alone(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    answers = [
        operation.ask(stack, tenants.a.id, tenants.a.live_key),
        operation.ask(stack, tenants.b.id, tenants.a.live_key),
        operation.ask(stack, tenants.a.id, None),
    ]
    for answer in answers:
        described = operation.described["responses"][str(answer.status_code)]["content"]
        (media,) = described.values()
        _assert_told(answer.json(), media["schema"], operation.components)


def _assert_told(value: Any, schema: dict[str, Any], components: dict[str, Any]) -> None:
    """Every property of an object is in its schema, all the way down."""
    options = [_resolved(one, components) for one in schema.get("anyOf", [schema])]
    if isinstance(value, list):
        for one in value:
            _assert_told(one, options[0]["items"], components)
    elif isinstance(value, dict):
        known: dict[str, Any] = {}
        for option in options:
            known |= option.get("properties", {})
        assert set(value) <= set(known)
        for name, one in value.items():
            _assert_told(one, known[name], components)


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = components["schemas"][name] if name else schema
    return found
